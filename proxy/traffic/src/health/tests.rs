//! Facts about health checks.

use std::time::{Duration, Instant};

use mesh_model::traffic::{HealthCheck, Probe};

use super::Probed::{Failed, Passed};
use super::{Probes, Verdict};

fn check() -> HealthCheck {
    HealthCheck {
        probe: Probe::Tcp,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        unhealthy_after: 3,
        healthy_after: 2,
    }
}

#[test]
fn it_takes_as_many_in_a_row_as_the_policy_says() {
    let (check, now) = (check(), Instant::now());
    let mut probes = Probes::new(&check, now, 0.5);
    let script = [
        (Passed, Some(Verdict::Healthy)),
        (Failed, None),
        (Failed, None),
        (Passed, None),
        (Failed, None),
        (Failed, None),
        (Failed, Some(Verdict::Unhealthy)),
        (Passed, None),
        (Failed, None),
        (Passed, None),
        (Passed, Some(Verdict::Healthy)),
    ];
    for (step, (probed, want)) in script.into_iter().enumerate() {
        assert_eq!(probes.ended(&check, probed, now, 0.5), want, "step {step}");
    }
}

#[test]
fn the_first_failed_probe_takes_out_what_nothing_vouched_for() {
    let (check, now) = (check(), Instant::now());
    let mut probes = Probes::new(&check, now, 0.0);
    assert_eq!(probes.verdict(), Verdict::Unknown);
    assert_eq!(probes.ended(&check, Failed, now, 0.5), Some(Verdict::Unhealthy));
}

#[test]
fn probes_are_jittered_by_a_tenth() {
    let (check, now) = (check(), Instant::now());
    let mut probes = Probes::new(&check, now, 1.0);
    assert_eq!(probes.due(), now + Duration::from_secs(1));
    for (random, millis) in [(0.0, 4500), (0.5, 5000), (1.0, 5500)] {
        probes.ended(&check, Passed, now, random);
        let due = probes.due() - now;
        assert!(due.abs_diff(Duration::from_millis(millis)) < Duration::from_millis(1), "{due:?}");
    }
}
