//! Where objects come from. A source turns what it watches into [`Change`]s of whole objects, and says what it could not
//! read. It must not know what objects mean to each other.
//!
//! There are two: a folder of YAML ([`dir`] watches it, [`scan`] reads files, [`state`] decides which form of each object is in force) and
//! a cluster ([`kube`]). [`documents`] reads the objects of both.

pub mod barrier;
pub mod dir;
pub mod documents;
pub mod events;
pub mod freshness;
pub mod kube;
pub mod node;
pub mod reader;
pub mod scan;
pub mod sharing;
pub mod state;

use std::collections::BTreeSet;

use crate::api::{Fault, ObjectKey};
use crate::index::Change;
use barrier::Barrier;
use dir::DirSource;
use kube::KubeSource;
use state::Report;

/// What a source has found.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What has changed.
    pub changes: Vec<Change>,
    /// Everything that is wrong now.
    pub reports: Vec<Report>,
    /// When it was read, Unix milliseconds.
    pub time_ms: u64,
    /// Generations of objects that are new; none for objects that are gone. A folder has none.
    pub generations: Vec<(ObjectKey, Option<i64>)>,
    /// With this batch everything is there that somebody wanted who asked for looks up to this number.
    pub looked: u64,
}

/// Where objects come from.
#[derive(Debug)]
pub enum Source {
    /// A folder of YAML.
    Dir(Box<DirSource>),
    /// A cluster.
    Kube(Box<KubeSource>),
}

impl Source {
    /// Waits until something has changed, and says what. The first call returns all that there is.
    ///
    /// Not safe to drop at an await: drop the source with it.
    pub async fn next(&mut self) -> Batch {
        match self {
            Self::Dir(source) => source.next().await,
            Self::Kube(source) => source.next().await,
        }
    }

    /// For who wants to know what it has by now.
    pub fn barrier(&self) -> Barrier {
        match self {
            Self::Dir(source) => source.barrier(),
            Self::Kube(source) => source.barrier(),
        }
    }

    /// In words, for the log.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Dir(_) => "the configuration folder",
            Self::Kube(_) => "the cluster",
        }
    }
}

/// Objects of which nothing is in force since they cannot be read: a policy about security that is one of them is no reason to let
/// somebody in (INV-7).
pub fn refused(reports: &[Report]) -> BTreeSet<ObjectKey> {
    let lost = reports.iter().filter(|report| report.effect == state::Effect::NotInForce);
    let lost = lost.filter(|report| report.problem.reason != Reason::Duplicate);
    lost.filter_map(|report| report.problem.object.clone()).collect()
}

/// How far reading came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The file or document could not be read.
    Readable,
    /// It could be read, but is not a good object.
    Accepted,
}

impl Stage {
    /// As a condition's type.
    pub fn condition(self) -> &'static str {
        match self {
            Self::Readable => "Readable",
            Self::Accepted => "Accepted",
        }
    }
}

/// Why something could not be read or is not good; a condition's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The file could not be opened or read.
    Unreadable,
    /// The file is larger than a file may be.
    TooLarge,
    /// More files or folders than are read.
    TooMany,
    /// The file is not UTF-8.
    NotUtf8,
    /// The file has nothing in it.
    Empty,
    /// The text is not YAML.
    Syntax,
    /// Not an object of a kind that is known.
    UnknownKind,
    /// The object has no name.
    MissingName,
    /// A field is missing, of the wrong type, or has a value that is not allowed.
    Invalid,
    /// A field that the kind does not have.
    UnknownField,
    /// The same object is written somewhere else too.
    Duplicate,
}

impl Reason {
    /// As a condition's reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "Unreadable",
            Self::TooLarge => "TooLarge",
            Self::TooMany => "TooMany",
            Self::NotUtf8 => "NotUTF8",
            Self::Empty => "Empty",
            Self::Syntax => "SyntaxError",
            Self::UnknownKind => "UnknownKind",
            Self::MissingName => "MissingName",
            Self::Invalid => "Invalid",
            Self::UnknownField => "UnknownField",
            Self::Duplicate => "Duplicate",
        }
    }
}

/// Something that could not be read or is not good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object, as far as it could be told which one.
    pub object: Option<ObjectKey>,
    /// How far reading came.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// Where; 0 if it concerns the file as a whole.
    pub line: u64,
    /// The field (may be empty) and what is wrong with it.
    pub fault: Fault,
}
