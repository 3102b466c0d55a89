//! What the client in the test image prints about the answers that it got, one block a request. Pure.

/// One answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// What the client sent and got, and what the server says that it saw; `Location:/x` under `ResponseHeader`.
    fields: Vec<(String, String)>,
}

impl Reply {
    /// The first value of a field: `StatusCode`, `URL`, `Host`, `Method`, `Proto`, `Hostname`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The values of a header, `RequestHeader` as the server saw it or `ResponseHeader` as the client did; names in any case.
    pub(crate) fn headers(&self, kind: &str, name: &str) -> Vec<&str> {
        let of_kind = self.fields.iter().filter(|(field, _)| field == kind);
        let split = of_kind.filter_map(|(_, value)| value.split_once(':'));
        split.filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// Which Deployment answered: the pod's name without its last two parts.
    pub(crate) fn backend(&self) -> Option<&str> {
        let pod = self.field("Hostname")?;
        Some(pod.rsplitn(3, '-').nth(2).unwrap_or(pod))
    }
}

/// Reads everything that one run of the client printed.
pub(crate) fn read(printed: &str) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    for line in printed.lines() {
        let Some((number, field)) = numbered(line) else { continue };
        let Some((name, value)) = field.split_once('=') else { continue };
        if replies.len() <= number {
            replies.resize(number + 1, Reply::default());
        }
        // WebSocket's echo and the status share a line.
        let name = if name.ends_with("StatusCode") { "StatusCode" } else { name };
        if let Some(reply) = replies.get_mut(number) {
            reply.fields.push((name.to_owned(), value.to_owned()));
        }
    }
    replies
}

/// `[0] StatusCode=200` or `[0 body] URL=/`. Numbers beyond any count of ours are no answers.
fn numbered(line: &str) -> Option<(usize, &str)> {
    let (number, field) = line.strip_prefix('[')?.split_once("] ")?;
    let number = number.strip_suffix(" body").unwrap_or(number).parse().ok()?;
    (number < 100_000).then_some((number, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "[0] Url=http://echo/x
[0] StatusCode=302
[0] ResponseHeader=Location:http://example.org:8080/x
[0 body] URL=/x
[0 body] RequestHeader=Foo:bar
[0 body] Hostname=echo-v1-6c8f9d-abcde

[1] StatusCode=200
[1 body] Hostname=echo-v2-6c8f9d-abcde

2026-11-29T20:49:20.569787Z\tinfo\tAll 2 requests succeeded
";

    #[test]
    fn every_block_is_one_reply() {
        let replies = read(PRINTED);
        assert_eq!(replies.len(), 2);
        assert_eq!(replies[0].field("StatusCode"), Some("302"));
        assert_eq!(replies[0].headers("ResponseHeader", "location"), ["http://example.org:8080/x"]);
        assert_eq!(replies[0].headers("RequestHeader", "foo"), ["bar"]);
        assert_eq!(replies[0].backend(), Some("echo-v1"));
        assert_eq!(replies[1].backend(), Some("echo-v2"));
    }

    #[test]
    fn what_is_no_block_is_left_out() {
        assert_eq!(read("2026\tfatal\tError 1/1 requests had errors\n[x] a=b\n[0] nothing\n"), []);
    }
}
