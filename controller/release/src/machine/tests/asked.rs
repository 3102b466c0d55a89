//! Who is asked and told, over histories written by hand and by chance; and every standing of a release over the end of a process.

use super::*;

#[test]
fn how_it_ended_is_told_until_somebody_heard_it_and_outlives_the_next_release() {
    let mut told = plan(&[10, 50]);
    told.hooks = vec![Hook { name: "chat".to_owned(), point: HookPoint::RolledBack }];
    let mut release = Release::new(told);
    release.check(&good());
    release.order(&[Order::Abort], &good());
    let owed = release.state.owed.clone();
    assert_eq!((owed[0].point, owed[0].version.as_str()), (HookPoint::RolledBack, "v2"));
    let input =
        Input { version: "v3", sides: 1, observed: &good(), orders: &[], answers: &[], own_weights: 1 };
    release.state = advance(&release.plan, &release.state, &input, release.now).state;
    assert_eq!((release.state.version.as_str(), &release.state.owed), ("v3", &owed));
    assert_eq!(needs(&release.plan, &release.state, &good(), release.now), [0]);
    let missing = vec![(0, Answer::Missing("status 500".to_owned()))];
    for tries in 1..10 {
        release.answers = missing.clone();
        release.check(&good());
        assert_eq!(release.state.owed[0].tries, tries);
    }
    assert_eq!(release.reasons(&good()), [Reason::HookUnheard]);
    assert_eq!(release.state.owed, []);
    assert!(release.state.why.as_ref().is_none_or(|why| why.reason != Reason::HookUnheard));
}

/// What each of two hooks with every check, and of one before each step, says.
fn answers() -> impl Strategy<Value = Vec<(usize, Answer)>> {
    let one = || {
        prop_oneof![
            6 => Just(Some(Answer::Yes)),
            1 => Just(Some(Answer::No("no".to_owned()))),
            1 => Just(Some(Answer::Missing("late".to_owned()))),
            1 => Just(None),
        ]
    };
    (one(), one(), one()).prop_map(|(first, second, step)| {
        let all = [first, second, step].into_iter().enumerate();
        all.filter_map(|(at, answer)| Some((at, answer?))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever figures say: no further exposure where somebody says no, or nothing, or has not answered yet.
    #[test]
    fn silence_is_never_a_yes(history in history(), answers in prop::collection::vec(answers(), 60)) {
        let mut asked = plan(&[5, 20, 50]);
        let hook = |point| Hook { name: format!("{point:?}"), point };
        asked.hooks = [HookPoint::Check, HookPoint::Check, HookPoint::Step].map(hook).to_vec();
        let mut release = Release::new(asked);
        release.check(&good());
        for (interval, answers) in history.iter().zip(&answers) {
            release.answers.clone_from(answers);
            let before = release.state.clone();
            let next = release.check(&interval.observed());
            let is_yes = |at: usize| answers.contains(&(at, Answer::Yes));
            if next.state.step > before.step {
                prop_assert!(is_yes(0) && is_yes(1) && is_yes(2), "{answers:?}");
            }
            if before.phase.is_running() && next.state.phase == Phase::Promoted {
                prop_assert!(is_yes(0) && is_yes(1), "{answers:?}");
            }
        }
    }
}

/// A release in every standing that it can have.
fn standings() -> Vec<(&'static str, Release)> {
    let mut gated = plan(&[10, 50]);
    gated.steps[0].gate = Gate::Manual;
    gated.hooks = vec![Hook { name: "chat".to_owned(), point: HookPoint::RolledBack }];
    let begun = || {
        let mut release = Release::new(gated.clone());
        release.check(&good());
        release
    };
    let after = |orders: &[Order]| {
        let mut release = begun();
        release.order(orders, &good());
        release
    };
    let none = Observation { canary: Side { ready: 1, figures: None }, ..good() };
    let mut frozen = begun();
    frozen.check(&none);
    let mut failed = begun();
    failed.check(&Observation { stable: side(2, 2_000, 18), canary: side(1, 300, 7) });
    let mut gate = begun();
    gate.check(&good());
    let mut edited = begun();
    edited.own = 2;
    edited.check(&good());
    let mut second = after(&[Order::Promote]);
    second.check(&Observation { canary: side(1, 90, 0), ..good() });
    let mut promoted = after(&[Order::Promote]);
    promoted.check(&good());
    let all = vec![
        ("waiting", Release::new(gated.clone())),
        ("first step", begun()),
        ("frozen", frozen),
        ("a check failed", failed),
        ("at a gate", gate),
        ("paused", after(&[Order::Pause])),
        ("edited", edited),
        ("second step, with some requests", second),
        ("promoted", promoted),
        ("taken back, and not told yet", after(&[Order::Abort])),
    ];
    let reached =
        |phase: Phase, pause| all.iter().any(|(_, it)| (it.state.phase, it.state.pause) == (phase, pause));
    assert!(
        reached(Phase::Waiting, None) && reached(Phase::Progressing, None) && reached(Phase::Promoted, None)
    );
    assert!(reached(Phase::RolledBack, None) && reached(Phase::Paused, Some(Pause::Gate)));
    assert!(reached(Phase::Paused, Some(Pause::Hand)) && reached(Phase::Paused, Some(Pause::Edited)));
    all
}

/// The process ends in each standing, before or after it wrote down what it decided: what follows is the same.
#[test]
fn a_process_that_ends_in_any_standing_leaves_the_same_release() {
    let bad = Observation { canary: side(1, 300, 60), ..good() };
    let down = Observation { canary: side(0, 0, 0), ..good() };
    for observed in [good(), bad, down] {
        for ((standing, mut one), (_, mut other)) in standings().into_iter().zip(standings()) {
            for _ in 0..4 {
                let text = serde_json::to_string(&other.state).unwrap();
                other.state = serde_json::from_str(&text).unwrap();
                let version = other.state.version.clone();
                let version = if version.is_empty() { "v2" } else { &version };
                let input = Input {
                    version,
                    sides: 1,
                    observed: &observed,
                    orders: &[],
                    answers: &[],
                    own_weights: other.own,
                };
                let lost = advance(&other.plan, &other.state, &input, other.now + INTERVAL);
                let (first, again) = (one.check(&observed), other.check(&observed));
                assert_eq!(lost, again, "{standing}: decided again as it was before it was written down");
                assert_eq!(first, again, "{standing}");
            }
        }
    }
}
