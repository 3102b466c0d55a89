//! The examples of other meshes with their tables of requests. A line is `METHOD URL | HEADERS | EXPECTED`; what is expected is
//! `NS/SERVICE:PORT [SHARE%] … [path=…] [host=…]`, `redirect STATUS LOCATION`, `direct STATUS`, or a status.

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
    pub(crate) tests: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) expected: Expected,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    Sent { backends: BTreeMap<String, Option<u32>>, path: Option<String>, host: Option<String> },
    Redirect { status: u16, location: String },
    Direct(u16),
    Fails(u16),
}

pub(crate) fn examples() -> Vec<Example> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrate/tests/examples");
    let mut found = Vec::new();
    for source in ["app-mesh", "istio", "linkerd", "flagger", "argo-rollouts"] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder.join(source)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| {
            let name = file.file_name().unwrap().to_string_lossy();
            name.ends_with(".yaml") && !name.ends_with(".test.yaml")
        });
        files.sort();
        for file in files {
            let name = format!("{source}/{}", file.file_stem().unwrap().to_string_lossy());
            let table = std::fs::read_to_string(file.with_extension("routes")).unwrap_or_default();
            let lines = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            let tests = Some(file.with_extension("test.yaml")).filter(|tests| tests.exists());
            found.push(Example {
                name,
                source: source.to_owned(),
                rows: lines.map(row).collect(),
                tests,
                file,
            });
        }
    }
    found
}

fn row(line: &str) -> Row {
    let parts: Vec<&str> = line.split(" | ").collect();
    let (method, url) = parts[0].split_once(' ').unwrap();
    let headers = parts[1].split("; ").filter_map(|header| header.split_once(": "));
    Row {
        method: method.to_owned(),
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
            let (mut backends, mut path, mut host, mut last) = (BTreeMap::new(), None, None, String::new());
            for word in words {
                if let Some(share) = word.strip_suffix('%') {
                    backends.insert(last.clone(), Some(share.parse().unwrap()));
                } else if let Some(found) = word.strip_prefix("path=") {
                    path = Some(found.to_owned());
                } else if let Some(found) = word.strip_prefix("host=") {
                    host = Some(found.to_owned());
                } else {
                    (*word).clone_into(&mut last);
                    backends.insert(last.clone(), None);
                }
            }
            Expected::Sent { backends, path, host }
        }
    }
}

impl Expected {
    /// What differs in an answer of `meshctl explain`.
    pub(crate) fn differs(&self, answer: &Value) -> Option<String> {
        let result = &answer["result"];
        let as_told = || Some(format!("{self:?}, but {result}"));
        match self {
            Self::Redirect { status, location } => {
                let same = result["kind"] == "redirect"
                    && result["status"] == *status
                    && result["location"] == *location;
                if same { None } else { as_told() }
            }
            Self::Direct(status) => {
                if result["kind"] == "direct_response" && result["status"] == *status {
                    None
                } else {
                    as_told()
                }
            }
            Self::Fails(status) => {
                if result["kind"] == "failure" && result["status"] == *status {
                    None
                } else {
                    as_told()
                }
            }
            Self::Sent { backends, path, host } => {
                let shares = answer["backends"].as_array().unwrap().iter().filter_map(|backend| {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
                    let share = (backend["share"].as_f64().unwrap() * 100.0).round() as u32;
                    (share > 0).then(|| (backend["target"].as_str().unwrap().to_owned(), share))
                });
                let shares: BTreeMap<String, u32> = shares.collect();
                let wanted: BTreeMap<String, u32> =
                    backends.iter().map(|(name, share)| (name.clone(), share.unwrap_or(100))).collect();
                if shares != wanted || result["kind"] != "sent" {
                    return Some(format!("{wanted:?}, but {shares:?}, {result}"));
                }
                let same_path = path.as_ref().is_none_or(|path| result["target"] == *path);
                let same_host = host.as_ref().is_none_or(|host| result["authority"] == *host);
                if same_path && same_host { None } else { as_told() }
            }
        }
    }

    /// What differs in an answer to a request that was sent: its status, who answered, its location.
    pub(crate) fn answered(
        &self,
        (status, by, location): &(u16, String, String),
        body: &str,
    ) -> Option<String> {
        let got = || Some(format!("{self:?}, but {status} by `{by}`, to `{location}`: {body}"));
        match self {
            Self::Redirect { status: wanted, location: to } => {
                if status == wanted && location == to {
                    None
                } else {
                    got()
                }
            }
            Self::Direct(wanted) | Self::Fails(wanted) => {
                if status == wanted && by.is_empty() {
                    None
                } else {
                    got()
                }
            }
            Self::Sent { backends, path, host } => {
                let one_of = backends.keys().any(|name| name.rsplit_once(':').unwrap().0 == by);
                let path = path.as_ref().is_none_or(|path| body.contains(&format!(" {path}\n")));
                let host = host.as_ref().is_none_or(|host| body.contains(&format!("host: {host}\n")));
                if *status == 200 && one_of && path && host { None } else { got() }
            }
        }
    }
}

impl Example {
    fn migrated(&self, home: &Home) -> Vec<Value> {
        let output = home.output(&["migrate", &self.source, self.file.to_str().unwrap(), "-o", "json"]);
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        all["objects"].as_array().unwrap().clone()
    }

    /// The Services that are there already.
    fn there(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let documents = text.split("\n---\n").map(|part| serde_saphyr::from_str::<Value>(part).unwrap());
        documents.filter(|one| one["kind"] == "Service" && one["apiVersion"] == "v1").collect()
    }

    /// A folder with all that there is: objects, Services and somebody behind each.
    pub(crate) fn write(&self, home: &Home) -> PathBuf {
        let folder = home.path().join(self.name.replace('/', "-"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut objects: Vec<Value> = self.there();
        objects.extend(self.migrated(home));
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
        let text = objects.iter().map(|object| format!("---\n{object}\n")).collect::<Vec<_>>().concat();
        std::fs::write(folder.join("objects.yaml"), text).unwrap();
        folder
    }

    /// The Services that requests go to, `NS/NAME`, each with the labels of a member of its own.
    pub(crate) fn behind(&self, home: &Home) -> Vec<(String, Vec<String>)> {
        let meant: BTreeSet<String> = self
            .rows
            .iter()
            .filter_map(|row| match &row.expected {
                Expected::Sent { backends, .. } => {
                    Some(backends.keys().map(|name| name.rsplit_once(':').unwrap().0.to_owned()))
                }
                _ => None,
            })
            .flatten()
            .collect();
        let mut all = self.there();
        all.extend(self.migrated(home));
        let services = all.iter().filter(|one| one["kind"] == "Service");
        let found = services.filter_map(|service| {
            let name = full_name(service);
            meant.contains(&name).then(|| {
                let label = format!("member={}", name.replace('/', "."));
                (name, vec![label])
            })
        });
        found.collect()
    }

    /// Puts the objects into a mesh that runs. Ports and selectors of Services are those of its members.
    pub(crate) fn apply(&self, home: &Home) {
        let mut objects = self.there();
        objects.extend(self.migrated(home));
        for service in objects.iter_mut().filter(|one| one["kind"] == "Service") {
            let member = full_name(service).replace('/', ".");
            service["spec"]["selector"] = json!({ "member": member });
            for port in service["spec"]["ports"].as_array_mut().unwrap() {
                port["targetPort"] = json!("http");
            }
        }
        // The settings of the mesh are one object; the example's are not what is tried here.
        objects.retain(|one| one["kind"] != "MeshConfig");
        let text = objects.iter().map(|object| format!("---\n{object}\n")).collect::<Vec<_>>().concat();
        std::fs::write(home.objects().join(format!("{}.yaml", self.name.replace('/', "-"))), text).unwrap();
    }
}

fn full_name(service: &Value) -> String {
    format!(
        "{}/{}",
        service["metadata"]["namespace"].as_str().unwrap(),
        service["metadata"]["name"].as_str().unwrap()
    )
}
