//! What a file may look like, and what is told about it.

use std::fmt::Write as _;

use super::*;

const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  namespace: shop\nspec:\n  ports:\n  - port: 80\n";

/// `LINE REASON FIELD: MESSAGE`, or `LINE KEY` for good ones.
fn told(bytes: &[u8]) -> Vec<String> {
    read_documents(bytes)
        .into_iter()
        .flat_map(|document| match document {
            Document::Good(read) => vec![format!("{} {}", read.line, read.key)],
            Document::Bad(problems) | Document::Closed(_, problems) => problems
                .into_iter()
                .map(|p| format!("{} {} {}", p.line, p.reason.as_str(), p.fault))
                .collect(),
        })
        .collect()
}

#[test]
fn several_documents_are_read_with_their_lines() {
    let text = format!(
        "# comment\n---\n{SERVICE}---\n# only a comment\n---\n{}",
        SERVICE.replace("name: a", "name: b")
    );
    assert_eq!(told(text.as_bytes()), ["3 Service shop/a", "14 Service shop/b"]);
}

#[test]
fn a_file_with_windows_line_ends_and_a_mark_of_order_is_read() {
    let text = format!("\u{feff}{}", SERVICE.replace('\n', "\r\n"));
    assert_eq!(told(text.as_bytes()), ["1 Service shop/a"]);
}

#[test]
fn a_file_of_comments_has_no_objects_and_no_problem() {
    assert_eq!(told(b"# nothing\n---\n# here\n"), Vec::<String>::new());
}

#[test]
fn an_empty_file_is_a_problem() {
    assert_eq!(told(b""), ["0 Empty : the file is empty; delete it if its objects shall go"]);
    assert_eq!(told(b" \n\n"), ["0 Empty : the file is empty; delete it if its objects shall go"]);
}

#[test]
fn text_that_is_not_utf_8_is_told_with_its_line() {
    assert_eq!(told(b"a: b\nc: \xff\n"), ["2 NotUTF8 : the file is not UTF-8 here; save it as UTF-8"]);
}

#[test]
fn a_syntax_error_spoils_its_own_document_only() {
    let told = told(
        format!("{SERVICE}---\na: [1, 2\nb: c\n---\n{}", SERVICE.replace("name: a", "name: b")).as_bytes(),
    );
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0], "1 Service shop/a");
    assert!(told[1].contains(" SyntaxError "), "{}", told[1]);
    let line: u64 = told[1].split(' ').next().unwrap().parse().unwrap();
    assert!((10..=12).contains(&line), "{}", told[1]);
    assert_eq!(told[2], "13 Service shop/b");
}

#[test]
fn each_kind_of_bad_document_is_told_with_line_and_field() {
    let table = [
        ("just text\n", "1 UnknownKind : the document is not an object with `apiVersion` and `kind`"),
        (
            "apiVersion: v1\nkind: Secret\n",
            "2 UnknownKind kind: `Secret` is not known; known kinds are Service, EndpointSlice, Namespace, HTTPRoute, GRPCRoute, TCPRoute, TLSRoute, UDPRoute, MeshConfig, Workload, ExternalService, FederatedTrustDomain, TrafficPolicy, AuthorizationPolicy, XBackendTrafficPolicy, AuthenticationPolicy, Canary, Pod, GatewayClass, XMesh",
        ),
        (
            "apiVersion: v2\nkind: Service\n",
            "1 UnknownKind apiVersion: `v2` is not known for Service; write `v1`",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  namespace: x\n",
            "4 MissingName metadata.name: Service needs a name, in quotes if it is a number",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - port: eighty\n",
            "7 Invalid spec.ports[0].port: invalid type: string \"eighty\", expected i32",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels:\n    version: 1\nspec: {}\n",
            "6 Invalid metadata.labels.version: needs a text, found the number 1; write it in quotes",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: a\nspec:\n  rules:\n  - backendRefs:\n    - name: b\n      weigth: 3\n",
            "9 UnknownField spec.rules[0].backendRefs[0].weigth: HTTPRoute has no such field",
        ),
        (
            "apiVersion: amime.io/v1alpha1\nkind: Workload\nmetadata:\n  name: a\nspec:\n  ports: []\n",
            "6 Invalid spec: missing field `address`",
        ),
        (
            "apiVersion: amime.io/v1alpha1\nkind: MeshConfig\nmetadata:\n  name: default\nspec:\n  mtls:\n    mode: Lax\n",
            "7 Invalid spec.mtls.mode: unknown variant `Lax`, expected one of `Strict`, `Permissive`, `Disabled`",
        ),
    ];
    for (text, line) in table {
        assert_eq!(told(text.as_bytes()), [line]);
    }
}

#[test]
fn an_unknown_field_of_a_kubernetes_kind_is_noted_only() {
    let text = format!("{SERVICE}  tomorrow: 1\n");
    let Document::Good(read) = read_documents(text.as_bytes()).remove(0) else { panic!("refused") };
    assert_eq!(read.notes.len(), 1);
    assert_eq!((read.notes[0].line, read.notes[0].fault.field.as_str()), (9, "spec.tomorrow"));
}

#[test]
fn status_and_null_fields_are_as_if_absent() {
    let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: a\n  creationTimestamp: null\nspec:\n  parentRefs: null\nstatus:\n  parents: []\n";
    assert_eq!(told(text.as_bytes()), ["1 HTTPRoute default/a"]);
}

#[test]
fn a_bomb_of_aliases_is_a_syntax_error() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e"), ("g", "f")] {
        writeln!(
            text,
            "{name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]"
        )
        .unwrap();
    }
    let told = told(text.as_bytes());
    assert!(told[0].contains("SyntaxError"), "{told:?}");
}

#[test]
fn deep_nesting_is_a_syntax_error_and_not_a_crash() {
    let text = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(told(text.as_bytes())[0].contains("SyntaxError"));
}
