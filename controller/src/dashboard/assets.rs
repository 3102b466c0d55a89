//! The page: HTML, CSS and modules of JavaScript, as they stand beside this file. Nothing is built, and nothing comes from elsewhere.

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Where it is, with the `/`.
    pub path: &'static str,
    /// What it is.
    pub media_type: &'static str,
    /// What is in it.
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($path:literal, $media_type:expr, $file:literal;)*) => {
        &[$(Asset { path: $path, media_type: $media_type, text: include_str!(concat!("assets/", $file)) }),*]
    };
}

/// All of them.
pub const ASSETS: &[Asset] = assets! {
    "/", HTML, "index.html";
    "/icon.svg", SVG, "icon.svg";
    "/style.css", CSS, "style.css";
    "/views.css", CSS, "views.css";
    "/app.js", JS, "app.js";
    "/api.js", JS, "api.js";
    "/dom.js", JS, "dom.js";
    "/errors.js", JS, "errors.js";
    "/events.js", JS, "events.js";
    "/format.js", JS, "format.js";
    "/layout.js", JS, "layout.js";
    "/model.js", JS, "model.js";
    "/route.js", JS, "route.js";
    "/spark.js", JS, "spark.js";
    "/table.js", JS, "table.js";
    "/views.js", JS, "views.js";
    "/waterfall.js", JS, "waterfall.js";
    "/pages/signin.js", JS, "pages/signin.js";
    "/pages/graph.js", JS, "pages/graph.js";
    "/pages/services.js", JS, "pages/services.js";
    "/pages/service.js", JS, "pages/service.js";
    "/pages/edge.js", JS, "pages/edge.js";
    "/pages/tap.js", JS, "pages/tap.js";
    "/pages/traces.js", JS, "pages/traces.js";
    "/pages/canaries.js", JS, "pages/canaries.js";
    "/pages/objectives.js", JS, "pages/objectives.js";
    "/pages/certs.js", JS, "pages/certs.js";
    "/pages/config.js", JS, "pages/config.js";
};

/// The one at a path.
pub fn at(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere_and_no_data_becomes_markup() {
        for asset in ASSETS {
            let text = asset.text.replace("http://www.w3.org/", "");
            for forbidden in [
                "http://",
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "eval(",
                "document.write",
            ] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", asset.path);
            }
            assert!(
                !asset.text.contains("style=\""),
                "{}: the policy forbids styles of elements",
                asset.path
            );
        }
    }

    #[test]
    fn every_module_that_is_imported_is_served() {
        for asset in ASSETS.iter().filter(|asset| asset.media_type == JS) {
            let folder = if asset.path.starts_with("/pages/") { "/pages/" } else { "/" };
            for line in
                asset.text.lines().filter(|line| line.contains(" from \"./") || line.contains(" from \"../"))
            {
                let wanted = line.split('"').nth(1).unwrap();
                let path = match wanted.strip_prefix("../") {
                    Some(rest) => format!("/{rest}"),
                    None => format!("{folder}{}", wanted.strip_prefix("./").unwrap()),
                };
                assert!(at(&path).is_some(), "{} imports {path}", asset.path);
            }
        }
        assert!(at("/../Cargo.toml").is_none());
    }
}
