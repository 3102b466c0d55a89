//! `meshctl wait`: returns when sidecars have what the objects say at the moment that it is called, so that a script can go on.

mod judge;

use std::time::Duration;

use anyhow::bail;
use mesh_controller::api::Kind;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{SyncRequest, SyncResponse};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::judge::{Goal, Missing, Verdict};
use super::{Outcome, inspect};
use crate::client::inspect::{Inspect, InspectError};
use crate::cluster::ClusterArgs;
use crate::output::{self, Format};

/// Between two questions, at first and later.
const PACE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A day: whoever waits longer has meant something else.
const LONGEST: u64 = 86_400;
/// Sidecars that are named when time is over; of the others it is said how many they are.
const NAMED: usize = 20;

/// Arguments of `meshctl wait`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to wait for: with OBJECT `programmed`, else `synced`
    #[arg(long = "for", value_enum, value_name = "STATE")]
    state: Option<State>,
    /// Only this object, as KIND/NAMESPACE/NAME, such as httproute/shop/reviews
    object: Option<String>,
    /// Seconds after which it is no longer waited for, with exit code 1
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=LONGEST))]
    timeout: u64,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum State {
    /// Every connected sidecar has what all objects say.
    Synced,
    /// Every connected sidecar that uses OBJECT has it as it is.
    Programmed,
}

/// Asks until it is so.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let goal = goal(args.state, args.object.as_deref())?;
    let began = Instant::now();
    let deadline = began + Duration::from_secs(args.timeout);
    let client = inspect(mesh, &args.cluster, tasks).await?;
    let mut wait = Wait { client, goal, needed: Vec::new() };
    let mut pace = PACE.0;
    let (ended, answers) = loop {
        // A question has a deadline of its own: one that is asked is answered, so that it is known who is missing.
        match wait.ask().await {
            Ok(answers) => match judge::judge(&wait.goal, &wait.needed, &answers) {
                Verdict::Waiting(missing) if Instant::now() >= deadline => {
                    break (Ended::Late(missing), answers);
                }
                Verdict::Waiting(_) => {}
                Verdict::Done => break (Ended::Done, answers),
                Verdict::Never(why) => break (Ended::Never(why), answers),
                Verdict::NoObject(name) => bail!("there is no {name} among the objects of the mesh"),
            },
            // A replica that restarts is not the end of it.
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(_) => {}
        }
        tokio::time::sleep_until(deadline.min(Instant::now() + pace)).await;
        pace = (pace * 2).min(PACE.1);
    };
    let waited = began.elapsed();
    match args.output {
        Format::Json => output::json(&ended.json(&wait.goal, &answers, waited))?,
        Format::Table => output::print(&ended.text(&wait.goal, args.timeout)),
    }
    Ok(if matches!(ended, Ended::Done) { Outcome::Fine } else { Outcome::Finding })
}

/// `KIND/NAMESPACE/NAME`, with the kind in any case, as the controller names it.
fn goal(state: Option<State>, object: Option<&str>) -> anyhow::Result<Goal> {
    let object = match (state, object) {
        (Some(State::Synced), Some(_)) => bail!("--for synced is about all objects; leave OBJECT out"),
        (Some(State::Programmed), None) => bail!("--for programmed needs OBJECT, as KIND/NAMESPACE/NAME"),
        (_, None) => return Ok(Goal::All),
        (_, Some(object)) => object,
    };
    let parts: Vec<&str> = object.split('/').collect();
    let [kind, namespace, name] = parts.as_slice() else {
        bail!("`{object}` is not KIND/NAMESPACE/NAME, such as httproute/shop/reviews");
    };
    let known = Kind::ALL.iter().find(|(_, _, known)| known.eq_ignore_ascii_case(kind));
    let Some((_, _, kind)) = known else {
        let all: Vec<&str> = Kind::ALL.iter().map(|(_, _, kind)| *kind).collect();
        bail!("`{kind}` is no kind of the mesh; it knows {}", all.join(", "));
    };
    Ok(Goal::Object(format!("{kind} {namespace}/{name}")))
}

/// What is asked, and what is known by now.
struct Wait {
    client: Inspect,
    goal: Goal,
    /// By replica: the revision that has everything that there was when it was asked first.
    needed: Vec<u64>,
}

impl Wait {
    async fn ask(&mut self) -> Result<Vec<SyncResponse>, InspectError> {
        let object = match &self.goal {
            Goal::All => String::new(),
            Goal::Object(name) => name.clone(),
        };
        let first = self.needed.is_empty();
        let request = SyncRequest { barrier: first, only_lacking: true, object };
        let answers = self.client.sync_of_each(request).await?;
        if first {
            self.needed = answers.iter().map(|answer| answer.revision).collect();
        }
        Ok(answers)
    }
}

/// How it ended.
#[derive(Debug)]
enum Ended {
    Done,
    Late(Vec<Missing>),
    Never(Vec<String>),
}

impl Ended {
    fn text(&self, goal: &Goal, timeout: u64) -> String {
        let what = match goal {
            Goal::All => "what the objects say",
            Goal::Object(name) => name.as_str(),
        };
        match self {
            Self::Done => format!("every connected sidecar has {what}\n"),
            Self::Never(why) => format!("it will not come to that:\n{}", lines(why)),
            Self::Late(missing) => {
                let named: Vec<String> = missing.iter().map(ToString::to_string).collect();
                format!("after {timeout} s not every connected sidecar has {what}:\n{}", lines(&named))
            }
        }
    }

    fn json(&self, goal: &Goal, answers: &[SyncResponse], waited: Duration) -> Value {
        let object = match goal {
            Goal::All => Value::Null,
            Goal::Object(name) => name.as_str().into(),
        };
        let (missing, never) = match self {
            Self::Done => (&[][..], &[][..]),
            Self::Late(missing) => (missing.as_slice(), &[][..]),
            Self::Never(why) => (&[][..], why.as_slice()),
        };
        json!({
            "done": matches!(self, Self::Done),
            "object": object,
            "revisions": answers.iter().map(|answer| answer.revision).collect::<Vec<_>>(),
            "waited_ms": u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            "lacking": missing.iter().map(Missing::json).collect::<Vec<_>>(),
            "never": never,
        })
    }
}

fn lines(all: &[String]) -> String {
    let mut out: String = all.iter().take(NAMED).flat_map(|line| ["  ", line, "\n"]).collect();
    if let Some(more) = all.len().checked_sub(NAMED).filter(|more| *more > 0) {
        out.push_str("  and ");
        out.push_str(&more.to_string());
        out.push_str(" more; `meshctl sync` shows all\n");
    }
    out
}

#[cfg(test)]
mod tests;
