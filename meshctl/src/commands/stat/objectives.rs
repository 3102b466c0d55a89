//! What policies promise of requests, and how fast the share that may fail is used up: a table of its own, and columns beside golden
//! metrics. Pure.

use mesh_proto::inspect::v1::{
    Burn, BurnAlert, Group, Objective, ObjectiveKind, ObjectivesResponse, StatRow,
};

use crate::output::Tone;
use crate::output::table::{Align, Cell, Table};
use crate::output::units::millis;

/// All of them.
pub(super) fn table(answer: &ObjectivesResponse) -> Table {
    let mut table = Table::new(&[
        ("NAMESPACE", Align::Left),
        ("POLICY", Align::Left),
        ("TARGET", Align::Left),
        ("OBJECTIVE", Align::Left),
        ("REQUESTS", Align::Right),
        ("GOOD", Align::Right),
        ("BURN_5M", Align::Right),
        ("BURN_30M", Align::Right),
        ("BURN_1H", Align::Right),
        ("STATE", Align::Left),
    ]);
    for one in &answer.objectives {
        let hour = one.burns.last();
        let (requests, bad) = hour.map_or((0, 0), |burn| (burn.requests, burn.bad));
        let mut cells: Vec<Cell> = vec![
            one.policy_namespace.as_str().into(),
            one.policy.as_str().into(),
            target(one).into(),
            promise(one).into(),
            requests.to_string().into(),
            good(requests, bad).into(),
        ];
        cells.extend(one.burns.iter().map(|burn| rate(burn.requests, burn.rate)));
        cells.push(state(one));
        table.row(cells);
    }
    table
}

fn target(one: &Objective) -> String {
    match (one.service_port, one.route.is_empty()) {
        (_, false) => one.route.clone(),
        (0, true) => format!("{}.{}", one.service, one.service_namespace),
        (port, true) => format!("{}.{}:{port}", one.service, one.service_namespace),
    }
}

/// `99.9% good` or `99% under 250ms`, over its window.
fn promise(one: &Objective) -> String {
    let percent = format!("{:.4}", one.ratio * 100.0);
    let percent = percent.trim_end_matches('0').trim_end_matches('.');
    let days = one.window_seconds / 86_400;
    match one.kind() {
        ObjectiveKind::Latency => {
            format!("{percent}% under {} in {days}d", short(one.under_us))
        }
        ObjectiveKind::Availability | ObjectiveKind::Unspecified => format!("{percent}% good in {days}d"),
    }
}

fn short(us: u64) -> String {
    if us.is_multiple_of(1_000) && us < 10_000_000 {
        format!("{}ms", us / 1_000)
    } else {
        millis(us as f64 / 1e3)
    }
}

fn good(requests: u64, bad: u64) -> String {
    if requests == 0 {
        return "-".to_owned();
    }
    format!("{:.3}%", requests.saturating_sub(bad) as f64 * 100.0 / requests as f64)
}

fn rate(requests: u64, rate: f64) -> Cell {
    match rate {
        _ if requests == 0 => Cell::toned("-", Tone::Faint),
        rate if rate < 1.0 => Cell::toned(format!("{rate:.2}x"), Tone::Good),
        rate if rate < 10.0 => Cell::toned(format!("{rate:.1}x"), Tone::Warning),
        rate => Cell::toned(format!("{rate:.0}x"), Tone::Bad),
    }
}

fn state(one: &Objective) -> Cell {
    match one.alert() {
        BurnAlert::Fast => Cell::toned("burns fast", Tone::Bad),
        BurnAlert::Slow => Cell::toned("burns", Tone::Warning),
        BurnAlert::Unspecified => "".into(),
    }
}

/// Those about a row of services or routes: of a route all of its rules have it. The one that burns fastest is told.
pub(super) fn of_row<'a>(all: &'a [Objective], row: &StatRow, group: Group) -> Option<&'a Objective> {
    let is_about = |one: &&Objective| match group {
        Group::Service => {
            !one.service.is_empty()
                && (&one.service_namespace, &one.service) == (&row.service_namespace, &row.service)
        }
        Group::Route => {
            let whole = row.route.split_once('#').map(|(route, _)| route);
            !one.route.is_empty() && (one.route == row.route || Some(one.route.as_str()) == whole)
        }
        Group::Unspecified | Group::Workload | Group::Pod | Group::Namespace => false,
    };
    let hour = |one: &Objective| one.burns.last().map_or(0.0, |burn| burn.rate);
    all.iter().filter(is_about).max_by(|a, b| hour(a).total_cmp(&hour(b)))
}

/// Columns beside others.
pub(super) const COLUMNS: [(&str, Align); 3] =
    [("OBJECTIVE", Align::Left), ("BURN_5M", Align::Right), ("BURN_1H", Align::Right)];

/// The cells below them.
pub(super) fn cells(one: Option<&Objective>) -> [Cell; 3] {
    let Some(one) = one else { return ["-", "-", "-"].map(|dash| Cell::toned(dash, Tone::Faint)) };
    let burn = |burn: Option<&Burn>| burn.map_or_else(|| "-".into(), |burn| rate(burn.requests, burn.rate));
    [promise(one).into(), burn(one.burns.first()), burn(one.burns.last())]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::output::Paint;
    use mesh_controller::inspect::json;

    pub(crate) fn answer() -> ObjectivesResponse {
        let burns = |rates: [f64; 3], requests: u64| {
            let windows = [300, 1_800, 3_600].into_iter().zip(rates);
            windows
                .map(|(window_seconds, rate)| Burn { window_seconds, requests, bad: requests / 100, rate })
                .collect::<Vec<_>>()
        };
        let of_service = Objective {
            policy_namespace: "shop".into(),
            policy: "promise".into(),
            kind: ObjectiveKind::Availability.into(),
            ratio: 0.999,
            window_seconds: 30 * 86_400,
            service_namespace: "shop".into(),
            service: "cart".into(),
            burns: burns([14.9, 15.2, 20.0], 3_000),
            alert: BurnAlert::Fast.into(),
            ..Objective::default()
        };
        let latency = Objective {
            kind: ObjectiveKind::Latency.into(),
            ratio: 0.99,
            under_us: 250_000,
            service_port: 80,
            burns: burns([0.0, 0.42, 0.5], 3_000),
            alert: 0,
            ..of_service.clone()
        };
        let of_route = Objective {
            service_namespace: String::new(),
            service: String::new(),
            route: "httproute/shop/web".into(),
            burns: burns([0.0; 3], 0),
            alert: 0,
            ..of_service.clone()
        };
        ObjectivesResponse {
            objectives: vec![of_service, latency, of_route],
            unanswered: Vec::new(),
            kept_seconds: 900,
        }
    }

    #[test]
    fn promises_are_told_with_their_rates() {
        insta::assert_snapshot!(table(&answer()).render(Paint::Plain));
        insta::assert_json_snapshot!("objectives_json", json::objectives(&answer()));
    }

    #[test]
    fn a_row_has_the_objective_that_burns_fastest() {
        let all = answer().objectives;
        let cart = StatRow { service_namespace: "shop".into(), service: "cart".into(), ..StatRow::default() };
        assert_eq!(
            of_row(&all, &cart, Group::Service).map(Objective::kind),
            Some(ObjectiveKind::Availability)
        );
        assert_eq!(of_row(&all, &cart, Group::Pod), None);
        let rule = |route: &str| StatRow { route: route.into(), ..StatRow::default() };
        assert!(of_row(&all, &rule("httproute/shop/web#0"), Group::Route).is_some());
        assert_eq!(of_row(&all, &rule("httproute/shop/webs#0"), Group::Route), None);
        assert_eq!(of_row(&all, &rule(""), Group::Route), None);
    }
}
