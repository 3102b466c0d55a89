//! One look at the figures of an interval: what it adds to what is known, and what it says. It must not know steps or what follows.

use crate::evidence::{Counts, Evidence};
use crate::observation::{Figures, Latency, Observation, Side, buckets_of_margin};
use crate::plan::{ALL, Analysis, Bad, Comparison, Plan, Ppm, Threshold};
use crate::state::Test;

/// Fewer requests than this in an interval fail no check: one bad request among them would be too large a share.
const LEAST_FOR_A_CHECK: u64 = 20;
/// A check fails when so many bad requests had less than this chance if the limit were just kept.
const CHANCE_OF_A_FAILED_CHECK: f64 = 0.05;
/// The stable version's requests from which a boundary of latency is taken.
const LEAST_FOR_A_BOUNDARY: u64 = 200;
/// The stable version's requests after which older ones count half for the boundary.
const MANY_FOR_A_BOUNDARY: u64 = 4_000;
/// So many of the new version's requests have to be beyond a quantile, if it is as good, before a step passes by it.
const LEAST_BEYOND: u64 = 3;
/// Wealth of a bet from which a step does not pass: it is no proof, but more figures will tell.
const SUSPICION: f64 = 5.0;

/// What a look says.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// What is known now, thresholds first.
    pub tests: Vec<Test>,
    /// What each of them says.
    pub findings: Vec<Finding>,
    /// Requests of the new version in this interval.
    pub requests: u64,
}

/// What a threshold or comparison says.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Which one, in words.
    pub rule: String,
    /// What it says.
    pub verdict: Verdict,
    /// Why, with the figures.
    pub text: String,
    /// The share of bad requests of the stable version in this step.
    pub stable: Option<f64>,
    /// The share of bad requests of the new version in this step.
    pub canary: Option<f64>,
}

/// From good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing is wrong.
    Pass,
    /// Not enough is known for the step to pass.
    Wait,
    /// This check failed.
    Fail,
    /// The version is bad: there is no doubt left that was not allowed for.
    Bad,
}

impl Look {
    /// The worst of its findings.
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Wait)
    }

    /// What the findings of this verdict say.
    pub fn texts(&self, verdict: Verdict) -> String {
        let texts = self.findings.iter().filter(|finding| finding.verdict == verdict);
        texts.map(|finding| finding.text.as_str()).collect::<Vec<_>>().join("; ")
    }
}

/// Tests of a step that begins. What is known of the stable version's latency goes on.
pub fn fresh(analysis: &Analysis, before: &[Test], stable: Option<&Figures>) -> Vec<Test> {
    let thresholds = analysis.thresholds.iter().map(|_| Test::default());
    let comparisons = analysis.comparisons.iter().enumerate().map(|(at, comparison)| {
        let known = before.get(analysis.thresholds.len() + at).cloned().unwrap_or_default();
        let mut test = Test { boundary: known.boundary, seen: known.seen, ..Test::default() };
        // What was seen in an interval that was looked at is among it.
        if let (Comparison::Latency { quantile, .. }, Some(figures)) = (comparison, stable)
            && test.seen.is_empty()
        {
            learn(&mut test, &figures.latency, *quantile);
        }
        test
    });
    thresholds.chain(comparisons).collect()
}

/// Looks at an interval. `None`: figures are missing, so nothing may be said.
pub fn look(plan: &Plan, tests: &[Test], observed: &Observation) -> Option<Look> {
    let canary = observed.canary.figures.as_ref()?;
    let stable = observed.stable.figures.as_ref();
    if stable.is_none() && !plan.analysis.comparisons.is_empty() {
        return None;
    }
    let alarm = plan.alarm_of_one_test();
    let mut tests = tests.to_vec();
    let rules = plan.analysis.thresholds.len() + plan.analysis.comparisons.len();
    tests.resize(rules, Test::default());
    let (alone, beside) = tests.split_at_mut(plan.analysis.thresholds.len());
    let mut findings = Vec::with_capacity(rules);
    for (threshold, test) in plan.analysis.thresholds.iter().zip(alone) {
        findings.push(hold_to(threshold, test, canary, stable, alarm));
    }
    for (comparison, test) in plan.analysis.comparisons.iter().zip(beside) {
        let nothing = Figures::default();
        findings.push(compare(*comparison, test, canary, stable.unwrap_or(&nothing), alarm));
    }
    Some(Look { tests, findings, requests: canary.requests })
}

/// What is known of a step, without a further interval.
pub fn standing(plan: &Plan, tests: &[Test]) -> Vec<Finding> {
    let nothing = || Side { ready: 0, figures: Some(Figures::default()) };
    let look = look(plan, tests, &Observation { stable: nothing(), canary: nothing() });
    look.map(|look| look.findings).unwrap_or_default()
}

fn hold_to(
    threshold: &Threshold,
    test: &mut Test,
    canary: &Figures,
    stable: Option<&Figures>,
    alarm: f64,
) -> Finding {
    let now = counts(canary.count(&threshold.bad));
    let beside = stable.map(|figures| counts(figures.count(&threshold.bad))).unwrap_or_default();
    let rule = words(threshold);
    let limit = share(threshold.at_most);
    let say = |verdict, text: String, test: &Test| Finding {
        rule: rule.clone(),
        verdict,
        text,
        stable: rate(test.stable),
        canary: rate(test.canary),
    };
    // What hits both is no fault of the new version, and no time to give it more.
    if is_over(beside, threshold.at_most) {
        let text = format!("{rule}: the stable version breaks it too ({})", percent(beside.rate()));
        return say(Verdict::Wait, text, test);
    }
    tally(&mut test.stable, beside);
    tally(&mut test.canary, now);
    test.evidence = test.evidence.alone(limit, now);
    let [bad, all] = test.canary;
    let figures = format!(
        "{rule}: {bad} of {all} requests of this step ({})",
        percent(rate(test.canary).unwrap_or(0.0))
    );
    if test.evidence.suffices(alarm) {
        return say(Verdict::Bad, figures, test);
    }
    if now.all >= LEAST_FOR_A_CHECK && chance_of_at_least(now.bad, now.all, limit) < CHANCE_OF_A_FAILED_CHECK
    {
        let text = format!("{rule}: {} of {} requests since the last check", now.bad, now.all);
        return say(Verdict::Fail, text, test);
    }
    let verdict = if is_over(Counts { bad, all }, threshold.at_most) { Verdict::Wait } else { Verdict::Pass };
    say(verdict, figures, test)
}

fn compare(
    comparison: Comparison,
    test: &mut Test,
    canary: &Figures,
    stable: &Figures,
    alarm: f64,
) -> Finding {
    let (rule, margin, enough) = match comparison {
        Comparison::Failures { margin } => {
            tally_beside(test, counts(stable.count(&Bad::Failed)), counts(canary.count(&Bad::Failed)));
            ("failures beside the stable version".to_owned(), share(margin), 0)
        }
        Comparison::Latency { quantile, margin } => {
            let rule = format!("p{} beside the stable version's", f64::from(quantile) / 10_000.0);
            let Some(boundary) = test.boundary else {
                learn(test, &stable.latency, quantile);
                let text =
                    format!("{rule}: {LEAST_FOR_A_BOUNDARY} requests of the stable version are needed first");
                return Finding { rule, verdict: Verdict::Wait, text, stable: None, canary: None };
            };
            let slow = |latency: &Latency, above| Counts { bad: latency.above(above), all: latency.total() };
            let longer = boundary.saturating_add(buckets_of_margin(margin));
            tally_beside(test, slow(&stable.latency, boundary), slow(&canary.latency, longer));
            learn(test, &stable.latency, quantile);
            (rule, 0.0, enough_for(quantile))
        }
    };
    let (of_stable, of_canary) = (rate(test.stable).unwrap_or(0.0), rate(test.canary).unwrap_or(0.0));
    let what = match comparison {
        Comparison::Failures { .. } => "failed".to_owned(),
        Comparison::Latency { margin, .. } => {
            format!("were slower than its limit, with {} allowed on top", percent(share(margin)))
        }
    };
    let text = format!(
        "{rule}: {} of the new version's requests {what}, {} of the stable version's",
        percent(of_canary),
        percent(of_stable)
    );
    let differs = of_canary > of_stable + margin;
    let verdict = if differs && test.evidence.suffices(alarm) {
        Verdict::Bad
    } else if (differs && test.evidence.log_mean() >= SUSPICION.ln()) || test.canary[1] < enough {
        Verdict::Wait
    } else {
        Verdict::Pass
    };
    Finding { rule, verdict, text, stable: rate(test.stable), canary: rate(test.canary) }
}

fn tally_beside(test: &mut Test, stable: Counts, canary: Counts) {
    tally(&mut test.stable, stable);
    tally(&mut test.canary, canary);
    test.evidence = Evidence::beside(test.evidence, stable, canary);
}

/// Takes the boundary from latencies of the stable version. It judges only what comes later, so any choice is fair; the lower one of all
/// that was seen and of the last interval is taken, since one that comes from a moment in which everything was slow lets everything pass.
fn learn(test: &mut Test, latency: &Latency, quantile: Ppm) {
    let mut seen = Latency(std::mem::take(&mut test.seen));
    seen.merge(latency);
    if seen.total() >= LEAST_FOR_A_BOUNDARY {
        let latest = latency.bucket_of(quantile).filter(|_| latency.total() >= LEAST_FOR_A_BOUNDARY);
        test.boundary = seen.bucket_of(quantile).into_iter().chain(latest).min();
    }
    if seen.total() > MANY_FOR_A_BOUNDARY {
        seen.0.values_mut().for_each(|count| *count /= 2);
        seen.0.retain(|_, count| *count > 0);
    }
    test.seen = seen.0;
}

/// Requests of which one is beyond a quantile, times what has to be seen.
fn enough_for(quantile: Ppm) -> u64 {
    LEAST_BEYOND * u64::from(ALL) / u64::from(ALL.saturating_sub(quantile).max(1))
}

/// The chance of at least `bad` of `all` when each is bad with the chance `limit`.
fn chance_of_at_least(bad: u64, all: u64, limit: f64) -> f64 {
    if bad == 0 || limit >= 1.0 {
        return 1.0;
    }
    if limit <= 0.0 {
        return 0.0;
    }
    // The terms below, summed from the first one; with more than a few hundred expected, the tail is clear anyway.
    let mut log_term = all as f64 * (-limit).ln_1p();
    let odds = (limit / (1.0 - limit)).ln();
    let mut below = 0.0;
    for at in 0..bad.min(all) {
        below += log_term.exp();
        if below >= 1.0 {
            return 0.0;
        }
        log_term += ((all - at) as f64 / (at + 1) as f64).ln() + odds;
    }
    (1.0 - below).clamp(0.0, 1.0)
}

fn counts((bad, all): (u64, u64)) -> Counts {
    Counts { bad, all }
}

fn tally(sum: &mut [u64; 2], counts: Counts) {
    let [bad, all] = *sum;
    *sum = [bad.saturating_add(counts.bad), all.saturating_add(counts.all)];
}

fn is_over(counts: Counts, at_most: Ppm) -> bool {
    counts.all > 0 && u128::from(counts.bad) * u128::from(ALL) > u128::from(counts.all) * u128::from(at_most)
}

fn rate([bad, all]: [u64; 2]) -> Option<f64> {
    (all > 0).then(|| bad as f64 / all as f64)
}

fn share(ppm: Ppm) -> f64 {
    f64::from(ppm) / f64::from(ALL)
}

impl Counts {
    fn rate(self) -> f64 {
        rate([self.bad, self.all]).unwrap_or(0.0)
    }
}

fn words(threshold: &Threshold) -> String {
    let at_most = percent(share(threshold.at_most));
    match &threshold.bad {
        Bad::Failed => format!("at most {at_most} failed"),
        Bad::SlowerThan(micros) => {
            format!("at most {at_most} slower than {} ms", (*micros as f64 / 1000.0).round())
        }
        Bad::Codes(codes) => format!("at most {at_most} with {}", codes.join(", ")),
    }
}

/// With as many digits as tell something.
pub fn percent(share: f64) -> String {
    let text = if share >= 0.1 { format!("{:.1}", share * 100.0) } else { format!("{:.2}", share * 100.0) };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

#[cfg(test)]
mod tests;
