//! The host that the first bytes of a request of HTTP/1 name, for a label. Pure, and no parser of HTTP: what is odd has no name.

/// The value of the first `Host` field, without its port; `None` if there is none (yet).
pub fn host(head: &[u8]) -> Option<&str> {
    let mut lines = head.split_inclusive(|b| *b == b'\n').skip(1);
    let value = loop {
        let line = lines.next()?;
        // A line that is not whole may still be the beginning of another value.
        let line = line.strip_suffix(b"\n")?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return None;
        }
        match line.split_at_checked(5) {
            Some((name, value)) if name.eq_ignore_ascii_case(b"host:") => break value,
            _ => {}
        }
    };
    let value = std::str::from_utf8(value).ok()?.trim();
    let host = match value.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => value.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_of_a_head_is_found_once_its_line_is_whole() {
        let head = b"GET / HTTP/1.1\r\nAccept: */*\r\nHOST:  api.example.com:8080 \r\n\r\n";
        assert_eq!(host(head), Some("api.example.com"));
        assert_eq!(host(&head[..40]), None);
        assert_eq!(host(b"GET / HTTP/1.1\r\nhost: [2001:db8::1]:80\r\n"), Some("2001:db8::1"));
        assert_eq!(host(b"GET / HTTP/1.0\r\n\r\nHost: body\r\n"), None);
        assert_eq!(host(b"GET / HTTP/1.1\r\nHost: \r\n"), None);
        assert_eq!(host(b"GET /"), None);
        assert_eq!(host(b"\x00\xff\n\xffhost:\n"), None);
    }
}
