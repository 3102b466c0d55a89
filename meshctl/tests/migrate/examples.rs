//! The examples of other meshes with their tables of requests.
//!
//! A line is `[!]METHOD URL | HEADERS | EXPECTED`; one that begins with `!` is only sent, all others are judged offline too. `TCP` stands for
//! a connection. What is expected is `NS/SERVICE:PORT [SHARE%] … [WORD=…]…`, `redirect STATUS LOCATION`, `direct STATUS`, or a status with
//! which the mesh itself answers. Words: `path`, `host` (what the application is asked), `sees` and `unseen` (a header that it gets or does
//! not), `gets` (a header of the answer), `status` (the application's), `tries` (how often it is asked), `copied` (the Service that gets
//! a copy), `timeouts`, `retries` (what `meshctl explain` says). In headers `#` is another number each time.
//! `says EFFECT WORDS`: what the report says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::Home;

pub(crate) struct Example {
    /// `SOURCE/NAME`.
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) file: PathBuf,
    pub(crate) rows: Vec<Row>,
    /// Effects and words.
    pub(crate) says: Vec<(String, String)>,
    pub(crate) tests: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) offline: bool,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) expected: Expected,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    Sent(Sent),
    Redirect { status: u16, location: String },
    Direct(u16),
    Fails(u16),
}

/// What goes to a backend.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sent {
    pub(crate) backends: BTreeMap<String, Option<u32>>,
    pub(crate) words: Vec<(String, String)>,
}

impl Sent {
    pub(crate) fn word(&self, key: &str) -> Option<&str> {
        self.words.iter().find(|(of, _)| of == key).map(|(_, value)| value.as_str())
    }

    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.words.iter().filter(move |(of, _)| of == key).map(|(_, value)| value.as_str())
    }

    /// Services without ports.
    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        self.backends.keys().map(|name| name.rsplit_once(':').unwrap().0)
    }
}

/// An answer to a request that was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Got {
    pub(crate) status: u16,
    /// Of the application that answered; empty for the mesh itself.
    pub(crate) by: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// How often the applications were asked for it.
    pub(crate) tries: usize,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value)
    }
}

pub(crate) fn examples() -> Vec<Example> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrate/tests/examples");
    let mut found = Vec::new();
    for source in ["app-mesh", "istio", "linkerd", "flagger", "argo-rollouts"] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder.join(source)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| {
            let name = file.file_name().unwrap().to_string_lossy();
            (name.ends_with(".yaml") && !name.ends_with(".test.yaml")) || name.ends_with(".json")
        });
        files.sort();
        for file in files {
            let name = format!("{source}/{}", file.file_stem().unwrap().to_string_lossy());
            let table = std::fs::read_to_string(file.with_extension("routes")).unwrap_or_default();
            let lines = || table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            let said = |line: &str| {
                let (effect, words) = line.strip_prefix("says ")?.split_once(' ')?;
                Some((effect.to_owned(), words.to_owned()))
            };
            found.push(Example {
                name,
                source: source.to_owned(),
                rows: lines().filter(|line| !line.starts_with("says ")).map(row).collect(),
                says: lines().filter_map(said).collect(),
                tests: Some(file.with_extension("test.yaml")).filter(|tests| tests.exists()),
                file,
            });
        }
    }
    found
}

fn row(line: &str) -> Row {
    let parts: Vec<&str> = line.split(" | ").collect();
    assert_eq!(parts.len(), 3, "{line}");
    let (method, url) = parts[0].split_once(' ').unwrap();
    let headers = parts[1].split("; ").filter_map(|header| header.split_once(": "));
    Row {
        offline: !method.starts_with('!'),
        method: method.trim_start_matches('!').to_owned(),
        url: url.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        expected: expected(parts[2]),
    }
}

fn expected(text: &str) -> Expected {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["redirect", status, location] => {
            Expected::Redirect { status: status.parse().unwrap(), location: (*location).to_owned() }
        }
        ["direct", status] => Expected::Direct(status.parse().unwrap()),
        [status] if status.parse::<u16>().is_ok() => Expected::Fails(status.parse().unwrap()),
        words => {
            let (mut sent, mut last) = (Sent::default(), String::new());
            for word in words {
                if let Some(share) = word.strip_suffix('%') {
                    sent.backends.insert(last.clone(), Some(share.parse().unwrap()));
                } else if let Some((key, value)) = word.split_once('=') {
                    sent.words.push((key.to_owned(), value.to_owned()));
                } else {
                    (*word).clone_into(&mut last);
                    sent.backends.insert(last.clone(), None);
                }
            }
            Expected::Sent(sent)
        }
    }
}

impl Expected {
    /// What differs in an answer of `meshctl explain`.
    pub(crate) fn differs(&self, answer: &Value) -> Option<String> {
        let result = &answer["result"];
        let is = |kind: &str, status: u16| result["kind"] == kind && result["status"] == status;
        let same = match self {
            Self::Redirect { status, location } => is("redirect", *status) && result["location"] == *location,
            Self::Direct(status) => is("direct_response", *status),
            Self::Fails(status) => is("failure", *status),
            Self::Sent(sent) => return sent.differs(answer),
        };
        (!same).then(|| format!("{self:?}, but {result}"))
    }

    /// What differs in an answer to a request that was sent.
    pub(crate) fn answered(&self, got: &Got) -> Option<String> {
        let same = match self {
            Self::Redirect { status, location } => {
                got.status == *status && got.header("location") == location
            }
            Self::Direct(wanted) | Self::Fails(wanted) => got.status == *wanted && got.by.is_empty(),
            Self::Sent(sent) => sent.is(got),
        };
        (!same).then(|| format!("{self:?}, but {got:?}"))
    }
}

impl Sent {
    fn differs(&self, answer: &Value) -> Option<String> {
        let result = &answer["result"];
        let shares = answer["backends"].as_array().unwrap().iter().filter_map(|backend| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
            let share = (backend["share"].as_f64().unwrap() * 100.0).round() as u32;
            (share > 0).then(|| (backend["target"].as_str().unwrap().to_owned(), share))
        });
        let shares: BTreeMap<String, u32> = shares.collect();
        let wanted: BTreeMap<String, u32> =
            self.backends.iter().map(|(name, share)| (name.clone(), share.unwrap_or(100))).collect();
        let sent = result["kind"] == "sent" || result["kind"] == "bytes";
        let setting = |name: &str| {
            let mut all = answer["settings"].as_array().into_iter().flatten();
            all.find(|one| one["setting"] == name).map_or("", |one| one["value"].as_str().unwrap())
        };
        let word = |key: &str, there: &str| {
            self.word(key).is_none_or(|wanted| there.replace(' ', "_").contains(wanted))
        };
        let same = shares == wanted
            && sent
            && self.word("path").is_none_or(|path| result["target"] == path)
            && self.word("host").is_none_or(|host| result["authority"] == host)
            && word("timeouts", setting("timeouts"))
            && word("retries", setting("retries"));
        let settings = || (setting("timeouts").to_owned(), setting("retries").to_owned());
        (!same).then(|| format!("{self:?}, but {shares:?}, {result}, {:?}", settings()))
    }

    fn is(&self, got: &Got) -> bool {
        let header = |name: &str| {
            got.body.lines().skip(1).find_map(|line| line.split_once(": ").filter(|(of, _)| *of == name))
        };
        let pair = |text: &str| {
            let (name, value) = text.split_once(':').unwrap();
            (name.to_owned(), value.to_owned())
        };
        let status = self.word("status").map_or(200, |status| status.parse().unwrap());
        got.status == status
            && self.services().any(|name| name == got.by)
            && self.word("path").is_none_or(|path| got.body.contains(&format!(" {path}\n")))
            && self.word("host").is_none_or(|host| header("host").is_some_and(|(_, is)| is == host))
            && self
                .all("sees")
                .map(pair)
                .all(|(name, wanted)| header(&name).is_some_and(|(_, is)| is == wanted))
            && self.all("unseen").all(|name| header(name).is_none())
            && self.all("gets").map(pair).all(|(name, wanted)| got.header(&name) == wanted)
            && self.word("tries").is_none_or(|tries| got.tries == tries.parse::<usize>().unwrap())
    }
}

impl Example {
    /// What `meshctl migrate` prints as JSON.
    pub(crate) fn migration(&self, home: &Home) -> Value {
        let output = home.output(&["migrate", &self.source, self.file.to_str().unwrap(), "-o", "json"]);
        let told = || panic!("{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| told())
    }

    /// What of the words that are to be said is not.
    pub(crate) fn unsaid(&self, migration: &Value) -> Vec<String> {
        let report = &migration["report"];
        let lines: Vec<&Value> =
            ["fields", "notes"].iter().flat_map(|key| report[key].as_array().unwrap()).collect();
        let is_said = |(effect, words): &&(String, String)| {
            lines.iter().any(|line| line["effect"] == *effect && line.to_string().contains(words.as_str()))
        };
        self.says
            .iter()
            .filter(|said| !is_said(said))
            .map(|(effect, words)| format!("{effect} {words}"))
            .collect()
    }

    /// All that there is with the objects that came of it: Services that are there already, too.
    pub(crate) fn objects(&self, migration: &Value) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let documents = text.split("\n---\n").map(|part| serde_saphyr::from_str::<Value>(part).unwrap());
        let is_service = |one: &Value| one["kind"] == "Service" && one["apiVersion"] == "v1";
        let there = if self.file.extension().is_some_and(|end| end == "json") {
            vec![]
        } else {
            documents.filter(is_service).collect()
        };
        let known: BTreeSet<String> = there.iter().map(full_name).collect();
        let ours = migration["objects"].as_array().unwrap().iter();
        let ours = ours.filter(|one| !(is_service(one) && known.contains(&full_name(one)))).cloned();
        there.into_iter().chain(ours).collect()
    }

    /// A folder with all that there is: objects, Services and somebody behind each.
    pub(crate) fn write(&self, home: &Home, migration: &Value) -> PathBuf {
        let folder = home.path().join(self.name.replace('/', "-"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut objects = self.objects(migration);
        let mut members = Vec::new();
        for (at, service) in objects.iter().filter(|one| one["kind"] == "Service").enumerate() {
            let Some(selector) = service["spec"].get("selector") else { continue };
            let ports = service["spec"]["ports"].as_array().unwrap().iter().map(|port| {
                let target = port.get("targetPort").unwrap_or(&port["port"]);
                json!({ "name": target.as_str().unwrap_or(port["name"].as_str().unwrap_or("main")), "port": target.as_u64().unwrap_or(8080) })
            });
            members.push(json!({
                "apiVersion": "amime.io/v1alpha1", "kind": "Workload",
                "metadata": { "name": format!("w{at}"), "namespace": service["metadata"]["namespace"], "labels": selector },
                "spec": { "address": format!("127.9.1.{}", at + 1), "ports": ports.collect::<Vec<_>>() },
            }));
        }
        // Judged with stand-ins, tests need no members; two members of one selector would stand beside them.
        if self.tests.is_none() {
            objects.extend(members);
        }
        std::fs::write(folder.join("objects.yaml"), text(&objects)).unwrap();
        folder
    }
}

pub(crate) fn text(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("---\n{object}\n")).collect::<Vec<_>>().concat()
}

/// `NS/NAME`.
pub(crate) fn full_name(object: &Value) -> String {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    format!("{namespace}/{}", object["metadata"]["name"].as_str().unwrap())
}
