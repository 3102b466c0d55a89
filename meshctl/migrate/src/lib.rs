//! Objects of other meshes in, objects of this mesh out, and a report that says of every field what became of it: it stands in an object,
//! or there is no counterpart and why, what to do instead, and whether that changes behaviour or weakens security. Pure.
//!
//! Documents enter in [`read`], are turned over in [`migrate`], and leave as [`Migration`]. Each source has a module. A field that a source's
//! module does not look at is reported by [`ledger`] as one without counterpart, so that none can be dropped silently. It must not know
//! how files are read, nor what the controller makes of an object; that the controller accepts them, tests say.
#![allow(
    clippy::indexing_slicing,
    reason = "`json[NAME] = VALUE` puts a field into an object that was made just before; nothing else is indexed"
)]

mod app_mesh;
mod argo;
mod aws;
mod documents;
mod flagger;
mod gateway_api;
mod istio;
mod ledger;
mod linkerd;
mod matches;
mod out;
mod parts;
mod plain;
mod release;
mod report;
mod routes;
mod world;
mod yaml;

pub use documents::{Broken, Document, read};
pub use ledger::{Effect, Entry, Outcome};
pub use out::Object;
pub use report::{Migration, Note, Row};
pub use yaml::yaml;

use ledger::Ledger;
use out::Out;
use world::World;

/// Whose objects are turned over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Istio: `networking.istio.io`, `security.istio.io`.
    Istio,
    /// Linkerd: `linkerd.io`, `policy.linkerd.io`, and SMI's `split.smi-spec.io`.
    Linkerd,
    /// AWS App Mesh's controller: `appmesh.k8s.aws`.
    AppMesh,
    /// Flagger: `flagger.app`.
    Flagger,
    /// Argo Rollouts: `argoproj.io`.
    ArgoRollouts,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 5] = [Self::AppMesh, Self::Istio, Self::Linkerd, Self::Flagger, Self::ArgoRollouts];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::Linkerd => "linkerd",
            Self::AppMesh => "app-mesh",
            Self::Flagger => "flagger",
            Self::ArgoRollouts => "argo-rollouts",
        }
    }

    /// Whether objects of this API group are this source's.
    fn owns(self, group: &str) -> bool {
        match self {
            Self::Istio => group.ends_with(".istio.io"),
            Self::Linkerd => {
                group == "linkerd.io" || group.ends_with(".linkerd.io") || group == "split.smi-spec.io"
            }
            Self::AppMesh => group == "appmesh.k8s.aws",
            Self::Flagger => group == "flagger.app",
            Self::ArgoRollouts => group == "argoproj.io",
        }
    }

    /// Whether an annotation of this prefix means something to the source.
    fn reads_annotation(self, key: &str) -> bool {
        let Some((prefix, _)) = key.split_once('/') else { return false };
        match self {
            Self::Istio => prefix == "istio.io" || prefix.ends_with(".istio.io"),
            Self::Linkerd => prefix == "linkerd.io" || prefix.ends_with(".linkerd.io"),
            Self::AppMesh => prefix == "appmesh.k8s.aws",
            Self::Flagger => prefix == "flagger.app",
            Self::ArgoRollouts => prefix.ends_with("argoproj.io"),
        }
    }
}

/// What the modules of the sources work with.
struct Context<'a> {
    documents: &'a [Document],
    world: World,
    ledger: &'a Ledger,
    out: Out,
    notes: Vec<Note>,
}

impl Context<'_> {
    /// A difference that no field says.
    fn note(&mut self, object: &str, effect: Effect, text: impl Into<String>) {
        let note = Note { object: object.to_owned(), effect, text: text.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Turns the documents over. All of them together: routes need the Services that they lead to.
pub fn migrate(source: Source, documents: &[Document]) -> Migration {
    let ledger = Ledger::default();
    let mut context = Context {
        documents,
        world: World::of(documents),
        ledger: &ledger,
        out: Out::default(),
        notes: Vec::new(),
    };
    match source {
        Source::Istio => istio::run(&mut context),
        Source::Linkerd => linkerd::run(&mut context),
        Source::AppMesh => app_mesh::run(&mut context),
        Source::Flagger => flagger::run(&mut context),
        Source::ArgoRollouts => argo::run(&mut context),
    }
    plain::settle(source, &context);
    let Context { out, notes, .. } = context;
    Migration { entries: ledger.finish(documents), objects: out.objects(), notes }
}
