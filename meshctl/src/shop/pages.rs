//! What the services of the shop answer: pure, given what they heard from others. It must not know how it is sent.

use http::StatusCode;
use serde_json::{Value, json};

/// The version of `reviews` that a page was made with.
pub(crate) const REVIEWS_VERSION: &str = "x-reviews-version";
/// What a page does without because a service failed.
pub(crate) const DEGRADED: &str = "x-degraded";

/// An answer of a service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Value,
}

impl Page {
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body }
    }

    /// An answer that says what went wrong.
    pub(crate) fn failed(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: json!({ "error": reason.into() }) }
    }

    /// Nothing is at that path.
    pub(crate) fn missing(path: &str) -> Self {
        Self::failed(StatusCode::NOT_FOUND, format!("the shop has nothing at {path}"))
    }
}

const PRODUCTS: [(&str, u32); 4] = [("net", 1200), ("rope", 450), ("float", 300), ("anchor", 9900)];

/// The product numbers that exist are 1 to this.
pub(crate) const PRODUCT_COUNT: u64 = PRODUCTS.len() as u64;

/// `catalog`: all products, or one.
pub(crate) fn catalog(path: &str) -> Page {
    let product =
        |(id, (name, cents)): (usize, &(&str, u32))| json!({ "id": id + 1, "name": name, "cents": cents });
    match path.strip_prefix("/products") {
        Some("") => Page::ok(PRODUCTS.iter().enumerate().map(product).collect()),
        Some(rest) => {
            let id = rest
                .strip_prefix('/')
                .and_then(|id| id.parse::<usize>().ok())
                .and_then(|id| id.checked_sub(1));
            let found = id.and_then(|id| PRODUCTS.get(id).map(|entry| (id, entry)));
            found.map_or_else(|| Page::missing(path), |entry| Page::ok(product(entry)))
        }
        None => Page::missing(path),
    }
}

/// `reviews`: the second version has stars.
pub(crate) fn reviews(path: &str, version: &str) -> Page {
    let Some(id) = path.strip_prefix("/reviews/") else { return Page::missing(path) };
    let text = "holds what it promises";
    let review = if version == "v1" { json!({ "text": text }) } else { json!({ "text": text, "stars": 5 }) };
    let body = json!({ "version": version, "product": id, "reviews": [review] });
    Page { headers: vec![("x-version", version.to_owned())], ..Page::ok(body) }
}

/// `stock`: how many there are.
pub(crate) fn stock(path: &str) -> Page {
    match path.strip_prefix("/stock/").and_then(|id| id.parse::<u64>().ok()) {
        Some(id) => Page::ok(json!({ "product": id, "left": 7 + id })),
        None => Page::missing(path),
    }
}

/// `recommend`: `luck` is 0 to 999,999; the unlucky ones get a 503.
pub(crate) fn recommend(path: &str, luck: u32) -> Page {
    if path != "/recommendations" {
        return Page::missing(path);
    }
    if luck < super::RECOMMEND_FAILS_PPM {
        return Page::failed(StatusCode::SERVICE_UNAVAILABLE, "recommend is thinking about something else");
    }
    Page::ok(json!(["rope", "float"]))
}

/// What `web` heard: the part's name and its answer, or why there is none.
pub(crate) type Part = (&'static str, Result<Value, String>);

/// `web`: a page made of parts. Any part but the recommendations must be there.
pub(crate) fn web(parts: Vec<Part>, reviews_version: &str) -> Page {
    let mut body = serde_json::Map::new();
    let mut headers = vec![(REVIEWS_VERSION, reviews_version.to_owned())];
    for (name, part) in parts {
        match part {
            Ok(value) => {
                body.insert(name.to_owned(), value);
            }
            Err(_) if name == "recommend" => {
                headers.push((DEGRADED, name.to_owned()));
                body.insert(name.to_owned(), Value::Null);
            }
            Err(reason) => return Page::failed(StatusCode::BAD_GATEWAY, format!("{name}: {reason}")),
        }
    }
    body.insert("version".to_owned(), "v1".into());
    Page { status: StatusCode::OK, headers, body: Value::Object(body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_recommendations_is_degraded_not_failed() {
        let page = web(vec![("catalog", Ok(json!([]))), ("recommend", Err("503".into()))], "v2");
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.headers.contains(&(DEGRADED, "recommend".to_owned())));
        assert!(page.headers.contains(&(REVIEWS_VERSION, "v2".to_owned())));
    }

    #[test]
    fn a_page_without_anything_else_fails_and_says_what_is_missing() {
        let page = web(vec![("catalog", Err("503 no_endpoints".into()))], "");
        assert_eq!(page.status, StatusCode::BAD_GATEWAY);
        assert_eq!(page.body["error"], "catalog: 503 no_endpoints");
    }

    #[test]
    fn products_exist_by_number() {
        assert_eq!(catalog("/products").body.as_array().map(Vec::len), Some(4));
        assert_eq!(catalog("/products/2").body["name"], "rope");
        for path in ["/products/0", "/products/5", "/products/x", "/else"] {
            assert_eq!(catalog(path).status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn the_second_version_of_reviews_has_stars() {
        assert!(reviews("/reviews/1", "v1").body["reviews"][0].get("stars").is_none());
        assert_eq!(reviews("/reviews/1", "v2").body["reviews"][0]["stars"], 5);
    }

    #[test]
    fn recommend_fails_for_its_share_of_requests() {
        assert_eq!(recommend("/recommendations", 49_999).status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(recommend("/recommendations", 50_000).status, StatusCode::OK);
    }
}
