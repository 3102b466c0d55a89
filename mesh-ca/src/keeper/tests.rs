//! Facts about keeping keys in a directory: what survives, and that a rotation goes on from wherever it was stopped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mesh_model::spiffe::TrustDomain;
use tempfile::TempDir;

use super::*;
use crate::authority::Lives;
use crate::members::Issuance;
use crate::state::StateDir;
use crate::store::Local;

const LIFE: u64 = 60;

fn parts_of(domain: &str, dir: Option<&Path>) -> Result<Parts, StoreError> {
    let dir = dir.map(|path| StateDir::open(path).map(Arc::new)).transpose()?;
    let lives = Lives { root: Duration::from_hours(87_600), issuer: Duration::from_hours(8760) };
    let trust_domain = TrustDomain::new(domain).unwrap();
    Ok(Parts {
        store: Arc::new(Store::Local(Local::open(dir, None)?)),
        upstream: Arc::new(Upstream::Own),
        mint: Mint { trust_domain, keys: KeyStore::Text, lives, least_issuer: Duration::from_mins(4) },
        replica: "this".into(),
        leaf_life: LIFE,
        metrics: Metrics::default(),
        accepts_clock: false,
    })
}

async fn open(temp: &TempDir) -> Result<Keeper, OpenError> {
    Keeper::open(&parts_of("mesh.test", Some(temp.path()))?).await
}

fn says(result: Result<Keeper, OpenError>) -> String {
    mesh_identity::reasons(&result.err().unwrap())
}

async fn step(keeper: &mut Keeper) -> Step {
    keeper.turn().await.unwrap();
    keeper.authority().point().1
}

async fn rotate(keeper: &Keeper) {
    ask(&keeper.parts.store, keeper.live(), Asked::Root).await.unwrap();
}

fn pinned(temp: &TempDir) -> String {
    fs::read_to_string(temp.path().join("root.pem")).unwrap()
}

#[tokio::test]
async fn a_restart_keeps_root_and_issuer_and_keys_are_for_this_user_alone() {
    let temp = tempfile::tempdir().unwrap();
    let first = open(&temp).await.unwrap();
    let vault = first.vault.clone();
    drop(first);
    let second = open(&temp).await.unwrap();
    assert!(second.vault == vault);
    assert_eq!(pinned(&temp), vault.bundle());
    let mode = |name: &str| fs::metadata(temp.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("keys.json"), mode("root.pem"), mode(".")), (0o600, 0o644, 0o700));
}

#[tokio::test]
async fn keys_of_a_version_without_rotation_are_taken_over() {
    let temp = tempfile::tempdir().unwrap();
    let vault = open(&temp).await.unwrap().vault;
    fs::remove_file(temp.path().join("keys.json")).unwrap();
    fs::remove_file(temp.path().join("members.json")).unwrap();
    fs::write(temp.path().join("root.key"), vault.current.root_key.as_deref().unwrap()).unwrap();
    fs::write(temp.path().join("issuer.pem"), &vault.current.issuer).unwrap();
    let mut keeper = open(&temp).await.unwrap();
    assert!(keeper.vault.current == vault.current);
    assert!(!temp.path().join("root.key").exists() && temp.path().join("keys.json").exists());
    // Nobody knows for whom that version signed: a rotation waits until it has all ended.
    rotate(&keeper).await;
    assert_eq!(step(&mut keeper).await, Step::RootPublished);
    let waiting = keeper.live().seen().unwrap().waiting.unwrap();
    assert!(waiting.until.unwrap() > unix_now(), "{waiting:?}");
}

#[tokio::test]
async fn a_root_whose_keys_are_lost_or_broken_is_an_error_that_says_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    drop(open(&temp).await.unwrap());
    fs::write(temp.path().join("keys.json"), "half").unwrap();
    let text = says(open(&temp).await);
    assert!(text.contains("keys.json") && text.contains("restore it from a backup"), "{text}");
    fs::remove_file(temp.path().join("keys.json")).unwrap();
    let text = says(open(&temp).await);
    assert!(text.contains("its keys are missing"), "{text}");
    let other = tempfile::tempdir().unwrap();
    drop(open(&other).await.unwrap());
    let text = says(Keeper::open(&parts_of("other.test", Some(other.path())).unwrap()).await);
    assert!(text.contains("of trust domain `mesh.test`, but this CA is of `other.test`"), "{text}");
}

#[tokio::test]
async fn an_issuer_is_replaced_when_it_is_asked_for() {
    let temp = tempfile::tempdir().unwrap();
    let mut keeper = open(&temp).await.unwrap();
    let before = keeper.vault.current.clone();
    ask(&keeper.parts.store, keeper.live(), Asked::Issuer).await.unwrap();
    assert_eq!(step(&mut keeper).await, Step::Steady);
    assert!(keeper.vault.current.issuer != before.issuer && keeper.vault.current.roots == before.roots);
    assert_eq!(keeper.vault.rotation.asked, None);
}

#[tokio::test]
async fn a_rotation_waits_for_a_member_and_then_for_what_the_old_root_signed() {
    let temp = tempfile::tempdir().unwrap();
    let mut keeper = open(&temp).await.unwrap();
    let now = unix_now();
    let it = Issuance { id: "cart", instance: "a", not_after: now + LIFE, generation: 0 };
    keeper.live().members().issued(it, true, 1, now);
    let before = pinned(&temp);
    rotate(&keeper).await;
    assert_eq!(step(&mut keeper).await, Step::RootPublished);
    assert_eq!(pinned(&temp).matches("BEGIN CERTIFICATE").count(), 2);
    let waiting = keeper.live().seen().unwrap().waiting.unwrap();
    assert_eq!((waiting.count, waiting.first[0].instance.as_str()), (1, "a"));
    assert_eq!(step(&mut keeper).await, Step::RootPublished, "it has not said anything");
    keeper.live().members().acknowledged(Issuance { generation: 2, ..it }, 2, now);
    assert_eq!(step(&mut keeper).await, Step::IssuerMoved);
    assert_eq!(step(&mut keeper).await, Step::IssuerMoved, "certificates of the old root live");
    // As if one leaf life had passed since.
    keeper.adopted -= LIFE + rotation::SLACK + 1;
    assert_eq!(step(&mut keeper).await, Step::Steady);
    let after = pinned(&temp);
    assert_eq!(after.matches("BEGIN CERTIFICATE").count(), 1);
    assert_ne!(after, before);
}

/// Copies what a process that is killed now would leave behind.
fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() && entry.file_name() != "lock" {
            fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
    }
    to
}

/// The four steps, each as what a kill between any two of its writes leaves behind: the file of the step before or after, for each file.
#[tokio::test]
async fn a_rotation_that_was_killed_between_any_two_writes_goes_on_to_its_end() {
    let temp = tempfile::tempdir().unwrap();
    let mut keeper = open(&temp).await.unwrap();
    let mut states = vec![copy(temp.path())];
    rotate(&keeper).await;
    states.push(copy(temp.path()));
    for act in [Act::Prepare, Act::Publish, Act::Move] {
        let now = unix_now();
        let Found::Held(held) = keeper.parts.store.read(LIFE, now).await.unwrap() else { panic!("no keys") };
        let slot = (act == Act::Prepare).then(|| keeper.parts.mint.root(now).unwrap());
        let vault = held.vault.after(act, slot, LIFE, now);
        assert!(keeper.parts.store.write(&held.version, &vault).await.unwrap());
        // keys.json is written, root.pem and members.json are not.
        states.push(copy(temp.path()));
        keeper.adopt(&vault, now).await.unwrap();
        states.push(copy(temp.path()));
        keeper.share(now).await.unwrap();
        states.push(copy(temp.path()));
    }
    drop(keeper);
    for (index, state) in states.iter().enumerate() {
        let mut keeper = open(state).await.unwrap_or_else(|error| panic!("{index}: {error}"));
        if index == 0 {
            rotate(&keeper).await;
        }
        let mut steps = Vec::new();
        // It was killed, so that it waits for what it may have signed: let that be over.
        while steps.last() != Some(&Step::Steady) && steps.len() < 10 {
            keeper.live().members().forget_unknown();
            keeper.adopted -= LIFE + rotation::SLACK + 1;
            steps.push(step(&mut keeper).await);
        }
        assert_eq!(steps.last(), Some(&Step::Steady), "state {index}: {steps:?}");
        assert_eq!(keeper.authority().point(), (3, Step::Steady), "state {index}");
        assert_eq!(pinned(state), keeper.vault.bundle(), "state {index}");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_makes_a_rotation_wait_longer() {
    let temp = tempfile::tempdir().unwrap();
    let mut keeper = open(&temp).await.unwrap();
    rotate(&keeper).await;
    // As if the clock had been set forward by ten minutes since the last look.
    keeper.looked.0 -= 600;
    let before = unix_now();
    assert_eq!(step(&mut keeper).await, Step::RootPublished);
    assert!(keeper.live().seen().unwrap().waiting.unwrap().unknown_until >= before + LIFE);
}

#[tokio::test]
async fn nothing_is_signed_after_the_end_and_a_clean_end_is_remembered() {
    let temp = tempfile::tempdir().unwrap();
    let mut keeper = open(&temp).await.unwrap();
    let now = unix_now();
    let it = Issuance { id: "cart", instance: "a", not_after: now + LIFE, generation: 0 };
    keeper.live().members().issued(it, true, 1, now);
    keeper.live().may_sign(now).unwrap();
    keeper.farewell().await;
    assert!(keeper.live().may_sign(now).is_err());
    drop(keeper);
    let mut keeper = open(&temp).await.unwrap();
    rotate(&keeper).await;
    assert_eq!(step(&mut keeper).await, Step::RootPublished);
    let waiting = keeper.live().seen().unwrap().waiting.unwrap();
    assert_eq!((waiting.count, waiting.unknown_until), (1, 0), "it knows whom to wait for");
    assert!(keeper.live().newest() >= now, "and when it signed");
}
