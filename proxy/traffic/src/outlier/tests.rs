//! Facts about outliers.

use std::time::{Duration, Instant};

use mesh_model::traffic::{LatencyOutlier, OutlierDetection, Ppm, SuccessRate};

use super::{Sample, ejectable, ejection, low_rates, next_times, slow};

#[test]
fn at_least_one_stays_and_a_small_share_is_one() {
    let table = [
        (0, 500_000, 0),
        (1, 1_000_000, 0),
        (2, 500_000, 1),
        (3, 500_000, 1),
        (4, 500_000, 2),
        (5, 100_000, 1),
        (5, 0, 0),
        (10, 1_000_000, 9),
    ];
    for (endpoints, share, want) in table {
        assert_eq!(ejectable(endpoints, Ppm(share)), want, "{endpoints} at {share}");
    }
}

#[test]
fn ejections_grow_up_to_the_longest() {
    let rules = OutlierDetection::default();
    let seconds: Vec<u64> = [1, 2, 3, 30, 31, 1000].map(|times| ejection(&rules, times).as_secs()).to_vec();
    assert_eq!(seconds, [10, 20, 30, 300, 300, 300]);
}

#[test]
fn ejections_are_forgotten_with_time() {
    let (rules, now) = (OutlierDetection::default(), Instant::now());
    assert_eq!(next_times(&rules, 0, None, now), 1);
    assert_eq!(next_times(&rules, 3, Some(now), now + Duration::from_secs(9)), 4);
    assert_eq!(next_times(&rules, 3, Some(now), now + Duration::from_secs(20)), 2);
    assert_eq!(next_times(&rules, 3, Some(now), now + Duration::from_hours(1)), 1);
}

fn rates(errors: &[u32]) -> Vec<(usize, Sample)> {
    errors.iter().map(|errors| Sample { requests: 100, errors: *errors, latency: 0.0 }).enumerate().collect()
}

#[test]
fn a_low_success_rate_stands_out() {
    let rule = SuccessRate { min_requests: 100, min_endpoints: 5, deviations: 1900 };
    assert_eq!(low_rates(&rates(&[0, 1, 0, 2, 40]), &rule), [4]);
    assert_eq!(low_rates(&rates(&[5, 5, 5, 5, 5]), &rule), Vec::<usize>::new());
    assert_eq!(low_rates(&rates(&[0, 1, 0, 40]), &rule), Vec::<usize>::new(), "too few endpoints");
    let strict = SuccessRate { deviations: 500, ..rule };
    assert_eq!(low_rates(&rates(&[0, 0, 30, 0, 40]), &strict), [4, 2], "worst first");
    let mut quiet = rates(&[0, 1, 0, 2, 40]);
    quiet[4].1.requests = 99;
    assert_eq!(low_rates(&quiet, &rule), Vec::<usize>::new(), "too few requests");
}

fn latencies(millis: &[u32]) -> Vec<(usize, Sample)> {
    let sample = |millis: &u32| Sample { requests: 10, errors: 0, latency: f64::from(*millis) / 100.0 };
    millis.iter().map(sample).enumerate().collect()
}

#[test]
fn a_high_latency_stands_out() {
    let rule = LatencyOutlier { min_requests: 10, factor: 3000 };
    assert_eq!(slow(&latencies(&[10, 12, 11, 50]), rule), [3]);
    assert_eq!(slow(&latencies(&[10, 12, 60, 50, 11]), rule), [2, 3]);
    assert_eq!(slow(&latencies(&[10, 12, 11, 30]), rule), Vec::<usize>::new());
    assert_eq!(slow(&latencies(&[10, 500]), rule), Vec::<usize>::new(), "two cannot tell which is wrong");
}

#[test]
fn failed_requests_have_no_latency() {
    let rule = LatencyOutlier { min_requests: 10, factor: 3000 };
    let mut samples = latencies(&[10, 12, 11, 50]);
    samples[3].1.errors = 1;
    assert_eq!(slow(&samples, rule), Vec::<usize>::new());
}
