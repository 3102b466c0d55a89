//! `meshctl canary diff`: where the answers of a new version differ from those that callers got. The shell asks, the rest is pure.

use std::fmt::Write as _;

use anyhow::bail;
use mesh_compare::verdict::{Verdict, share};
use mesh_controller::inspect::json;
use mesh_proto::inspect::v1::{ComparisonsRequest, ComparisonsResponse};
use mesh_proto::report::v1::{Comparison, Difference};

use super::Which;
use crate::client::inspect::Inspect;
use crate::cluster::ClusterArgs;
use crate::commands::Outcome;
use crate::output::table::{Align, Cell, Table};
use crate::output::{self, Format, Paint, Tone};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// How many seconds back, in steps of five minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=3600))]
    window: u32,
    /// Show what differs by itself, too
    #[arg(long)]
    noise: bool,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// Asks and shows; a difference is a finding.
pub(super) async fn run(args: &Args, client: &Inspect) -> anyhow::Result<Outcome> {
    let (namespace, name) = args.which.split();
    let releases = client.canaries(namespace).await?;
    // Copies of a mirror without a Canary are asked for by the Service that gets them.
    let release = releases.iter().find(|it| it.name == name && it.namespace == namespace);
    let candidate = release.map_or(name, |release| &release.canary);
    let request = ComparisonsRequest {
        namespace: namespace.to_owned(),
        candidate: candidate.to_owned(),
        window_seconds: args.window,
        local_only: false,
    };
    let answer = client.comparisons(request).await?;
    if let Format::Json = args.output {
        output::json(&json::comparisons(&answer))?;
        return Ok(outcome(&answer));
    }
    if answer.comparisons.is_empty() {
        let what = match release {
            Some(_) => format!("no answer of {namespace}/{candidate} was compared"),
            None => format!(
                "there is no Canary {namespace}/{name}, and no answer of a Service of that name was compared"
            ),
        };
        bail!(
            "{what}; `compare` in a Canary with a shadow step, or in a TrafficPolicy, asks for it (docs/tasks/shadow.md)"
        );
    }
    output::print(&text(&answer, args.noise, Paint::stdout()));
    Ok(outcome(&answer))
}

fn outcome(answer: &ComparisonsResponse) -> Outcome {
    let differs = |it: &Comparison| it.differences.iter().any(|one| json::worth(it, one) == Verdict::Differs);
    if answer.comparisons.iter().any(differs) { Outcome::Finding } else { Outcome::Fine }
}

fn text(answer: &ComparisonsResponse, with_noise: bool, paint: Paint) -> String {
    let mut out = String::new();
    for (at, comparison) in answer.comparisons.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        one(&mut out, comparison, with_noise, paint);
    }
    if answer.dropped > 0 {
        let _ = writeln!(out, "{} comparisons had no room and are not in it", answer.dropped);
    }
    if !answer.unanswered.is_empty() {
        let _ =
            writeln!(out, "without the controllers that did not answer: {}", answer.unanswered.join(", "));
    }
    out
}

fn one(out: &mut String, comparison: &Comparison, with_noise: bool, paint: Paint) {
    let it = comparison;
    let title = format!(
        "{}/{}:{} beside {}/{}:{}",
        it.candidate_namespace,
        it.candidate,
        it.candidate_port,
        it.stable_namespace,
        it.stable,
        it.stable_port
    );
    let _ = writeln!(out, "{}", paint.tone(Tone::Strong, &title));
    if !it.route.is_empty() {
        let _ = writeln!(out, "  route     {}", it.route);
    }
    let _ = writeln!(out, "  compared  {}, {} equal", it.compared, it.equal);
    let noise = match it.twins {
        0 => "not measured: no GET or HEAD was sent to the stable version a second time".to_owned(),
        twins => format!("from {twins} requests that the stable version got a second time"),
    };
    let _ = writeln!(out, "  noise     {noise}");
    if it.dropped > 0 {
        let _ = writeln!(out, "  left out  {} differences at places that found no room", it.dropped);
    }
    let mut rows: Vec<_> = it.differences.iter().map(|one| (json::worth(it, one), one)).collect();
    let hidden = rows.len();
    rows.retain(|(verdict, _)| with_noise || *verdict != Verdict::Noise);
    let hidden = hidden - rows.len();
    rows.sort_by(|(a, one), (b, other)| (a, other.raw, &one.place).cmp(&(b, one.raw, &other.place)));
    if rows.is_empty() {
        let _ = writeln!(out, "  {}", paint.tone(Tone::Good, "no difference beyond noise"));
    } else {
        out.push('\n');
        out.push_str(&table(it, &rows).render(paint));
    }
    match hidden {
        0 => {}
        1 => out.push_str("one place differs by itself; --noise shows it\n"),
        _ => {
            let _ = writeln!(out, "{hidden} places differ by themselves; --noise shows them");
        }
    }
}

fn table(comparison: &Comparison, rows: &[(Verdict, &Difference)]) -> Table {
    let mut table = Table::new(&[
        ("PLACE", Align::Left),
        ("KIND", Align::Left),
        ("COUNT", Align::Right),
        ("SHARE", Align::Right),
        ("NOISE", Align::Right),
        ("VERDICT", Align::Left),
        ("STABLE", Align::Left),
        ("CANDIDATE", Align::Left),
    ]);
    for (verdict, one) in rows {
        let tone = match verdict {
            Verdict::Differs => Tone::Bad,
            Verdict::Unclear => Tone::Warning,
            Verdict::Noise => Tone::Plain,
        };
        let noise = match comparison.twins {
            0 => "-".to_owned(),
            twins => percent(share(one.noise, twins)),
        };
        let said = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        table.row([
            one.place.clone().into(),
            json::difference_kind(one.kind()).into(),
            one.raw.to_string().into(),
            percent(share(one.raw, comparison.compared)).into(),
            noise.into(),
            Cell::toned(verdict.word(), tone),
            said(&one.stable).into(),
            said(&one.candidate).into(),
        ]);
    }
    table
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use mesh_proto::report::v1::DifferenceKind;

    use super::*;

    fn difference(
        place: &str,
        kind: DifferenceKind,
        (raw, noise): (u64, u64),
        sides: [&str; 2],
    ) -> Difference {
        Difference {
            place: place.into(),
            kind: kind.into(),
            raw,
            noise,
            stable: sides[0].into(),
            candidate: sides[1].into(),
        }
    }

    fn answer(twins: u64) -> ComparisonsResponse {
        let noise = |noise: u64| if twins == 0 { 0 } else { noise };
        let comparison = Comparison {
            route: "httproute/shop/reviews#0".into(),
            stable_namespace: "shop".into(),
            stable: "reviews-v1".into(),
            stable_port: 80,
            candidate_namespace: "shop".into(),
            candidate: "reviews-v2".into(),
            candidate_port: 80,
            compared: 200,
            equal: 0,
            twins,
            differences: vec![
                difference("$.at", DifferenceKind::Value, (200, noise(100)), ["", ""]),
                difference("$.price", DifferenceKind::Type, (200, 0), ["number", "string"]),
                difference("header cache-control", DifferenceKind::Missing, (200, 0), ["", ""]),
                difference("status", DifferenceKind::Value, (1, 0), ["200", "503"]),
            ],
            dropped: 0,
        };
        ComparisonsResponse { comparisons: vec![comparison], ..ComparisonsResponse::default() }
    }

    #[test]
    fn what_differs_comes_first_and_noise_is_hidden() {
        let all =
            ComparisonsResponse { dropped: 3, unanswered: vec!["10.0.0.2:15012".into()], ..answer(100) };
        insta::assert_snapshot!(text(&all, false, Paint::Plain));
        assert_eq!(outcome(&all), Outcome::Finding);
    }

    #[test]
    fn noise_is_shown_if_it_is_asked_for() {
        insta::assert_snapshot!(text(&answer(100), true, Paint::Plain));
    }

    #[test]
    fn without_twins_nothing_is_sure() {
        insta::assert_snapshot!(text(&answer(0), false, Paint::Plain));
        assert_eq!(outcome(&answer(0)), Outcome::Fine);
    }

    #[test]
    fn versions_that_answer_the_same_are_fine() {
        let mut all = answer(100);
        all.comparisons[0].differences.truncate(1);
        insta::assert_snapshot!(text(&all, false, Paint::Plain));
        assert_eq!(outcome(&all), Outcome::Fine);
    }
}
