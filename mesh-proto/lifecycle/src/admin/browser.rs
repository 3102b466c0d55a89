//! Who asks: an operator's program, or a page that a browser on the operator's machine was led to. The page can reach a loopback address, or a
//! port that is forwarded, and must neither read nor change anything. It must not know what is asked for.
//!
//! A browser says where a page is from in `Origin`, on every request that changes something and on every one across origins; a page whose own
//! name leads here (DNS rebinding) is same-origin and sends none, but then `Host` is that name.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Request};

use super::Hosts;

/// Why a request is not answered. Nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    /// It is from a page.
    #[error(
        "refused: the request has an Origin, so a page of a browser sends it; ask with a program that sends none"
    )]
    Origin,
    /// It is for somebody else.
    #[error(
        "refused: the request's Host is not an address and not `localhost`; ask by the address that this server listens on"
    )]
    Host,
}

/// Lets requests of programs through.
pub(super) fn admit<B>(request: &Request<B>, hosts: Hosts) -> Result<(), Foreign> {
    if request.headers().contains_key(ORIGIN) {
        return Err(Foreign::Origin);
    }
    match hosts {
        Hosts::Any => Ok(()),
        Hosts::Addresses if is_by_address(request) => Ok(()),
        Hosts::Addresses => Err(Foreign::Host),
    }
}

/// Each name that the request gives this server is an address or `localhost`, and there is one.
pub fn is_by_address<B>(request: &Request<B>) -> bool {
    // In the absolute form the target names a server too.
    let target = request.uri().authority().map(|authority| is_address(authority.as_str()));
    target.unwrap_or(true) && has_one_address(request.headers())
}

fn has_one_address(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let first = hosts.next().and_then(|host| host.to_str().ok());
    first.is_some_and(is_address) && hosts.next().is_none()
}

fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || host.parse::<SocketAddr>().is_ok()
        || bare.unwrap_or(name).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request =
            headers.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap()
    }

    // T33
    #[test]
    fn a_server_that_takes_commands_is_asked_by_address_alone() {
        for host in [
            "localhost",
            "LocalHost:15000",
            "127.0.0.1",
            "127.7.0.3:15000",
            "[::1]",
            "[::1]:15000",
            "10.1.2.3:15000",
        ] {
            assert_eq!(admit(&asked("/", &[("host", host)]), Hosts::Addresses), Ok(()), "{host}");
            assert_eq!(
                admit(&asked(&format!("http://{host}/"), &[("host", host)]), Hosts::Addresses),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "evil.example:15000",
            "127.0.0.1.evil.example",
            "127.0.0.1.evil.example:15000",
            "localhost.evil.example",
            "localhost.",
            "x:127.0.0.1",
            "127.0.0.1@evil.example",
            "evil.example:127",
            "",
            ":15000",
            "0x7f000001",
            "2130706433",
            "127.1",
            "[evil.example]",
            "127.0.0.1:80:80",
            "127.0.0.1:",
        ] {
            let alone = admit(&asked("/", &[("host", host)]), Hosts::Addresses);
            // An empty port is nobody's mistake and nobody's name.
            let wanted = if host == "127.0.0.1:" { Ok(()) } else { Err(Foreign::Host) };
            assert_eq!(alone, wanted, "{host}");
            assert_eq!(admit(&asked("/", &[("host", host)]), Hosts::Any), Ok(()), "{host}");
        }
        for (target, headers) in [
            ("/", &[][..]),
            ("/", &[("host", "localhost"), ("host", "evil.example")]),
            ("/", &[("host", "evil.example"), ("host", "localhost")]),
            ("http://evil.example/drain", &[("host", "localhost")]),
            ("http://localhost/drain", &[("host", "evil.example")]),
        ] {
            assert_eq!(
                admit(&asked(target, headers), Hosts::Addresses),
                Err(Foreign::Host),
                "{target} {headers:?}"
            );
        }
    }

    // T33
    #[test]
    fn a_page_gets_nothing_whatever_its_origin() {
        for origin in
            ["http://evil.example", "null", "http://localhost:15000", "http://127.0.0.1", "file://", ""]
        {
            for hosts in [Hosts::Any, Hosts::Addresses] {
                let request = asked("/", &[("host", "localhost"), ("origin", origin)]);
                assert_eq!(admit(&request, hosts), Err(Foreign::Origin), "{origin}");
            }
        }
    }
}
