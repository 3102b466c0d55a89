//! Reads an objective. It must not know who keeps it.

use std::time::Duration;

use super::Findings;
use super::scalars::{DAY, HOUR, MILLISECOND, duration};
use crate::api::traffic;

/// The window where none is written, days.
const USUAL_DAYS: u32 = 30;
/// The longest window, days.
const MOST_DAYS: u32 = 366;

/// What is promised of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slo {
    /// The share that does not fail, below 1.
    pub availability: Option<f64>,
    /// How long a request may take, and the share that takes no longer.
    pub latency: Option<(Duration, f64)>,
    /// For how long.
    pub window: Duration,
}

/// What it says, and what is wrong with it.
pub fn lower(slo: &traffic::Slo, findings: &mut Findings) -> Slo {
    if slo.availability.is_none() && slo.latency.is_none() {
        findings.fault("spec.slo", "promises nothing; write `availability`, `latency` or both");
    }
    let latency = slo.latency.as_ref().map(|latency| {
        let under = duration(&latency.under, "spec.slo.latency.under", MILLISECOND..=HOUR, findings);
        (under, share(latency.percent, "spec.slo.latency.percent", findings))
    });
    let days = slo.window.as_ref().map_or(USUAL_DAYS, |days| {
        let number = days.0.strip_suffix('d').and_then(|number| number.parse().ok());
        number.filter(|days| (1..=MOST_DAYS).contains(days)).unwrap_or_else(|| {
            let message = format!("`{}` is no number of days; use 1d to {MOST_DAYS}d, as 30d", days.0);
            findings.fault("spec.slo.window", message);
            USUAL_DAYS
        })
    });
    let availability = slo.availability.map(|percent| share(percent, "spec.slo.availability", findings));
    Slo { availability, latency, window: DAY * days }
}

/// 100 % leaves nothing that may fail, so that any failure would be too fast.
fn share(percent: f64, field: &str, findings: &mut Findings) -> f64 {
    if (1.0..=99.9999).contains(&percent) {
        return percent / 100.0;
    }
    findings.fault(
        field,
        format!("{percent} is out of bounds; use 1 to 99.9999, since with 100 nothing at all may fail"),
    );
    0.99
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (Slo, Vec<String>) {
        let mut findings = Findings::default();
        let slo = lower(&serde_saphyr::from_str(yaml).unwrap(), &mut findings);
        (slo, findings.faults.into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn an_objective_is_read() {
        let (slo, faults) = read("{availability: 99.9, latency: {under: 250ms, percent: 99}, window: 7d}");
        assert_eq!(faults, Vec::<String>::new());
        let latency = Some((Duration::from_millis(250), 0.99));
        let availability = slo.availability.map(|share| format!("{share:.6}"));
        assert_eq!(availability.as_deref(), Some("0.999000"));
        assert_eq!(slo, Slo { availability: slo.availability, latency, window: DAY * 7 });
        assert_eq!(read("{availability: 99}").0.window, DAY * 30);
    }

    #[test]
    fn what_cannot_be_promised_is_told_by_its_field() {
        for (yaml, field) in [
            ("{}", "spec.slo"),
            ("{window: 30d}", "spec.slo"),
            ("{availability: 100}", "spec.slo.availability"),
            ("{availability: 0.999}", "spec.slo.availability"),
            ("{availability: .nan}", "spec.slo.availability"),
            ("{latency: {under: 0ms, percent: 99}}", "spec.slo.latency.under"),
            ("{latency: {under: 2h, percent: 99}}", "spec.slo.latency.under"),
            ("{latency: {under: 1s, percent: 100}}", "spec.slo.latency.percent"),
            ("{availability: 99, window: 0d}", "spec.slo.window"),
            ("{availability: 99, window: 400d}", "spec.slo.window"),
            ("{availability: 99, window: 720h}", "spec.slo.window"),
        ] {
            assert_eq!(read(yaml).1, [field], "{yaml}");
        }
    }
}
