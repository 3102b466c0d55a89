//! The objects that an explanation is about: read from a folder, files or standard input, and compiled by the controller's
//! own functions. It must not know what is asked about them.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mesh_controller::api::ObjectKey;
use mesh_controller::compile::{Compiled, compile};
use mesh_controller::index::Index;
use mesh_controller::sources::node::Node;
use mesh_controller::sources::refused;
use mesh_controller::sources::scan;
use mesh_controller::sources::state::{Contents, DirState, Report};
use mesh_model::spiffe::TrustDomain;
use serde_json::Value;

/// The trust domain where no MeshConfig names one. Explanations do not depend on it, only identities do.
const TRUST_DOMAIN: &str = "mesh.local";

/// Why there are no objects to explain with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("cannot read objects from `{path}`: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    #[error("no object is in {from}: files end in .yaml or .yml and hold objects such as a Service")]
    Empty { from: String },
    #[error("the MeshConfig's trust domain is not valid")]
    TrustDomain(#[from] mesh_model::spiffe::InvalidSpiffeId),
}

/// What was read and what became of it.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) index: Index,
    pub(crate) compiled: Compiled,
    /// What could not be read or is not good.
    pub(crate) problems: Vec<Report>,
    /// Where they come from, in words.
    pub(crate) from: String,
    /// When they were read, Unix seconds: whether a token is good is judged as of then.
    pub(crate) as_of: u64,
    /// What files say, by their names.
    texts: BTreeMap<Arc<str>, String>,
}

/// Where objects are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder or a file.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

impl Objects {
    /// Reads all places and compiles what they hold together, as the controller does with its folder.
    pub(crate) fn load(places: &[Place]) -> Result<Self, LoadError> {
        let mut edits = Vec::new();
        let mut state = DirState::default();
        let mut outside = Vec::new();
        for place in places {
            match place {
                Place::Stdin => edits.push((Arc::from("stdin"), stdin()?)),
                Place::Path(path) if path.is_dir() => {
                    let listing = scan::list(path);
                    for file in listing.files.into_keys() {
                        let file = path.join(&*file);
                        edits.push((shown(&file), scan::read(&file)));
                    }
                    outside.extend(listing.problems);
                }
                Place::Path(path) => edits.push((shown(path), file(path)?)),
            }
        }
        state.set_outside(outside);
        Self::of(state, edits, places.iter().map(Place::words).collect::<Vec<_>>().join(", "))
    }

    /// Compiles what files hold; their names become origins.
    pub(crate) fn of(
        mut state: DirState,
        files: Vec<(Arc<str>, Contents)>,
        from: String,
    ) -> Result<Self, LoadError> {
        let text = |contents: &Contents| match contents {
            Contents::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Contents::Unreadable(_) | Contents::TooLarge(_) | Contents::Gone => None,
        };
        let texts =
            files.iter().filter_map(|(file, contents)| Some((Arc::clone(file), text(contents)?))).collect();
        let changes = state.apply_all(files);
        if changes.is_empty() && state.reports().is_empty() {
            return Err(LoadError::Empty { from });
        }
        let mut index = Index::default();
        index.refused = refused(&state.reports());
        index.apply(changes, 1);
        let named = index.settings.find().and_then(|(_, entry)| entry.object.spec.trust_domain.clone());
        let compiled = compile(&index, &TrustDomain::new(named.as_deref().unwrap_or(TRUST_DOMAIN))?);
        let as_of = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(Self { index, compiled, problems: state.reports(), from, as_of, texts })
    }

    /// The same objects, and those of one more text.
    pub(crate) fn with(self, name: &str, text: String) -> Result<Self, LoadError> {
        let known = self.texts.into_iter().map(|(file, text)| (file, Contents::Bytes(text.into_bytes())));
        let files = known.chain([(Arc::from(name), Contents::Bytes(text.into_bytes()))]).collect();
        let more = Self::of(DirState::default(), files, self.from)?;
        // Of the first reading: it knows also what could not be read at all.
        Ok(Self { problems: self.problems, ..more })
    }

    /// What files say, by their names.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&Arc<str>, &String)> {
        self.texts.iter()
    }

    /// Every document of all files that can be read, of whatever kind.
    pub(crate) fn documents(&self) -> impl Iterator<Item = Value> {
        self.texts().flat_map(|(_, text)| documents(text))
    }

    /// `PATH:LINE` of an object.
    pub(crate) fn origin(&self, key: &ObjectKey) -> Option<&str> {
        self.compiled.objects.get(key).map(|report| &*report.origin)
    }

    /// `PATH:LINE` of a field of an object; that of the object where the field is not written.
    pub(crate) fn origin_of(&self, key: &ObjectKey, field: &str) -> Option<String> {
        let origin = self.origin(key)?;
        let line = || {
            let (file, line) = origin.rsplit_once(':')?;
            let first: usize = line.parse().ok()?;
            let object = self.texts.get(file)?.lines().skip(first.checked_sub(1)?);
            // A document ends at the next marker, as the source splits them.
            let object: Vec<&str> = object.take_while(|line| !line.starts_with("---")).collect();
            let node = Node::parse(&object.join("\n")).ok()?;
            Some(format!("{file}:{}", first as u64 + node.line_of(field).saturating_sub(1)))
        };
        Some(line().unwrap_or_else(|| origin.to_owned()))
    }

    /// The object behind a resource such as `httproute/NS/NAME`.
    pub(crate) fn by_resource(&self, resource: &str) -> Option<&ObjectKey> {
        let mut objects = self.compiled.objects.iter();
        objects.find(|(_, report)| report.resource.as_deref() == Some(resource)).map(|(key, _)| key)
    }
}

/// Every document of a text that can be read; the others are told by the controller's own reading.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("\n---");
    parts.filter_map(|part| serde_saphyr::from_str(part.trim_start_matches('-')).ok()).collect()
}

impl Place {
    /// From what stands after `-f`.
    pub(crate) fn parse(text: &Path) -> Self {
        if text.as_os_str() == "-" { Self::Stdin } else { Self::Path(text.to_owned()) }
    }

    fn words(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }
}

fn shown(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}

fn file(path: &Path) -> Result<Contents, LoadError> {
    let unreadable = |reason| LoadError::Unreadable { path: path.to_owned(), reason };
    match scan::read(path) {
        Contents::Gone => Err(unreadable("there is no such file or folder".to_owned())),
        Contents::Unreadable(reason) => Err(unreadable(reason)),
        contents @ (Contents::Bytes(_) | Contents::TooLarge(_)) => Ok(contents),
    }
}

fn stdin() -> Result<Contents, LoadError> {
    let mut bytes = Vec::new();
    // One more than may be, so that too much is seen as such.
    let read = io::stdin().lock().take(scan::MAX_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|error| LoadError::Unreadable { path: "-".into(), reason: error.to_string() })?;
    let size = bytes.len() as u64;
    Ok(if size > scan::MAX_FILE { Contents::TooLarge(size) } else { Contents::Bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}\n";

    #[test]
    fn a_folder_and_a_file_are_read_together_and_origins_lead_to_the_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("all")).unwrap();
        std::fs::write(dir.path().join("all/web.yaml"), format!("# web\n{SERVICE}")).unwrap();
        std::fs::write(dir.path().join("other.txt"), SERVICE.replace("name: web", "name: cart")).unwrap();
        let places = ["all", "other.txt"].map(|name| Place::parse(&dir.path().join(name)));
        let objects = Objects::load(&places).unwrap();
        assert_eq!(objects.problems, []);
        assert_eq!(objects.compiled.services.len(), 2);
        let web = objects.by_resource("service/shop/web").unwrap();
        assert!(objects.origin(web).unwrap().ends_with("all/web.yaml:2"), "{:?}", objects.origin(web));
    }

    #[test]
    fn the_origin_of_a_field_is_its_own_line() {
        let text = "# two objects\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  ports:\n    - {name: w, port: 80}\n    - name: x\n      port: 81\n---\n";
        let files = vec![("a.yaml".into(), Contents::Bytes(text.into()))];
        let objects = Objects::of(DirState::default(), files, String::new()).unwrap();
        let web = objects.by_resource("service/shop/web").unwrap();
        assert_eq!(objects.origin(web), Some("a.yaml:3"));
        for (field, line) in
            [("spec.ports[1].port", 12), ("spec.ports", 10), ("spec.nothing.here", 9), ("", 3)]
        {
            assert_eq!(objects.origin_of(web, field).unwrap(), format!("a.yaml:{line}"), "{field}");
        }
    }

    #[test]
    fn nothing_to_read_is_an_error_that_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let error = Objects::load(&[Place::Path(dir.path().to_owned())]).unwrap_err().to_string();
        assert!(error.contains(&dir.path().display().to_string()) && error.contains(".yaml"), "{error}");
        let gone = Objects::load(&[Place::Path(dir.path().join("x.yaml"))]).unwrap_err().to_string();
        assert!(gone.contains("no such file"), "{gone}");
    }

    #[test]
    fn the_trust_domain_is_the_mesh_configs() {
        let dir = tempfile::tempdir().unwrap();
        let config = "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {trustDomain: x.test}}";
        std::fs::write(dir.path().join("mesh.yaml"), config).unwrap();
        let objects = Objects::load(&[Place::Path(dir.path().to_owned())]).unwrap();
        assert_eq!(objects.compiled.mesh.trust_domain.as_str(), "x.test");
        assert!(objects.compiled.objects.values().all(|report| report.conditions.is_empty()));
    }
}
