//! What is followed change by change is what compiling everything gives: over random edits of objects of every kind, and of the snapshot
//! that proxies are told from as well as of what was compiled, and of what streams are told that look at nothing else.
//!
//! `AMIME_EDITS` says how many edits (docs/adr/0027-incremental-compile.md), `AMIME_SEED` from which seed; a failure names its seed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, reason = "a run says its seed")]

mod edits;
mod streams;

use std::fmt::Write as _;
use std::sync::Arc;

use mesh_controller::access::{Accounts, Others};
use mesh_controller::compile::compile;
use mesh_controller::compile::incremental::{Compiler, Followed};
use mesh_controller::index::Index;
use mesh_controller::serve::{Snapshot, Touched};
use mesh_controller::sources::refused;
use mesh_controller::sources::state::{Contents, DirState};
use mesh_model::spiffe::TrustDomain;

use edits::{Dice, Edit, Form, edit};
use streams::Streams;

/// Edits of a run where nobody says how many.
const EDITS: usize = 1_200;
const SEED: u64 = 20_261_130;

fn told(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// The control loop without files and sockets, once as it is and once as it would be if it knew nothing of the change.
struct World {
    files: DirState,
    index: Index,
    trust: TrustDomain,
    compiler: Compiler,
    snapshot: Snapshot,
    accounts: Accounts,
    streams: Streams,
    /// Changes that were followed, and those after which everything was compiled.
    parts: usize,
    wholes: usize,
}

impl World {
    fn new() -> Self {
        let trust = TrustDomain::new("mesh.test").unwrap();
        let compiler = Compiler::new(trust.clone());
        let (snapshot, _) = Snapshot::build(compiler.compiled(), 0, 0, None);
        Self {
            files: DirState::default(),
            index: Index::default(),
            trust,
            compiler,
            snapshot,
            accounts: Accounts::default(),
            streams: Streams::new(),
            parts: 0,
            wholes: 0,
        }
    }

    /// Makes edits at one moment. Says what is wrong, if something is.
    fn step(&mut self, edits: &[Edit]) -> Result<(), String> {
        let contents = edits.iter().map(|edit| match edit.form {
            Form::Gone => (Arc::from(&*edit.file), Contents::Gone),
            Form::Good | Form::Bad => {
                (Arc::from(&*edit.file), Contents::Bytes(edit.text.clone().into_bytes()))
            }
        });
        let changes = self.files.apply_all(contents);
        for report in self.files.reports() {
            let bad = edits.iter().find(|edit| *edit.file == *report.file && edit.form == Form::Good);
            assert!(bad.is_none(), "a good object is not taken: {report}\n{bad:?}");
        }
        self.index.refused = refused(&self.files.reports());
        self.index.apply(changes, self.index.revision() + 1);
        let followed = self.compiler.follow(&mut self.index);
        let (revision, time) = (self.index.revision(), self.index.time_ms());
        let before = self.snapshot.clone();
        let compiled = self.compiler.compiled();
        let (snapshot, touched) = match &followed {
            Followed::Whole => Snapshot::build(compiled, revision, time, Some(&before)),
            Followed::Part(changes) => before.follow(compiled, changes, revision, time),
        };
        match &followed {
            Followed::Whole => self.accounts = Accounts::of(&self.index, Others::Unknown),
            Followed::Part(changes) => {
                changes.pods.iter().for_each(|pod| self.accounts.follow(&self.index, pod));
            }
        }
        match followed {
            Followed::Whole => self.wholes += 1,
            Followed::Part(_) => self.parts += 1,
        }
        self.snapshot = snapshot;
        self.compare(&before, &touched)?;
        self.streams.told(&self.snapshot, &touched)
    }

    fn compare(&self, before: &Snapshot, touched: &Touched) -> Result<(), String> {
        let full = compile(&self.index, &self.trust);
        let compiled = self.compiler.compiled();
        if *compiled != full {
            return Err(format!("compiled, in parts:\n{compiled:#?}\nas a whole:\n{full:#?}"));
        }
        let (revision, time) = (self.index.revision(), self.index.time_ms());
        let (snapshot, differs) = Snapshot::build(&full, revision, time, Some(before));
        if self.snapshot != snapshot {
            return Err(format!("snapshots, in parts:\n{:#?}\nas a whole:\n{snapshot:#?}", self.snapshot));
        }
        if self.accounts != Accounts::of(&self.index, Others::Unknown) {
            return Err("the accounts of workloads differ".to_owned());
        }
        let told = touched.others >= differs.others
            && differs
                .services
                .iter()
                .all(|it| touched.services.contains(it) || touched.endpoints.contains(it))
            && touched.workloads.is_superset(&differs.workloads)
            && touched.addresses.is_superset(&differs.addresses);
        if told { Ok(()) } else { Err(format!("told: {touched:?}\ndifferent: {differs:?}")) }
    }
}

/// The first lines in which two texts differ, and what stands around them.
fn difference(text: &str) -> String {
    let Some((one, other)) = text.split_once("\nas a whole:\n") else { return text.to_owned() };
    let (one, other): (Vec<&str>, Vec<&str>) = (one.lines().skip(1).collect(), other.lines().collect());
    let at = one.iter().zip(&other).position(|(one, other)| one != other).unwrap_or(0);
    let part = |lines: &[&str]| {
        lines.iter().skip(at.saturating_sub(12)).take(30).fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    };
    format!("in parts, from line {at}:\n{}as a whole:\n{}", part(&one), part(&other))
}

#[test]
fn what_is_followed_is_what_compiling_everything_gives() {
    let edits = usize::try_from(told("AMIME_EDITS").unwrap_or(EDITS as u64)).unwrap();
    let seed = told("AMIME_SEED").unwrap_or(SEED);
    let mut dice = Dice::new(seed);
    let mut world = World::new();
    let (mut made, mut last) = (0, Vec::new());
    while made < edits {
        // Now and then many at once, as after a source was away.
        let together = match dice.below(50) {
            0 => 12,
            1..10 => 2 + dice.below(2),
            _ => 1,
        };
        let step: Vec<Edit> = (0..together).map(|_| edit(&mut dice)).collect();
        made += step.len();
        if let Err(wrong) = world.step(&step) {
            panic!(
                "seed {seed}, after {made} edits, the last of them {step:#?}\n{}\nbefore: {last:#?}",
                difference(&wrong)
            );
        }
        last = step;
    }
    let World { parts, wholes, streams: Streams { narrow, wide, .. }, .. } = world;
    println!(
        "seed {seed}: {made} edits, {parts} followed, {wholes} compiled whole; \
         {narrow} updates of endpoints alone, {wide} comparisons of everything"
    );
    // What is not followed cannot be wrong, so that is no proof.
    assert!(narrow > edits / 40, "streams were told of endpoints alone: {narrow} times");
    assert!(parts * 3 > wholes * 2, "much is followed: {parts} of {}", parts + wholes);
}

#[test]
fn rules_are_followed_without_compiling_what_they_are_about() {
    let service = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{ports: [{{port: 80}}]}}\n"
        )
    };
    let route = |weight: u32| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: web, namespace: shop}}\n\
             spec:\n  parentRefs: [{{group: '', kind: Service, name: web}}]\n  \
             rules: [{{backendRefs: [{{name: web, port: 80, weight: 100}}, {{name: api, port: 80, weight: {weight}}}]}}]\n"
        )
    };
    let policy = |retries: u32| {
        format!(
            "apiVersion: amime.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: web, namespace: shop}}\n\
             spec: {{targetRefs: [{{kind: Service, name: web}}], retries: {{attempts: {retries}}}}}\n"
        )
    };
    let authorization = |action: &str| {
        format!(
            "apiVersion: amime.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: all, namespace: shop}}\n\
             spec: {{action: {action}, rules: [{{from: [{{namespaces: [bank]}}]}}]}}\n"
        )
    };
    let canary = |weight: u32| {
        format!(
            "apiVersion: amime.io/v1alpha1\nkind: Canary\nmetadata: {{name: web, namespace: shop}}\n\
             spec: {{stable: web, canary: api, version: '2', steps: [{{weight: {weight}}}]}}\n"
        )
    };
    let mut world = World::new();
    let step = |world: &mut World, name: &str, text: String| {
        let edit = Edit { file: format!("{name}.yaml"), text, form: Form::Good };
        world.step(&[edit]).unwrap_or_else(|wrong| panic!("{name}: {}", difference(&wrong)));
    };
    step(&mut world, "web", service("web"));
    step(&mut world, "api", service("api"));
    let wholes = world.wholes;
    for time in 1..=2 {
        step(&mut world, "route", route(time));
        step(&mut world, "policy", policy(time));
        step(&mut world, "authorization", authorization(if time == 1 { "Allow" } else { "Deny" }));
        step(&mut world, "canary", canary(time));
    }
    assert_eq!(world.wholes, wholes, "nothing was compiled whole for a rule");
    for name in ["route", "policy", "authorization", "canary"] {
        let gone = Edit { file: format!("{name}.yaml"), text: String::new(), form: Form::Gone };
        world.step(&[gone]).unwrap_or_else(|wrong| panic!("{name}: {}", difference(&wrong)));
    }
    assert_eq!(world.wholes, wholes, "nor when it is gone");
    step(&mut world, "other", service("other"));
    assert_eq!(world.wholes, wholes + 1, "a Service is not followed");
}
