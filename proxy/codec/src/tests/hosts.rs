//! Facts about Host, `:authority` and the authority of a URL: exactly one, in one spelling.

use super::reader::requests;
use crate::canonical::{authority, host_and_port};

fn with(request_line: &str, hosts: &str) -> String {
    requests(format!("{request_line} HTTP/1.1\r\n{hosts}\r\n"))
}

#[test]
fn a_request_has_exactly_one_valid_host() {
    for (hosts, wanted) in [
        ("Host: a\r\n", "GET / @a"),
        ("hOsT:\ta:8080 \r\n", "GET / @a:8080"),
        ("", "400 no_host"),
        ("Host: a\r\nHost: a\r\n", "400 hosts"),
        ("Host: a\r\nhost: b\r\n", "400 hosts"),
        ("Host:\r\n", "400 authority"),
        ("Host: \r\n", "400 authority"),
        ("Host: a b\r\n", "400 authority"),
        ("Host: a, b\r\n", "400 authority"),
        ("Host: a,\r\n", "400 authority"),
        ("Host: u@a\r\n", "400 authority"),
        ("Host: u:p@a\r\n", "400 authority"),
        ("Host: a/b\r\n", "400 authority"),
        ("Host: a?b\r\n", "400 authority"),
        ("Host: a#b\r\n", "400 authority"),
        ("Host: http://a\r\n", "400 authority"),
        ("Host: a:\r\n", "400 authority"),
        ("Host: a:0\r\n", "400 authority"),
        ("Host: a:080\r\n", "400 authority"),
        ("Host: a:65536\r\n", "400 authority"),
        ("Host: a:8x\r\n", "400 authority"),
        ("Host: a:80:80\r\n", "400 authority"),
        ("Host: a:+80\r\n", "400 authority"),
        ("Host: a%2eb\r\n", "400 authority"),
        ("Host: a\\b\r\n", "400 authority"),
        ("Host: [::1]\r\n", "GET / @[::1]"),
        ("Host: [::1]:81\r\n", "GET / @[::1]:81"),
        ("Host: [::1%25eth0]\r\n", "400 authority"),
        ("Host: [::1\r\n", "400 authority"),
        ("Host: ::1\r\n", "400 authority"),
        ("Host: [a]\r\n", "400 authority"),
        ("Host: .a\r\n", "400 authority"),
        ("Host: a..b\r\n", "400 authority"),
        ("Host: \u{e9}\r\n", "400 authority"),
    ] {
        assert_eq!(with("GET /", hosts), wanted, "{hosts:?}");
    }
}

#[test]
fn http_1_0_may_leave_the_host_out_but_not_send_a_wrong_one() {
    assert_eq!(requests("GET / HTTP/1.0\r\n\r\n"), "GET / @ 1.0 close");
    assert_eq!(requests("GET / HTTP/1.0\r\nHost:\r\n\r\n"), "400 authority");
    assert_eq!(requests("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), "400 hosts");
}

#[test]
fn the_authority_of_a_url_counts_and_host_must_be_valid_all_the_same() {
    for (line, hosts, wanted) in [
        ("GET http://B:80/x", "Host: a\r\n", "GET /x @b"),
        ("GET HTTP://b?q", "Host: a\r\n", "GET /?q @b"),
        ("GET http://b", "Host: a\r\n", "GET / @b"),
        ("OPTIONS http://b", "Host: a\r\n", "OPTIONS * @b"),
        ("OPTIONS http://b/", "Host: a\r\n", "OPTIONS / @b"),
        ("GET http://b/x", "", "400 no_host"),
        ("GET http://b/x", "Host: a, c\r\n", "400 authority"),
        ("GET http://u@b/x", "Host: b\r\n", "400 authority"),
        ("GET http:///x", "Host: b\r\n", "400 authority"),
        ("GET http://b\\@c/x", "Host: b\r\n", "400 authority"),
        ("GET https://b/x", "Host: b\r\n", "400 scheme"),
        ("GET ftp://b/x", "Host: b\r\n", "400 scheme"),
        ("GET b.example:80", "Host: b\r\n", "400 target_form"),
        ("GET http:/b/x", "Host: b\r\n", "400 target_form"),
    ] {
        assert_eq!(with(line, hosts), wanted, "{line} {hosts:?}");
    }
}

#[test]
fn connect_names_host_and_port_and_has_no_content() {
    for (line, lines, wanted) in [
        ("CONNECT B:443", "Host: b\r\n", "CONNECT  @b:443 tunnel='"),
        ("CONNECT b:80", "Host: b\r\n", "CONNECT  @b:80 tunnel='"),
        ("CONNECT [::1]:443", "Host: b\r\n", "CONNECT  @[::1]:443 tunnel='"),
        ("CONNECT b:443", "Host: b\r\nContent-Length: 0\r\n", "CONNECT  @b:443 tunnel='"),
        ("CONNECT b", "Host: b\r\n", "400 target_form"),
        ("CONNECT /", "Host: b\r\n", "400 target_form"),
        ("CONNECT http://b:80/", "Host: b\r\n", "400 target_form"),
        ("CONNECT u@b:443", "Host: b\r\n", "400 target_form"),
        ("CONNECT b:443", "Host: b\r\nContent-Length: 3\r\n", "400 connect_content"),
        ("CONNECT b:443", "Host: b\r\nTransfer-Encoding: chunked\r\n", "400 connect_content"),
        ("CONNECT b:443", "", "400 no_host"),
    ] {
        let wanted = if wanted.ends_with("='") { format!("{wanted}'") } else { wanted.to_owned() };
        assert_eq!(with(line, lines), wanted, "{line} {lines:?}");
    }
}

#[test]
fn equal_hosts_have_one_spelling() {
    for (spelling, wanted) in [
        ("secret.com", "secret.com"),
        ("Secret.COM", "secret.com"),
        ("secret.com:80", "secret.com"),
        ("secret.com.", "secret.com"),
        ("SECRET.com.:80", "secret.com"),
        ("secret.com.:8080", "secret.com:8080"),
        ("secret.com:443", "secret.com:443"),
        ("xn--scret-bsa.com", "xn--scret-bsa.com"),
        ("my_service", "my_service"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[0:0:0:0:0:0:0:1]:80", "[::1]"),
        ("[2001:DB8::1]:81", "[2001:db8::1]:81"),
    ] {
        assert_eq!(authority(spelling.as_bytes()).as_deref(), Ok(wanted), "{spelling}");
    }
    assert_eq!(host_and_port(b"A.:80").as_deref(), Ok("a:80"));
    assert!(host_and_port(b"a").is_err());
}

#[test]
fn names_have_the_lengths_that_dns_gives_them() {
    let label = "a".repeat(63);
    assert!(authority(label.as_bytes()).is_ok());
    assert!(authority(format!("{label}a").as_bytes()).is_err());
    let name = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(name.len(), 253);
    assert!(authority(name.as_bytes()).is_ok() && authority(format!("{name}.").as_bytes()).is_ok());
    assert!(authority(format!("{name}a").as_bytes()).is_err());
}

#[test]
fn a_canonical_host_is_not_copied() {
    for same in ["a", "a.b-c_d:8080", "10.0.0.1:1"] {
        assert!(matches!(authority(same.as_bytes()), Ok(std::borrow::Cow::Borrowed(text)) if text == same));
    }
}
