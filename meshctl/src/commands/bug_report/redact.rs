//! What must not leave the cluster, taken out of objects and texts: keys, tokens, passwords, values of the environment. Pure. Removing too
//! much is the smaller fault.

use regex::{Captures, Regex, Replacer};
use serde_json::{Map, Value};

/// Stands where something was.
const REMOVED: &str = "<removed>";
/// How names end whose values are secret, in small letters and digits alone.
const SECRET_NAMES: [&str; 12] = [
    "token",
    "password",
    "passwd",
    "secret",
    "authorization",
    "apikey",
    "accesskey",
    "privatekey",
    "cookie",
    "credential",
    "credentials",
    "passphrase",
];

/// Patterns of secrets in running text, and what is written in their place.
const PATTERNS: [(&str, &str); 7] = [
    (
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
        "<removed private key>",
    ),
    // The same in base64: "PRIVATE KEY" at each of the three places in a group.
    (
        r"LS0tLS1CRUdJTi[A-Za-z0-9+/]*?(?:UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW)[A-Za-z0-9+/=]*(?:\s+[A-Za-z0-9+/]{60,}={0,2})*(?:\s+[A-Za-z0-9+/]+={1,2})?",
        "<removed private key>",
    ),
    (r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "<removed token>"),
    (
        r#"(?i)(authorization|cookie|x-api-key|password|passwd|passphrase)(\\*"?\s*[:=]\s*\\*"?)[^"\r\n]+"#,
        "${1}${2}<removed>",
    ),
    (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", "${1} <removed>"),
    (
        r#"(?i)(token|secret|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)(\\*"?\s*=\s*\\*"?|\\*"\s*:\s*\\*")[^\s"&,;]+"#,
        "${1}${2}<removed>",
    ),
    (r"://[^/\s:@]+:[^/\s@]+@", "://<removed>@"),
];

/// Takes secrets out.
pub(super) struct Redactor {
    patterns: Vec<(Regex, Substitute)>,
}

#[derive(Clone, Copy)]
struct Substitute(&'static str);

impl Replacer for Substitute {
    fn replace_append(&mut self, found: &Captures<'_>, out: &mut String) {
        found.expand(self.0, out);
    }
}

impl Redactor {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let compiled =
            PATTERNS.iter().map(|(pattern, instead)| Ok((Regex::new(pattern)?, Substitute(instead))));
        Ok(Self { patterns: compiled.collect::<Result<_, regex::Error>>()? })
    }

    /// Running text, as a log.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (pattern, instead) in &self.patterns {
            if pattern.is_match(&text) {
                text = pattern.replace_all(&text, *instead).into_owned();
            }
        }
        text
    }

    /// An object of Kubernetes, a dump or an answer.
    pub(super) fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => self.array(items),
            Value::Object(map) => self.object(map),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// In a list of words, as of a command line or a pair of a header, what follows a secret's name is one.
    fn array(&self, items: &mut [Value]) {
        let mut secret = false;
        for item in items {
            let next = item.as_str().is_some_and(is_secret);
            match item {
                Value::String(text) if secret => REMOVED.clone_into(text),
                item => self.value(item),
            }
            secret = next;
        }
    }

    fn object(&self, map: &mut Map<String, Value>) {
        let named = |key| map.get(key).and_then(Value::as_str).is_some_and(is_secret);
        let value_is_secret = named("name") || named("key");
        let is_kind_secret = map.get("kind").and_then(Value::as_str) == Some("Secret");
        // Both repeat the object, and neither says more than it.
        map.remove("managedFields");
        map.remove("kubectl.kubernetes.io/last-applied-configuration");
        for (key, value) in map {
            match key.as_str() {
                "data" | "stringData" if is_kind_secret => blank(value),
                "value" if value_is_secret => blank(value),
                "env" => self.environment(value),
                _ if value.is_string() && is_secret(key) => blank(value),
                _ => self.value(value),
            }
        }
    }

    /// Names and references stay, values go, whatever their names.
    fn environment(&self, variables: &mut Value) {
        for variable in variables.as_array_mut().into_iter().flatten() {
            if let Some(value) = variable.get_mut("value") {
                blank(value);
            }
        }
        self.value(variables);
    }
}

/// Whether what has this name is secret.
fn is_secret(name: &str) -> bool {
    // A path is not the name of a value.
    if name.contains('/') {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    let letters: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    SECRET_NAMES.iter().any(|end| letters.ends_with(end))
        || lower.strip_suffix("key").is_some_and(|stem| stem.ends_with(['.', '-', '_']))
}

/// Keeps the keys of a map and nothing else.
fn blank(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(blank),
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::Null => {}
        other => *other = REMOVED.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_taken_out_of_texts() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl";
        let cases = [
            ("all is well", "all is well"),
            (
                "a -----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY----- b",
                "a <removed private key> b",
            ),
            ("cut -----BEGIN PRIVATE KEY-----\nMHc", "cut <removed private key>"),
            ("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1IYw== x", "<removed private key> x"),
            ("LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0tCg==", "<removed private key>"),
            ("LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo=", "<removed private key>"),
            ("LS0tLS1CRUdJTiBPUEVOU1NIIFBSSVZBVEUgS0VZLS0tLS0K", "<removed private key>"),
            ("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="),
            (&format!("got {jwt}, fine"), "got <removed token>, fine"),
            ("Authorization: Bearer abc\nnext", "Authorization: <removed>\nnext"),
            (r#"{"authorization":"Basic YTpi","a":1}"#, r#"{"authorization":"<removed>","a":1}"#),
            (r#"\"password\":\"hunter2\" x"#, r#"\"password\":\"<removed>" x"#),
            ("password=hunter2", "password=<removed>"),
            ("sent Bearer abcdefgh.ijk to x", "sent Bearer <removed> to x"),
            ("GET /?access_token=abc&a=b", "GET /?access_token=<removed>&a=b"),
            ("--token=abc --port=1", "--token=<removed> --port=1"),
            (r#"{"client_secret": "abc", "x": 1}"#, r#"{"client_secret": "<removed>", "x": 1}"#),
            ("https://me:pass@host/x", "https://<removed>@host/x"),
            ("cannot read token: no such file", "cannot read token: no such file"),
            ("http://10.0.0.1:8080/a@b", "http://10.0.0.1:8080/a@b"),
        ];
        let redactor = Redactor::new().unwrap();
        for (text, wanted) in cases {
            assert_eq!(redactor.text(text), wanted, "{text}");
        }
    }

    #[test]
    fn secrets_are_taken_out_of_objects() {
        let cases = [
            (
                json!({"kind": "Secret", "metadata": {"name": "a"}, "data": {"tls.key": "QQ==", "x": "Qg=="}}),
                json!({"kind": "Secret", "metadata": {"name": "a"}, "data": {"tls.key": "<removed>", "x": "<removed>"}}),
            ),
            (
                json!({"env": [{"name": "A", "value": "b"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                json!({"env": [{"name": "A", "value": "<removed>"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            ),
            (
                json!({"set": [{"name": "Authorization", "value": "x"}, {"name": "x-a", "value": "y"}]}),
                json!({"set": [{"name": "Authorization", "value": "<removed>"}, {"name": "x-a", "value": "y"}]}),
            ),
            (
                json!({"headers": [{"name": "cookie", "value": {"exact": "x"}}]}),
                json!({"headers": [{"name": "cookie", "value": {"exact": "<removed>"}}]}),
            ),
            (
                json!({"set": [["authorization", "x"], ["x-a", "y"]], "args": ["--token", "x", "--jwt-file", "/t"]}),
                json!({"set": [["authorization", "<removed>"], ["x-a", "y"]], "args": ["--token", "<removed>", "--jwt-file", "/t"]}),
            ),
            (
                json!({"metadata": {"managedFields": [1], "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"}}}),
                json!({"metadata": {"annotations": {"a": "b"}}}),
            ),
            (
                json!({"clientSecret": "x", "ca.key": "y", "secretName": "z", "secret": {"name": "w"}, "automountServiceAccountToken": false}),
                json!({"clientSecret": "<removed>", "ca.key": "<removed>", "secretName": "z", "secret": {"name": "w"}, "automountServiceAccountToken": false}),
            ),
            (
                json!({"resources": ["serviceaccounts/token", "pods"], "n": 1, "deep": [{"log": "password=x"}]}),
                json!({"resources": ["serviceaccounts/token", "pods"], "n": 1, "deep": [{"log": "password=<removed>"}]}),
            ),
        ];
        let redactor = Redactor::new().unwrap();
        for (mut object, wanted) in cases {
            redactor.value(&mut object);
            assert_eq!(object, wanted);
        }
    }
}
