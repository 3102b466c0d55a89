//! The request that is asked about: method, URL and headers from the command line as the canonical head that routes see.
//! Pure. It must not know objects.

use mesh_http1::Refusal;
use mesh_http1::canonical;
use mesh_model::authority::Authority;
use mesh_model::head::HeadView;

/// Why the words are no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidQuestion {
    #[error("`{0}` is not an HTTP method")]
    Method(String),
    #[error("`{0}` names no host; write http://HOST[:PORT]/PATH")]
    NoHost(String),
    #[error(
        "the mesh does not read what the application encrypts: `{0}` is carried as bytes, without routes; write http:// for a request that the mesh routes, or tls://HOST:PORT for the connection"
    )]
    Https(String),
    #[error(
        "`{0}` is not a scheme that the mesh carries; write http:// or grpc:// for a request, tcp:// or tls:// for a connection"
    )]
    Scheme(String),
    #[error(transparent)]
    Authority(#[from] mesh_model::authority::InvalidAuthority),
    /// The proxy would answer it `bad_request`.
    #[error("{0}")]
    Refused(Refusal),
    #[error("`{0}` is not a header; write -H 'name: value'")]
    Header(String),
}

/// A request as routing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) method: String,
    /// Lower case.
    pub(crate) host: String,
    /// 80 where none is given.
    pub(crate) port: u16,
    /// Canonical.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    authority: String,
}

impl Question {
    /// From the command line. `grpc://HOST/SERVICE/METHOD` is a gRPC call: POST with `content-type: application/grpc`.
    pub(crate) fn parse(
        method: Option<&str>,
        url: &str,
        headers: &[String],
    ) -> Result<Self, InvalidQuestion> {
        let mut headers = headers.iter().map(|text| header(text)).collect::<Result<Vec<_>, _>>()?;
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let grpc = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "grpc" => true,
            "https" => return Err(InvalidQuestion::Https(url.to_owned())),
            _ => return Err(InvalidQuestion::Scheme(scheme.to_owned())),
        };
        if grpc && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = target.split('#').next().unwrap_or_default();
        let target = canonical::path(target.as_bytes()).map_err(InvalidQuestion::Refused)?;
        let target = String::from_utf8_lossy(&target).into_owned();
        let (path, query) =
            target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
        if authority.is_empty() {
            return Err(InvalidQuestion::NoHost(url.to_owned()));
        }
        // A `Host` header says what the URL's host would say; the connection does not depend on it here.
        let named = headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
        headers.retain(|(name, _)| name != "host");
        let authority = named.as_deref().unwrap_or(authority);
        let authority = canonical::authority(authority.as_bytes()).map_err(InvalidQuestion::Refused)?;
        let parsed = Authority::parse(&authority)?;
        let port = parsed.port.unwrap_or(80);
        let authority = if port == 80 { parsed.host.clone() } else { format!("{}:{port}", parsed.host) };
        let method = method.unwrap_or(if grpc { "POST" } else { "GET" });
        Ok(Self {
            method: checked_method(method)?,
            host: parsed.host,
            port,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers,
            authority,
        })
    }

    /// As filters send it on: with this path and authority, and with headers changed, or taken away.
    pub(crate) fn forwarded(
        &self,
        path: &str,
        authority: &str,
        changed: &[(String, Option<String>)],
    ) -> Self {
        let mut next = Self { path: path.to_owned(), authority: authority.to_owned(), ..self.clone() };
        for (name, value) in changed {
            next.headers.retain(|(known, _)| known != name);
            next.headers.extend(value.iter().map(|value| (name.clone(), value.clone())));
        }
        next
    }
}

fn checked_method(text: &str) -> Result<String, InvalidQuestion> {
    let upper = text.to_ascii_uppercase();
    http::Method::from_bytes(upper.as_bytes()).map_err(|_| InvalidQuestion::Method(text.to_owned()))?;
    Ok(upper)
}

fn header(text: &str) -> Result<(String, String), InvalidQuestion> {
    let bad = || InvalidQuestion::Header(text.to_owned());
    let (name, value) = text.split_once(':').ok_or_else(bad)?;
    let name = http::HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
    let value = value.trim();
    http::HeaderValue::from_str(value).map_err(|_| bad())?;
    Ok((name.as_str().to_owned(), value.to_owned()))
}

impl HeadView for Question {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn authority(&self) -> &str {
        &self.authority
    }

    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.headers.iter().filter(|(known, _)| known == name) {
            visit(value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str) -> Result<Question, InvalidQuestion> {
        Question::parse(None, url, &[])
    }

    #[test]
    fn a_url_becomes_host_port_path_and_query() {
        let question = ask("http://Web.shop:8080/a/b?x=1&y#frag").unwrap();
        assert_eq!((question.host.as_str(), question.port), ("web.shop", 8080));
        assert_eq!((question.path.as_str(), question.query.as_deref()), ("/a/b", Some("x=1&y")));
        assert_eq!((question.method(), question.authority()), ("GET", "web.shop:8080"));
        let short = ask("web?q").unwrap();
        assert_eq!((short.host.as_str(), short.port, short.path.as_str()), ("web", 80, "/"));
        assert_eq!(short.query(), Some("q"));
    }

    #[test]
    fn a_grpc_call_is_a_post_with_its_content_type() {
        let question = ask("grpc://cart:9000/shop.Cart/Get").unwrap();
        assert_eq!((question.method(), question.path()), ("POST", "/shop.Cart/Get"));
        assert_eq!(question.headers, [("content-type".to_owned(), "application/grpc".to_owned())]);
    }

    #[test]
    fn headers_have_lower_case_names_and_host_is_the_authority() {
        let headers = ["X-Tester: yes".to_owned(), "Host: other:81".to_owned(), "x-tester:no ".to_owned()];
        let question = Question::parse(Some("post"), "http://web/", &headers).unwrap();
        assert_eq!((question.host.as_str(), question.port, question.method()), ("other", 81, "POST"));
        let mut values = Vec::new();
        question.header_values("x-tester", &mut |value| values.push(value.to_vec()));
        assert_eq!(values, [b"yes", b"no ".trim_ascii()]);
    }

    #[test]
    fn path_and_host_are_read_as_the_proxy_reads_them() {
        assert_eq!(ask("http://web/a//b/../%41?x=%2f").unwrap().path, "/a/A");
        for url in ["http://web/../x", "http://web/a%2fb", "http://web/%00", "http://a b/", "http://a_b@c/"] {
            assert!(matches!(ask(url), Err(InvalidQuestion::Refused(_))), "{url}: {:?}", ask(url));
        }
    }

    #[test]
    fn what_is_no_request_is_said() {
        assert!(matches!(ask("https://web/"), Err(InvalidQuestion::Https(_))));
        assert!(matches!(ask("ftp://web/"), Err(InvalidQuestion::Scheme(_))));
        assert!(matches!(ask("http:///x"), Err(InvalidQuestion::NoHost(_))));
        assert!(matches!(Question::parse(Some("G T"), "web", &[]), Err(InvalidQuestion::Method(_))));
        assert!(matches!(Question::parse(None, "web", &["x".to_owned()]), Err(InvalidQuestion::Header(_))));
    }
}
