//! A Rust file as the rules see it: which package and module it is, which paths it names and which metrics it registers,
//! tests left out. Knows no rule.

use std::path::{Path, PathBuf};

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprMethodCall, Item, ItemFn, ItemMod, ItemUse, Lit, LitStr, UseTree};

use super::files::Text;
use super::violation::Violation;

/// A path as written, made absolute: `super::x` in `a::b` is `crate::a::x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

/// A parsed file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The folder of the package: `proxy`, `mesh-ca/identity`.
    pub(super) package: String,
    /// Module path from the crate's root; `main.rs` is `["main"]`, `lib.rs` is empty.
    pub(super) module: Vec<String>,
    pub(super) named: Vec<Named>,
    /// Metric names with their lines: literals that look like one, and what `register` is given.
    pub(super) metrics: Vec<(String, usize)>,
    pub(super) is_test: bool,
}

impl Source {
    pub(super) fn parse(text: &Text) -> Result<Self, Violation> {
        let file = syn::parse_file(&text.text).map_err(|error| {
            Violation::error(&text.path, error.span().start().line, "parse", error.to_string())
                .because("a file that does not parse cannot be checked")
                .instead("let the compiler say more: cargo check")
        })?;
        let (package, module) = place(&text.path);
        let mut reader =
            Reader { module: module.clone(), named: Vec::new(), metrics: Vec::new(), prefix: None };
        let is_test = text.is_test() || module.is_empty() && package.is_empty();
        if !is_test {
            reader.visit_file(&file);
        }
        Ok(Self {
            path: text.path.clone(),
            package,
            module,
            named: reader.named,
            metrics: reader.metrics,
            is_test,
        })
    }

    /// The first part of the module path; empty for the root.
    pub(super) fn top(&self) -> &str {
        self.module.first().map(String::as_str).unwrap_or_default()
    }
}

/// `proxy/src/http/head.rs` is package `proxy`, module `http::head`.
fn place(path: &Path) -> (String, Vec<String>) {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let Some(src) = parts.iter().position(|part| *part == "src") else {
        return (String::new(), Vec::new());
    };
    let package = parts.iter().take(src).copied().collect::<Vec<_>>().join("/");
    let mut module: Vec<String> =
        parts.iter().skip(src + 1).map(|part| part.trim_end_matches(".rs").to_owned()).collect();
    if module == ["lib"] {
        module.clear();
    }
    (package, module)
}

struct Reader {
    module: Vec<String>,
    named: Vec<Named>,
    metrics: Vec<(String, usize)>,
    /// Of the registry that the metrics after it go to.
    prefix: Option<String>,
}

impl Reader {
    fn add(&mut self, segments: Vec<String>, span: Span) {
        let segments = self.absolute(segments);
        if segments.len() > 1 {
            self.named.push(Named { segments, line: span.start().line });
        }
    }

    fn absolute(&self, segments: Vec<String>) -> Vec<String> {
        let ups = segments.iter().take_while(|segment| *segment == "super").count();
        let own = segments.first().is_some_and(|first| first == "self");
        if ups == 0 && !own {
            return segments;
        }
        let base = self.module.iter().take(self.module.len().saturating_sub(ups)).cloned();
        let rest = segments.into_iter().skip(if own { 1 } else { ups });
        std::iter::once("crate".to_owned()).chain(base).chain(rest).collect()
    }

    fn add_tree(&mut self, tree: &UseTree, before: &[String]) {
        match tree {
            UseTree::Path(path) => {
                let mut longer = before.to_vec();
                longer.push(path.ident.to_string());
                self.add_tree(&path.tree, &longer);
            }
            UseTree::Name(name) => self.add(joined(before, &name.ident.to_string()), tree.span()),
            UseTree::Rename(rename) => self.add(joined(before, &rename.ident.to_string()), tree.span()),
            UseTree::Glob(_) => self.add(joined(before, "*"), tree.span()),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(item, before)),
        }
    }
}

fn joined(before: &[String], last: &str) -> Vec<String> {
    before.iter().cloned().chain(std::iter::once(last.to_owned())).collect()
}

fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().is_ident("test") {
            return true;
        }
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let condition = list.tokens.to_string();
        list.path.is_ident("cfg")
            && (condition == "test"
                || condition.contains("feature = \"testing\"")
                || condition.starts_with("any (test")
                || condition.starts_with("any(test"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !only_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !only_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect(), path.span());
        visit::visit_path(self, path);
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        if looks_like_a_metric(&literal.value()) {
            self.metrics.push((literal.value(), literal.span().start().line));
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let registers = call.method == "register" || call.method == "register_with_unit";
        if call.method == "sub_registry_with_prefix" {
            self.prefix = call.args.first().and_then(literal).map(LitStr::value);
            self.visit_expr(&call.receiver);
            return;
        }
        if registers
            && call.args.len() >= 3
            && let Some(name) = call.args.first().and_then(literal)
            && !looks_like_a_metric(&name.value())
        {
            let full = self.prefix.iter().cloned().chain([name.value()]).collect::<Vec<_>>().join("_");
            self.metrics.push((full, name.span().start().line));
        }
        visit::visit_expr_method_call(self, call);
    }
}

const PREFIX: &str = "mesh_";

fn literal(expression: &Expr) -> Option<&LitStr> {
    let Expr::Lit(literal) = expression else { return None };
    let Lit::Str(text) = &literal.lit else { return None };
    Some(text)
}

fn looks_like_a_metric(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    plain && name.len() > PREFIX.len() && name.starts_with(PREFIX) && !OUR_CRATES.contains(&name)
}

/// String literals with these names are packages (filters of logs, doors), not metrics.
const OUR_CRATES: [&str; 10] = [
    "mesh_ca",
    "mesh_capture",
    "mesh_controller",
    "mesh_http1",
    "mesh_identity",
    "mesh_lifecycle",
    "mesh_model",
    "mesh_proto",
    "mesh_proxy",
    "mesh_traffic",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str, text: &str) -> Vec<(String, usize)> {
        let source = Source::parse(&Text::new(path, text)).unwrap();
        source.named.into_iter().map(|named| (named.segments.join("::"), named.line)).collect()
    }

    fn found(path: &str, line: usize) -> (String, usize) {
        (path.to_owned(), line)
    }

    #[test]
    fn a_file_has_its_package_and_module() {
        let source = Source::parse(&Text::new("mesh-ca/identity/src/a/b.rs", "")).unwrap();
        assert_eq!(
            (source.package.as_str(), source.module.join("::")),
            ("mesh-ca/identity", "a::b".to_owned())
        );
        assert_eq!(source.top(), "a");
    }

    #[test]
    fn paths_of_use_and_of_expressions_are_absolute_with_their_lines() {
        let text = "use super::x::Y;\nuse crate::{a, b::{self, C}};\nfn f() { tokio::spawn(self::g()); }\n";
        assert_eq!(
            named("p/src/m/n.rs", text),
            [
                found("crate::m::x::Y", 1),
                found("crate::a", 2),
                found("crate::b::self", 2),
                found("crate::b::C", 2),
                found("tokio::spawn", 3),
                found("crate::m::n::g", 3),
            ]
        );
    }

    #[test]
    fn tests_are_not_looked_at() {
        let text = "#[cfg(test)]\nmod tests { use crate::a::B; }\n#[cfg(test)]\nuse crate::c::D;\n#[test]\nfn t() { crate::e::f(); }\n";
        assert_eq!(named("p/src/m.rs", text), []);
        assert_eq!(named("p/src/m/tests.rs", "use crate::a::B;"), []);
    }

    fn metrics(text: &str) -> Vec<(String, usize)> {
        Source::parse(&Text::new("p/src/m.rs", text)).unwrap().metrics
    }

    #[test]
    fn metric_names_are_literals_that_look_like_one_and_what_register_is_given() {
        let text = "fn f(r: &mut R) {\n r.register(\"mesh_x\", \"help\", a);\n r.register(\"y\", \"help\", a);\n g(\"mesh_z\");\n log(\"mesh_ca\");\n}";
        assert_eq!(metrics(text), [found("mesh_x", 2), found("y", 3), found("mesh_z", 4)]);
    }

    #[test]
    fn a_registry_with_a_prefix_completes_the_names() {
        let text = "fn f(r: &mut R) {\n let own = r.sub_registry_with_prefix(\"mesh_a\");\n own.register(\"b\", \"help\", c);\n}";
        assert_eq!(metrics(text), [found("mesh_a_b", 3)]);
    }
}
