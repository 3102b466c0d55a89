//! `meshctl certs status`, `watch` and `rotate`: where the rotation of roots and issuers is, and for whom it waits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::ca::v1::rotate_request::What;
use mesh_proto::ca::v1::rotation_status::Step;
use mesh_proto::ca::v1::{RotationStatus, Waiting};
use serde_json::{Value, json};

use crate::cluster::ClusterArgs;
use crate::commands::{Outcome, authority};
use crate::output::table::{Align, Cell, Table};
use crate::output::units::span;
use crate::output::{self, Format, Paint, Tone};

/// Between two looks of `watch`.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Subcommand)]
pub(super) enum Rotation {
    /// Show where the rotation of root and issuer is, and for whom it waits
    Status(Show),
    /// Follow a rotation until it is over
    Watch(Show),
    /// Ask for a new root, which takes its time, or a new issuer, which is there at once
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Rotate {
    /// A new root: published, trusted by everybody, put to use; then the old one goes
    #[arg(long, group = "what")]
    root: bool,
    /// A new issuer of the root there is
    #[arg(long, group = "what")]
    issuer: bool,
    #[command(flatten)]
    show: Show,
}

pub(super) async fn run(command: Rotation, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    match command {
        Rotation::Status(show) => {
            let status = authority(mesh, &show.cluster, tasks).await?.status().await?;
            print(&status, show.output)?;
            Ok(if status.trouble.is_empty() { Outcome::Fine } else { Outcome::Finding })
        }
        Rotation::Rotate(rotate) => {
            let what = if rotate.root { What::Root } else { What::Issuer };
            let authority = authority(mesh, &rotate.show.cluster, tasks).await?;
            let before = authority.status().await?;
            if what == What::Root && before.step() != Step::Steady {
                bail!(
                    "a root is being rotated ({}); follow it with `meshctl certs watch`, and ask again when it is over",
                    step(&before)
                );
            }
            print(&authority.rotate(what).await?, rotate.show.output)?;
            Ok(Outcome::Fine)
        }
        Rotation::Watch(show) => watch(&show, mesh, tasks).await,
    }
}

/// A line for each change, until nothing is under way.
async fn watch(show: &Show, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let authority = authority(mesh, &show.cluster, tasks).await?;
    let (mut said, stop) = (None, tasks.token());
    loop {
        let status = authority.status().await?;
        let line = line(&status, now());
        let now = (status.step, status.asked, status.waiting.clone(), status.trouble.clone());
        if said.as_ref() != Some(&now) {
            match show.output {
                Format::Json => output::print(&format!("{}\n", json(&status))),
                Format::Table => output::print(&format!("{line}\n")),
            }
            said = Some(now);
        }
        if status.step() == Step::Steady && status.asked() == What::Unspecified {
            return Ok(Outcome::Fine);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(Outcome::Fine),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn print(status: &RotationStatus, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(&json(status))?,
        Format::Table => output::print(&text(status, now(), Paint::stdout())),
    }
    Ok(())
}

/// The step in words, with its place in the order.
fn step(status: &RotationStatus) -> &'static str {
    match (status.step(), status.asked()) {
        (Step::Steady, What::Root) => "a new root is asked for",
        (Step::Steady, What::Issuer) => "a new issuer is asked for",
        (Step::Steady, What::Unspecified) => "steady, nothing is under way",
        (Step::RootPrepared, _) => "1 of 4: the next root is made",
        (Step::RootPublished, _) => "2 of 4: the next root is published",
        (Step::IssuerMoved, _) => "3 of 4: the next root signs",
        (Step::Unspecified, _) => "unknown to this version of meshctl",
    }
}

fn line(status: &RotationStatus, now: u64) -> String {
    let mut line = format!("{} (generation {})", step(status), status.generation);
    if let Some(waiting) = status.waiting.as_ref() {
        line = format!("{line}; waits {}", waits(waiting, now));
    }
    if !status.trouble.is_empty() {
        line = format!("{line}; trouble: {}", status.trouble);
    }
    line
}

fn waits(waiting: &Waiting, now: u64) -> String {
    match waiting.until {
        0 => waiting.why.clone(),
        until => format!("{}, at most {} more", waiting.why, span(until.saturating_sub(now))),
    }
}

fn text(status: &RotationStatus, now: u64, paint: Paint) -> String {
    let left = |at: u64| span(at.saturating_sub(now));
    let since = match status.since {
        0 => String::new(),
        since => format!(", for {}", span(now.saturating_sub(since))),
    };
    let known = format!(
        "{} of {} trust the bundle of now (generation {})",
        status.members_in_step, status.members, status.generation
    );
    let waits = status.waiting.as_ref().map(|waiting| paint.tone(Tone::Warning, &waits(waiting, now)));
    let trouble = Some(&status.trouble).filter(|trouble| !trouble.is_empty());
    let mut rows = vec![("TRUST DOMAIN", status.trust_domain.clone())];
    rows.push(("ROTATION", format!("{}{since}", step(status))));
    rows.extend(waits.map(|waits| ("WAITS", waits)));
    rows.extend(trouble.map(|trouble| ("TROUBLE", paint.tone(Tone::Bad, trouble))));
    rows.push(("MEMBERS", known));
    for (index, root) in status.roots.iter().enumerate() {
        let signs = if root.signs { ", signs" } else { "" };
        let text = format!("{} ends in {}{signs}", short(&root.sha256), left(root.not_after));
        rows.push((if index == 0 { "ROOTS" } else { "" }, text));
    }
    let (end, due) = (left(status.issuer_not_after), status.issuer_due);
    let due = if due == u64::MAX { "by who gives it".to_owned() } else { format!("in {}", left(due)) };
    rows.push(("ISSUER", format!("ends in {end}, is replaced {due}")));
    let due = status.root_due;
    let due = if due == u64::MAX { "by who gives it".to_owned() } else { format!("in {}", left(due)) };
    rows.push(("ROOT", format!("{}, is replaced {due}", status.upstream)));
    let lines: Vec<_> = rows.iter().map(|(name, value)| format!("{name:<14} {value}\n")).collect();
    let mut out = lines.concat();
    if let Some(waiting) = status.waiting.as_ref().filter(|waiting| !waiting.first.is_empty()) {
        out = format!("{out}\n{}", members(waiting, now).render(paint));
        let rest = waiting.count.saturating_sub(waiting.first.len() as u64);
        if rest > 0 {
            out = format!("{out}and {rest} more\n");
        }
    }
    out
}

fn members(waiting: &Waiting, now: u64) -> Table {
    let mut table = Table::new(&[
        ("WAITS FOR", Align::Left),
        ("PROCESS", Align::Left),
        ("CERTIFICATE ENDS IN", Align::Right),
        ("TRUSTS GENERATION", Align::Right),
    ]);
    for member in &waiting.first {
        let instance = match member.instance.as_str() {
            "" => Cell::toned("does not say", Tone::Faint),
            instance => instance.into(),
        };
        table.row([
            member.spiffe_id.clone().into(),
            instance,
            span(member.not_after.saturating_sub(now)).into(),
            member.generation.to_string().into(),
        ]);
    }
    table
}

/// The beginning of a fingerprint, enough to tell roots apart.
fn short(sha256: &str) -> &str {
    sha256.get(..16).unwrap_or(sha256)
}

fn json(status: &RotationStatus) -> Value {
    let step = match status.step() {
        Step::Unspecified => "unknown",
        Step::Steady => "steady",
        Step::RootPrepared => "root_prepared",
        Step::RootPublished => "root_published",
        Step::IssuerMoved => "issuer_moved",
    };
    let asked = match status.asked() {
        What::Unspecified => Value::Null,
        What::Root => json!("root"),
        What::Issuer => json!("issuer"),
    };
    let roots = status
        .roots
        .iter()
        .map(|root| json!({ "sha256": root.sha256, "not_after": root.not_after, "signs": root.signs }));
    let waiting = status.waiting.as_ref().map(|waiting| {
        let first = waiting.first.iter().map(|member| {
            json!({
                "spiffe_id": member.spiffe_id,
                "instance": member.instance,
                "not_after": member.not_after,
                "generation": member.generation,
            })
        });
        let until = Some(waiting.until).filter(|until| *until > 0);
        json!({ "why": waiting.why, "count": waiting.count, "until": until, "first": first.collect::<Vec<_>>() })
    });
    json!({
        "trust_domain": status.trust_domain,
        "step": step,
        "since": status.since,
        "asked": asked,
        "generation": status.generation,
        "members": status.members,
        "members_in_step": status.members_in_step,
        "waiting": waiting,
        "roots": roots.collect::<Vec<_>>(),
        "issuer_not_after": status.issuer_not_after,
        "issuer_due": status.issuer_due,
        "root_due": Some(status.root_due).filter(|due| *due != u64::MAX),
        "upstream": status.upstream,
        "trouble": Some(&status.trouble).filter(|trouble| !trouble.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use mesh_proto::ca::v1::{RootStatus, WaitingMember};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn published() -> RotationStatus {
        let member = |instance: &str| WaitingMember {
            spiffe_id: "spiffe://mesh.local/ns/shop/sa/cart".into(),
            instance: instance.into(),
            not_after: NOW + 1500,
            generation: 1,
        };
        let root = |sha256: &str, signs| RootStatus {
            sha256: sha256.repeat(16),
            not_after: NOW + 3652 * 86_400,
            signs,
        };
        RotationStatus {
            trust_domain: "mesh.local".into(),
            step: i32::from(Step::RootPublished),
            since: NOW - 42,
            generation: 2,
            roots: vec![root("0a1b", true), root("9f8e", false)],
            issuer_not_after: NOW + 365 * 86_400,
            root_due: NOW + 2921 * 86_400,
            issuer_due: NOW + 243 * 86_400,
            waiting: Some(Waiting {
                first: vec![member("cart-7d9f.kqzwmbva"), member("")],
                count: 3,
                until: NOW + 1500,
                why: "for 3 members to say that the new root is trusted".into(),
            }),
            members: 8,
            members_in_step: 5,
            asked: 0,
            upstream: "a root of its own".into(),
            trouble: String::new(),
        }
    }

    #[test]
    fn status_says_the_step_and_for_whom_it_waits() {
        insta::assert_snapshot!(text(&published(), NOW, Paint::Plain));
    }

    #[test]
    fn status_of_a_mesh_at_rest_is_short() {
        let status = RotationStatus {
            step: i32::from(Step::Steady),
            waiting: None,
            roots: published().roots.into_iter().take(1).collect(),
            members_in_step: 8,
            trouble: "the API server did not read Secret amime-system/amime-ca-issuer in 5 s".into(),
            ..published()
        };
        insta::assert_snapshot!(text(&status, NOW, Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(json(&published()));
    }

    #[test]
    fn watch_says_a_line_for_each_change() {
        insta::assert_snapshot!(line(&published(), NOW));
    }
}
