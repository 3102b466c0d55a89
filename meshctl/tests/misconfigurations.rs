//! Mistakes that people make with identities and policies: for each of them `meshctl explain`, asked about a call that suffers, and
//! `meshctl authz` name the object, the field and the reason.
//!
//! `misconfigurations/base.yaml` is a mesh in which all is right; every other file adds one mistake. Its first lines say what is wrong, what
//! both commands are asked, and what they have to name: `OBJECT | FIELD | words of the reason`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/misconfigurations")
}

struct Case {
    path: PathBuf,
    explain: Vec<String>,
    authz: Vec<String>,
    object: String,
    field: String,
    word: String,
}

impl Case {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let line = |name: &str| {
            let mut lines = text.lines();
            let found =
                lines.find_map(|line| line.strip_prefix("# ")?.strip_prefix(name)?.strip_prefix(": "));
            found.unwrap_or_else(|| panic!("{}: no line `# {name}: …`", path.display())).to_owned()
        };
        assert!(!line("wrong").is_empty());
        let names = line("names");
        let [object, field, word] = names.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        Self {
            explain: words(&line("explain")),
            authz: words(&line("authz")),
            object: object.to_owned(),
            field: field.to_owned(),
            word: word.to_owned(),
            path,
        }
    }

    /// What the command prints, with and without the file.
    fn run(&self, command: &str, args: &[String], output: &str) -> (String, Option<i32>) {
        meshctl(command, args, &[&folder().join("base.yaml"), &self.path], output)
    }
}

/// As a shell would: blanks part words, single quotes hold them together.
fn words(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            found.last_mut().unwrap().push_str(part);
            continue;
        }
        let mut pieces = part.split(' ');
        found.last_mut().unwrap().push_str(pieces.next().unwrap());
        found.extend(pieces.map(str::to_owned));
    }
    found.retain(|word| !word.is_empty());
    found
}

fn meshctl(command: &str, args: &[String], files: &[&Path], output: &str) -> (String, Option<i32>) {
    let mut run = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    run.arg(command).args(args).args(["-o", output]);
    for file in files {
        run.arg("-f").arg(file);
    }
    let answer = run.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = answer.status.code();
    assert!(matches!(code, Some(0 | 1)), "{command} {args:?}: {}", text(&answer.stderr));
    (text(&answer.stdout), code)
}

/// Every statement of an answer: what belongs together, as one text.
fn statements(answer: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found: Vec<String> = list(&answer["problems"]).iter().map(leaves).collect();
    found.extend(list(&answer["authorization"]).iter().map(leaves));
    found.extend(
        list(&answer["doors"]).iter().flat_map(|door| list(&door["callers"])).map(|row| leaves(&row)),
    );
    for object in list(&answer["objects"]) {
        let name = object["object"].as_str().unwrap().to_owned();
        let conditions = list(&object["conditions"]);
        found.extend(conditions.iter().map(|condition| format!("{name} {}", leaves(condition))));
    }
    found
}

/// All texts below a value.
fn leaves(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text} "),
        Value::Array(entries) => entries.iter().map(leaves).collect(),
        Value::Object(entries) => entries.values().map(leaves).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

#[test]
fn explain_and_authz_name_object_field_and_reason_of_every_mistake() {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "yaml") && !path.ends_with("base.yaml"));
    paths.sort();
    let cases: Vec<Case> = paths.into_iter().map(Case::read).collect();
    assert!(cases.len() >= 30, "{} cases", cases.len());
    let mut missed = Vec::new();
    for case in &cases {
        for (command, args) in [("explain", &case.explain), ("authz", &case.authz)] {
            let (json, _) = case.run(command, args, "json");
            let answer: Value = serde_json::from_str(&json).unwrap();
            let wanted = [&case.object, &case.field, &case.word];
            let named = statements(&answer)
                .iter()
                .any(|statement| wanted.iter().all(|part| statement.contains(part.as_str())));
            let (text, _) = case.run(command, args, "table");
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown = wanted.iter().all(|part| flat.contains(part.as_str()));
            if !(named && shown) {
                missed.push(format!(
                    "{}: {command} (named {named}, shown {shown}):\n{text}",
                    case.path.display()
                ));
            }
        }
    }
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), 2 * cases.len(), missed.join("\n"));
}

// Without the mistake nothing of it is said: what is named above comes from the file and not from the mesh.
#[test]
fn without_a_mistake_nothing_is_wrong() {
    let base = folder().join("base.yaml");
    for (command, args) in [
        ("explain", "GET http://orders.shop/orders/7 --from web-1.front"),
        ("explain", "tcp://db.shop:5432 --from web-1.front"),
        ("authz", "orders.shop --from web-1.front --request 'GET /orders/7'"),
        ("authz", ""),
    ] {
        let (json, code) = meshctl(command, &words(args), &[&base], "json");
        let answer: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((code, &answer["fine"]), (Some(0), &Value::Bool(true)), "{command} {args}: {json}");
        let policies = statements(&answer).iter().any(|statement| statement.contains("Policy "));
        assert!(!policies, "{command} {args}: {json}");
    }
}
