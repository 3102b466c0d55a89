//! Module arrows point down only: the order of a package's modules is written in [`super::table`], and a `crate::` path
//! that points up or sideways is a violation.

use super::source::Source;
use super::table::Package;
use super::violation::Violation;

pub(super) fn check(sources: &[Source], packages: &[Package]) -> Vec<Violation> {
    packages.iter().flat_map(|package| check_package(sources, package)).collect()
}

fn check_package(sources: &[Source], package: &Package) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.package == package.path && !source.is_test) {
        let from = source.top();
        if from.is_empty() {
            continue;
        }
        let Some(height) = package.layer(from) else {
            found.push(unplaced(source, from));
            continue;
        };
        for named in &source.named {
            let [first, to, ..] = named.segments.as_slice() else { continue };
            if first != "crate" || to == from || package.allows(from, to) {
                continue;
            }
            if let Some(depth) = package.layer(to)
                && depth <= height
            {
                found.push(
                    Violation::error(
                        &source.path,
                        named.line,
                        "arrow",
                        format!("`{from}` uses `{to}`, which is not below it"),
                    )
                    .because(format!("arrows point down only: {}", package.shown()))
                    .instead(format!(
                        "move the shared part below both, or let `{to}` be handed in by the module above"
                    )),
                );
            }
        }
    }
    found
}

fn unplaced(source: &Source, module: &str) -> Violation {
    Violation::error(
        &source.path,
        1,
        "arrow",
        format!("module `{module}` has no place in the order of its package"),
    )
    .because("a module that nobody placed may use everything and be used by everything")
    .instead("give it a layer in xtask/src/tidy/table.rs")
}

#[cfg(test)]
mod tests {
    use super::super::files::Text;
    use super::*;

    const SMALL: Package = Package {
        path: "p",
        layers: &[&["main"], &["app"], &["inbound", "outbound"], &["net"]],
        also: &[("outbound", "inbound", "a reason")],
    };

    fn what(path: &str, text: &str) -> Vec<(usize, String)> {
        let source = Source::parse(&Text::new(path, text)).unwrap();
        check(&[source], &[SMALL]).into_iter().map(|violation| (violation.line, violation.what)).collect()
    }

    #[test]
    fn an_arrow_down_or_inside_is_fine() {
        assert_eq!(
            what("p/src/app.rs", "use crate::net::A;\nuse crate::inbound::B;\nuse crate::app::x::C;"),
            []
        );
        assert_eq!(what("p/src/lib.rs", "pub use crate::net::A;"), []);
    }

    #[test]
    fn an_arrow_up_is_refused_also_through_super() {
        let up = "`net` uses `app`, which is not below it".to_owned();
        assert_eq!(what("p/src/net/x.rs", "use super::super::app::A;"), [(1, up.clone())]);
        assert_eq!(what("p/src/net.rs", "\nfn f() { crate::app::g() }"), [(2, up)]);
    }

    #[test]
    fn an_arrow_sideways_is_refused_unless_the_table_has_it() {
        assert_eq!(what("p/src/inbound.rs", "use crate::outbound::A;").len(), 1);
        assert_eq!(what("p/src/outbound.rs", "use crate::inbound::A;"), []);
    }

    #[test]
    fn a_module_without_a_place_is_refused() {
        assert_eq!(
            what("p/src/new.rs", ""),
            [(1, "module `new` has no place in the order of its package".to_owned())]
        );
    }
}
