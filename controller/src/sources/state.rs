//! Which form of each object of a folder is in force, given what its files say and what they said before. Pure: contents of
//! files come in, changes of objects go out. It must not know how files are found or watched.
//!
//! Rules: a good object is in force. Of a bad one the last good form stays in force; of an AuthorizationPolicy without one a form that
//! denies everything that it protects. An object goes when its file is gone, or when the
//! whole file can be read and no longer has it. Of an object that is written twice the first file by path counts, and within
//! a file the first document; the others are reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::documents::{Document, read_documents};
use super::{Problem, Reason, Stage};
use crate::api::{Fault, Object, ObjectKey};
use crate::index::Change;

/// What a file has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// These bytes.
    Bytes(Vec<u8>),
    /// It is there, but cannot be read, and why.
    Unreadable(String),
    /// It is larger than a file may be: this many bytes.
    TooLarge(u64),
    /// It is no more.
    Gone,
}

impl Contents {
    /// By which bytes are known again; nothing else is.
    pub fn print(&self) -> Option<u64> {
        let Self::Bytes(bytes) = self else { return None };
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// A problem with its file, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Path within the folder.
    pub file: Arc<str>,
    /// What is wrong.
    pub problem: Problem,
    /// What that means for the objects concerned.
    pub effect: Effect,
}

/// What a problem means for the objects concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing of them is in force.
    NotInForce,
    /// The form that was good before is in force.
    LastGood,
    /// The object is in force all the same.
    InForce,
    /// Everything that it protects is denied.
    Closed,
}

impl Effect {
    /// To be read after what is wrong.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotInForce => "not in force",
            Self::LastGood => "the last good form stays in force",
            Self::InForce => "in force all the same",
            Self::Closed => "everything that it protects is denied until it is mended",
        }
    }
}

impl Report {
    /// `PATH:LINE`, or the path where the problem concerns the whole file.
    pub fn origin(&self) -> String {
        match self.problem.line {
            0 => self.file.to_string(),
            line => format!("{}:{line}", self.file),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin())?;
        if let Some(object) = &self.problem.object {
            write!(f, "{object}: ")?;
        }
        if !self.problem.fault.field.is_empty() {
            write!(f, "{}: ", self.problem.fault.field)?;
        }
        write!(f, "{}; {}", self.problem.fault.message, self.effect.words())
    }
}

/// The state of a folder.
#[derive(Debug, Default)]
pub struct DirState {
    files: BTreeMap<Arc<str>, File>,
    /// Which files have a form of an object.
    holders: BTreeMap<ObjectKey, BTreeSet<Arc<str>>>,
    /// Objects that several files have.
    contested: BTreeSet<ObjectKey>,
    in_force: BTreeMap<ObjectKey, InForce>,
    /// Problems that do not belong to the text of a file, such as a folder that cannot be listed.
    outside: Vec<(Arc<str>, Problem)>,
}

#[derive(Debug, Default)]
struct File {
    objects: BTreeMap<ObjectKey, Form>,
    problems: Vec<Problem>,
}

#[derive(Debug, Clone)]
struct Form {
    object: Object,
    line: u64,
    freshness: Freshness,
}

/// Whether the file says so now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Freshness {
    /// It does.
    Fresh,
    /// It did when it was last good.
    Kept,
    /// It never said anything that can be read; this stands in for it.
    Closed,
}

#[derive(Debug)]
struct InForce {
    object: Object,
    origin: Arc<str>,
}

impl DirState {
    /// One file has changed.
    pub fn apply(&mut self, file: &str, contents: Contents) -> Vec<Change> {
        self.apply_all([(Arc::from(file), contents)])
    }

    /// Several files have changed, at the same moment as far as one can tell: an object that moved from one to the other is
    /// never gone.
    pub fn apply_all(&mut self, edits: impl IntoIterator<Item = (Arc<str>, Contents)>) -> Vec<Change> {
        let mut touched = BTreeSet::new();
        for (path, contents) in edits {
            let old = self.files.remove(&path).unwrap_or_default();
            for key in old.objects.keys() {
                if let Some(holders) = self.holders.get_mut(key) {
                    holders.remove(&path);
                }
                touched.insert(key.clone());
            }
            if contents == Contents::Gone {
                continue;
            }
            let new = File::read(contents, old);
            for key in new.objects.keys() {
                self.holders.entry(key.clone()).or_default().insert(Arc::clone(&path));
                touched.insert(key.clone());
            }
            self.files.insert(path, new);
        }
        touched.into_iter().filter_map(|key| self.settle(key)).collect()
    }

    /// Problems outside of files replace those of before.
    pub fn set_outside(&mut self, problems: Vec<(Arc<str>, Problem)>) {
        self.outside = problems;
    }

    /// Paths of the files that are known.
    pub fn paths(&self) -> impl Iterator<Item = &Arc<str>> {
        self.files.keys()
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether that file is known.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// The objects in force, for comparison.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        self.in_force.iter().map(|(key, form)| (key, &form.object))
    }

    /// Everything that is wrong now, in the order of files and lines.
    pub fn reports(&self) -> Vec<Report> {
        let mut reports: Vec<Report> = self
            .outside
            .iter()
            .map(|(file, problem)| Report {
                file: Arc::clone(file),
                problem: problem.clone(),
                effect: Effect::NotInForce,
            })
            .collect();
        for (path, file) in &self.files {
            let report = |problem: Problem, effect| Report { file: Arc::clone(path), problem, effect };
            reports
                .extend(file.problems.iter().map(|problem| report(problem.clone(), file.effect_of(problem))));
            reports.extend(self.duplicates(path, file).map(|problem| report(problem, Effect::NotInForce)));
        }
        reports
    }

    fn duplicates<'a>(&'a self, path: &'a Arc<str>, file: &'a File) -> impl Iterator<Item = Problem> + 'a {
        let contested = self.contested.iter().filter_map(|key| file.objects.get_key_value(key));
        contested.filter(|(_, form)| form.freshness == Freshness::Fresh).filter_map(move |(key, form)| {
            let (winner, won) = self.winner(key)?;
            (winner != path).then(|| {
                let message =
                    format!("the same object is in {winner}:{}, which counts; remove one of them", won.line);
                let fault = Fault::new("metadata.name", message);
                Problem {
                    object: Some(key.clone()),
                    stage: Stage::Accepted,
                    reason: Reason::Duplicate,
                    line: form.line,
                    fault,
                }
            })
        })
    }

    /// What a file says now counts before what one said once; then the order of paths decides.
    fn winner(&self, key: &ObjectKey) -> Option<(&Arc<str>, &Form)> {
        let holders = self.holders.get(key)?;
        let forms = holders.iter().filter_map(|path| Some((path, self.files.get(path)?.objects.get(key)?)));
        forms.min_by_key(|(_, form)| form.freshness)
    }

    fn settle(&mut self, key: ObjectKey) -> Option<Change> {
        if self.holders.get(&key).is_some_and(|holders| holders.len() > 1) {
            self.contested.insert(key.clone());
        } else {
            self.contested.remove(&key);
        }
        let Some((path, form)) = self.winner(&key) else {
            self.holders.remove(&key);
            return self.in_force.remove(&key).map(|_| Change::Delete { key });
        };
        let origin: Arc<str> = format!("{path}:{}", form.line).into();
        let object = form.object.clone();
        let same =
            self.in_force.get(&key).is_some_and(|now| now.origin == origin && same(&now.object, &object));
        if same {
            return None;
        }
        self.in_force.insert(key.clone(), InForce { object: object.clone(), origin: Arc::clone(&origin) });
        Some(Change::Apply { key, object, origin })
    }
}

impl File {
    fn read(contents: Contents, old: Self) -> Self {
        let whole = |reason, message: String| {
            let fault = Fault::new("", message);
            vec![Document::Bad(vec![Problem {
                object: None,
                stage: Stage::Readable,
                reason,
                line: 0,
                fault,
            }])]
        };
        let documents = match contents {
            Contents::Bytes(bytes) => read_documents(&bytes),
            Contents::Unreadable(why) => whole(Reason::Unreadable, format!("the file cannot be read: {why}")),
            Contents::TooLarge(size) => {
                let (size, limit) = (size.div_ceil(1 << 20), super::scan::MAX_FILE >> 20);
                whole(
                    Reason::TooLarge,
                    format!("the file has {size} MiB, at most {limit} are read; split it"),
                )
            }
            Contents::Gone => Vec::new(),
        };
        let mut new = Self::default();
        let mut closed = Vec::new();
        for document in documents {
            match document {
                Document::Good(read) => new.add(read),
                Document::Bad(problems) => new.problems.extend(problems),
                Document::Closed(read, problems) => {
                    new.problems.extend(problems);
                    closed.push(read);
                }
            }
        }
        new.keep(old);
        for read in closed {
            let form = Form { object: read.object, line: read.line, freshness: Freshness::Closed };
            new.objects.entry(read.key).or_insert(form);
        }
        new
    }

    fn add(&mut self, read: super::documents::ReadObject) {
        if let Some(first) = self.objects.get(&read.key) {
            let message = format!(
                "the same object is at line {} of this file, which counts; remove one of them",
                first.line
            );
            let fault = Fault::new("metadata.name", message);
            let object = Some(read.key);
            self.problems.push(Problem {
                object,
                stage: Stage::Accepted,
                reason: Reason::Duplicate,
                line: read.line,
                fault,
            });
            return;
        }
        self.problems.extend(read.notes);
        self.objects
            .insert(read.key, Form { object: read.object, line: read.line, freshness: Freshness::Fresh });
    }

    /// Keeps of the old forms what may still be meant: everything where a part of the file could not be told to be which
    /// object, else the objects that are there and bad.
    fn keep(&mut self, old: Self) {
        let unclear = self.problems.iter().any(|problem| problem.object.is_none());
        let bad: BTreeSet<&ObjectKey> =
            self.problems.iter().filter_map(|problem| problem.object.as_ref()).collect();
        for (key, form) in old.objects {
            // What stood in for a bad form says nothing about this one, unless the file cannot be read at all.
            let stood_in = form.freshness == Freshness::Closed;
            let meant = unclear || (bad.contains(&key) && !stood_in);
            if !self.objects.contains_key(&key) && meant {
                let freshness = if stood_in { Freshness::Closed } else { Freshness::Kept };
                self.objects.insert(key, Form { freshness, ..form });
            }
        }
    }

    fn effect_of(&self, problem: &Problem) -> Effect {
        let kept = |form: &Form| form.freshness == Freshness::Kept;
        match &problem.object {
            None if self.objects.values().any(kept) => Effect::LastGood,
            None => Effect::NotInForce,
            Some(_) if problem.reason == Reason::Duplicate => Effect::NotInForce,
            Some(key) => match self.objects.get(key) {
                Some(form) if kept(form) => Effect::LastGood,
                Some(form) if form.freshness == Freshness::Closed => Effect::Closed,
                Some(_) => Effect::InForce,
                None => Effect::NotInForce,
            },
        }
    }
}

/// Whether two forms of an object say the same.
pub(super) fn same(a: &Object, b: &Object) -> bool {
    match (a, b) {
        (Object::Service(a), Object::Service(b)) => a == b,
        (Object::EndpointSlice(a), Object::EndpointSlice(b)) => a == b,
        (Object::Namespace(a), Object::Namespace(b)) => a == b,
        (Object::HttpRoute(a), Object::HttpRoute(b)) => a == b,
        (Object::GrpcRoute(a), Object::GrpcRoute(b)) => a == b,
        (Object::TcpRoute(a), Object::TcpRoute(b))
        | (Object::TlsRoute(a), Object::TlsRoute(b))
        | (Object::UdpRoute(a), Object::UdpRoute(b)) => a == b,
        (Object::MeshConfig(a), Object::MeshConfig(b)) => a == b,
        (Object::Workload(a), Object::Workload(b)) => a == b,
        (Object::ExternalService(a), Object::ExternalService(b)) => a == b,
        (Object::FederatedTrustDomain(a), Object::FederatedTrustDomain(b)) => a == b,
        (Object::TrafficPolicy(a), Object::TrafficPolicy(b)) => a == b,
        (Object::AuthorizationPolicy(a), Object::AuthorizationPolicy(b)) => a == b,
        (Object::XBackendTrafficPolicy(a), Object::XBackendTrafficPolicy(b)) => a == b,
        (Object::AuthenticationPolicy(a), Object::AuthenticationPolicy(b)) => a == b,
        (Object::Canary(a), Object::Canary(b)) => a == b,
        (Object::Pod(a), Object::Pod(b)) => a == b,
        (Object::GatewayClass(a), Object::GatewayClass(b)) | (Object::XMesh(a), Object::XMesh(b)) => a == b,
        (
            Object::Service(_)
            | Object::EndpointSlice(_)
            | Object::Namespace(_)
            | Object::HttpRoute(_)
            | Object::GrpcRoute(_)
            | Object::TcpRoute(_)
            | Object::TlsRoute(_)
            | Object::UdpRoute(_)
            | Object::MeshConfig(_)
            | Object::Workload(_)
            | Object::ExternalService(_)
            | Object::FederatedTrustDomain(_)
            | Object::TrafficPolicy(_)
            | Object::AuthorizationPolicy(_)
            | Object::XBackendTrafficPolicy(_)
            | Object::AuthenticationPolicy(_)
            | Object::Canary(_)
            | Object::Pod(_)
            | Object::GatewayClass(_)
            | Object::XMesh(_),
            _,
        ) => false,
    }
}

#[cfg(test)]
mod tests;
