//! Forbidden imports: foreign types come in through named doors and go no further.

use super::source::Source;
use super::table::Door;
use super::violation::Violation;

pub(super) fn check(source: &Source, doors: &[Door]) -> Vec<Violation> {
    if source.is_test {
        return Vec::new();
    }
    let module = source.module.join("::");
    doors
        .iter()
        .filter(|door| door.package == source.package && !door.is_open_to(&module))
        .flat_map(|door| {
            source.named.iter().filter(|named| door.guards(&named.segments)).map(|named| {
                let place = if module.is_empty() { "the root" } else { module.as_str() };
                Violation::error(
                    &source.path,
                    named.line,
                    "door",
                    format!("{place} names `{}`", named.segments.join("::")),
                )
                .because(door.why)
                .instead(format!("convert at the door: {}", door.shown()))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::Text;
    use super::*;

    const DOORS: &[Door] = &[
        Door {
            package: "p",
            guarded: &["prost", "std::env"],
            open: &["xds", "cli::env"],
            why: "wire stays outside",
        },
        Door { package: "q", guarded: &["tokio"], open: &[], why: "no I/O" },
    ];

    fn what(path: &str, text: &str) -> Vec<(usize, String)> {
        let source = Source::parse(&Text::new(path, text)).unwrap();
        check(&source, DOORS).into_iter().map(|violation| (violation.line, violation.what)).collect()
    }

    #[test]
    fn a_guarded_path_is_refused_outside_its_doors() {
        assert_eq!(
            what("p/src/a.rs", "use std::env;\nuse prost::Message;"),
            [(1, "a names `std::env`".to_owned()), (2, "a names `prost::Message`".to_owned()),]
        );
        assert_eq!(what("q/src/lib.rs", "use tokio::net;"), [(1, "the root names `tokio::net`".to_owned())]);
    }

    #[test]
    fn a_door_is_open_for_its_module_and_those_inside() {
        assert_eq!(what("p/src/xds/stream.rs", "use prost::Message;"), []);
        assert_eq!(what("p/src/cli/env.rs", "use std::env;"), []);
        assert_eq!(what("p/src/cli.rs", "use std::env::var;").len(), 1);
        assert_eq!(what("p/src/xdsx.rs", "use prost::Message;").len(), 1);
    }

    #[test]
    fn a_longer_name_is_another_crate() {
        assert_eq!(what("p/src/a.rs", "use prost_types::Any;\nuse std::environment::X;"), []);
    }
}
