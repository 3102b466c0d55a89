//! Faults that people make, seeded in a mesh that runs, met by real requests through real sidecars: `meshctl why` has to name the cause of
//! each. `faults/table.rs` lists them, and docs/reference/faults.md has a row for each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says plainly what it expects"
)]

#[path = "faults/app.rs"]
mod app;
#[path = "faults/mesh.rs"]
mod mesh;
#[path = "support/mesh.rs"]
mod support;
#[path = "faults/table.rs"]
mod table;
#[path = "faults/tls.rs"]
mod tls;

use std::time::{Duration, Instant};

use mesh::Mesh;
use rustix::process::Signal;
use serde_json::Value;
use table::{About, FAULTS, Fault, Traffic};

/// How long reports may take to come; a few seconds, but for a machine at full load.
const PATIENCE: Duration = Duration::from_secs(40);
/// So many of the faults have to be named.
const AT_LEAST: usize = 28;

#[tokio::test]
async fn why_names_the_cause_of_each_fault() {
    let mesh = Mesh::start().await;
    let (last, first): (Vec<_>, Vec<_>) = FAULTS.iter().partition(|fault| is_last(fault));
    for fault in &first {
        mesh.meet(fault).await;
    }
    let mut missed = named(&mesh, first).await;
    scoped(&mesh);
    live(&mesh).await;
    // Who may be called changes for everybody, so it comes after the rest; then parts of the mesh stop.
    let (stopped, strangers): (Vec<&Fault>, Vec<&Fault>) =
        last.into_iter().partition(|fault| matches!(fault.traffic, Traffic::Stopped(_)));
    mesh.registry_only();
    for fault in &strangers {
        mesh.meet(fault).await;
    }
    missed.extend(named(&mesh, strangers).await);
    missed.extend(without_parts(&mesh, stopped).await);

    for (fault, said) in &missed {
        eprintln!("missed: {} ({}): wanted `{}`, said {said:?}", fault.name, fault.seeded, fault.cause);
    }
    let met = FAULTS.len() - missed.len();
    eprintln!("{met} of {} faults were named", FAULTS.len());
    assert!(
        FAULTS.len() >= 30 && met >= AT_LEAST.max(FAULTS.len() - 2),
        "{met} of {}\n{}",
        FAULTS.len(),
        mesh.home.logs()
    );
}

/// Asked about one service, it tells of that one first; in words as well.
fn scoped(mesh: &Mesh) {
    for (name, cause) in [("no-route-matches", "no_route"), ("not-listening", "application_not_listening")] {
        let causes = why(mesh, &[name]);
        assert_eq!(causes[0]["cause"], cause, "{causes:?}");
        assert!(
            causes.iter().all(|one| one["service"]["name"] == name || one["service"]["name"] == ""),
            "{causes:?}"
        );
    }
    let of_caller = why(mesh, &["--from", "me", "--to", "denied-by-path", "--since", "1h"]);
    assert_eq!(of_caller[0]["policy"]["name"], "default/denied-by-path", "{of_caller:?}");
    let text = String::from_utf8(mesh.home.output(&["why", "svc/no-route-matches"]).stdout).unwrap();
    for part in [
        "no rule of them fits",
        "GET /no-route-matches",
        "meshctl explain GET http://no-route-matches.default/",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let fine = mesh.home.output(&["why", "says-nothing"]);
    assert_eq!(fine.status.code(), Some(0), "{}", String::from_utf8_lossy(&fine.stdout));
}

/// `meshctl explain --live` sends one request as its caller and shows what both sidecars measured. The applications live in this process, so it
/// is awaited and not waited for.
async fn live(mesh: &Mesh) {
    let explain = async |name: &str, url: &str| -> Value {
        let mut running = mesh.home.start(name, &["explain", url, "--from", "me", "--live", "-o", "json"]);
        running.ended().await;
        serde_json::from_str(&running.stdout()).unwrap_or_else(|_| panic!("{url}: {}", running.stderr()))
    };
    let fine = explain("live-1", "http://application-fails/fine").await;
    let live = &fine["live"];
    assert_eq!((&live["status"], &live["as_explained"]), (&200.into(), &true.into()), "{live}");
    assert_eq!(
        (&live["caller"]["workload"], &live["callee"]["workload"]),
        (&"me".into(), &"app".into()),
        "{live}"
    );
    let stage = |side: &str, stage: &str| live[side]["stages"][stage].as_u64().unwrap();
    let (outer, inner) = (stage("caller", "total_us"), stage("callee", "total_us"));
    assert!(outer >= inner && inner > 0 && stage("caller", "upstream_us") > 0, "{live}");

    let broken = explain("live-2", "http://application-resets/application-resets").await;
    assert_eq!(broken["live"]["as_explained"], false, "{broken}");
    assert!(broken["live"]["differs"][0].as_str().unwrap().contains("upstream_reset"), "{broken}");
    let nobody = mesh.home.output(&["explain", "http://too-slow/", "--from", "default", "--live"]);
    assert_eq!(nobody.status.code(), Some(2));
}

fn is_last(fault: &Fault) -> bool {
    matches!(fault.traffic, Traffic::Stopped(_)) || fault.cause == "registry_only"
}

/// Asks again and again until all are named; gives those that never were, with what was said of them last.
async fn named<'a>(mesh: &Mesh, faults: Vec<&'a Fault>) -> Vec<(&'a Fault, Vec<String>)> {
    let until = Instant::now() + PATIENCE;
    loop {
        let causes = why(mesh, &[]);
        let left: Vec<_> =
            faults.iter().filter_map(|fault| Some((*fault, missed(&causes, fault)?))).collect();
        if left.is_empty() || Instant::now() > until {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The causes that are told.
fn why(mesh: &Mesh, about: &[&str]) -> Vec<Value> {
    let output = mesh.home.output(&[&["why"], about, &["-o", "json"]].concat());
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{about:?}: {}", String::from_utf8_lossy(&output.stderr)));
    let causes = said["causes"].as_array().unwrap().clone();
    assert_eq!(output.status.code(), Some(i32::from(!causes.is_empty())));
    causes
}

/// `None` if the cause of the fault is named; else what is said in its place.
fn missed(causes: &[Value], fault: &Fault) -> Option<Vec<String>> {
    let path = format!("/{}", fault.name);
    let object = format!("default/{}", fault.name);
    let of_object = |cause: &Value| {
        let mut objects = cause["objects"].as_array().unwrap().iter();
        objects.any(|one| one["object"].as_str().unwrap().ends_with(&object))
    };
    let about: Vec<&Value> = causes
        .iter()
        .filter(|cause| match (fault.about, fault.traffic) {
            (About::Service, Traffic::None) => of_object(cause),
            (About::Service, _) => cause["service"]["name"] == fault.name,
            (About::Caller, Traffic::With(..)) => cause["cause"] == fault.cause,
            (About::Caller, _) => cause["example"]["path"] == path.as_str(),
            (About::App, _) => cause["destination"]["name"] == "app",
            (About::All, _) => true,
        })
        .collect();
    // What failed most of a service comes first, and is what is meant.
    let is_named = match fault.about {
        About::Service | About::All => about.first().is_some_and(|first| first["cause"] == fault.cause),
        About::Caller | About::App => about.iter().any(|cause| cause["cause"] == fault.cause),
    };
    let brief = |cause: &Value| {
        let example = &cause["example"];
        format!(
            "{} × {} {} {} {}",
            cause["count"], cause["cause"], example["path"], example["reason"], cause["detail"]
        )
    };
    (!is_named).then(|| about.into_iter().map(brief).collect())
}

/// Faults of the mesh's own parts: they are stopped one after the other, and go on afterwards.
async fn without_parts<'a>(mesh: &Mesh, faults: Vec<&'a Fault>) -> Vec<(&'a Fault, Vec<String>)> {
    let mut missed = Vec::new();
    let mut later = Vec::new();
    for part in ["mesh-controller", "mesh-ca"] {
        mesh.signal(part, Signal::STOP);
        for fault in faults.iter().filter(|fault| matches!(fault.traffic, Traffic::Stopped(of) if of == part))
        {
            if fault.about == About::All {
                let causes = why(mesh, &[]);
                missed.extend(self::missed(&causes, fault).map(|said| (*fault, said)));
            } else {
                mesh.meet_without_controller(fault).await;
                later.push(*fault);
            }
        }
        mesh.signal(part, Signal::CONT);
    }
    // What happened meanwhile is reported when it is back.
    missed.extend(named(mesh, later).await);
    missed
}

/// The page about faults has a row for each, in the words of the table and of `meshctl why --causes`. `UPDATE_PAGES=1` writes them.
#[test]
fn the_page_has_a_row_for_each_fault() {
    let home = support::Home::new("page");
    let causes: Value =
        serde_json::from_slice(&home.output(&["why", "--causes", "-o", "json"]).stdout).unwrap();
    let causes = causes["causes"].as_array().unwrap();
    let row = |fault: &Fault| {
        let cause = causes.iter().find(|cause| cause["cause"] == fault.cause);
        let cause = cause.unwrap_or_else(|| panic!("`{}` is no cause", fault.cause));
        let text = |name: &str| cause[name].as_str().unwrap().to_owned();
        format!(
            "| {} | {} | `{}`: {} | {} |",
            fault.name,
            fault.seeded,
            fault.cause,
            text("what"),
            text("next")
        )
    };
    let table: Vec<String> = FAULTS.iter().map(row).collect();
    let table = format!(
        "| fault | what is wrong | what `why` says | what to do |\n| --- | --- | --- | --- |\n{}\n",
        table.join("\n")
    );
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/faults.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- faults -->\n", "<!-- end of faults -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, table, "UPDATE_PAGES=1 writes it");
    }
}
