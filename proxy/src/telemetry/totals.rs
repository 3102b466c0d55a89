//! What scrapes show of traffic: the mesh's own metrics, those of OpenTelemetry's conventions, and those of other meshes where somebody
//! asked for them. Each is summed by its own keys from the beginning: a sum over series that come and go would go back. Pure; it must
//! not know how anything is written, and time comes as an argument.

use std::time::Duration;

use super::SeriesKey;
use super::key::KnownMethod;
use super::table::{Place, Table};
use super::worker::SeriesDelta;

/// Series of `mesh_requests_total`.
pub(crate) const MAX_OUTCOMES: usize = 2_000;
/// Series of each family that has a histogram: 19 lines each.
pub(crate) const MAX_HISTOGRAMS: usize = 300;

/// Whose names traffic is counted by, beside our own and OpenTelemetry's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlsoAs {
    /// Istio's.
    pub istio: bool,
    /// Linkerd's.
    pub linkerd: bool,
}

/// All sums of traffic.
#[derive(Debug)]
pub(crate) struct Totals {
    /// By who called whom, and how it ended: requests alone.
    pub(crate) outcomes: Table,
    /// By who called whom.
    pub(crate) traffic: Table,
    /// The same with method and status, as OpenTelemetry has it.
    pub(crate) conventions: Table,
    /// Without routes.
    pub(crate) istio: Table,
    /// Without routes.
    pub(crate) linkerd: Table,
    also_as: AlsoAs,
    /// Since the start.
    pub(crate) now: Duration,
}

impl Totals {
    /// With so many outcomes, and at most as many of the others as the usual bound.
    pub(crate) fn with_limit(limit: usize) -> Self {
        let histograms = limit.min(MAX_HISTOGRAMS);
        Self {
            outcomes: Table::new(limit.min(MAX_OUTCOMES)),
            traffic: Table::new(histograms),
            conventions: Table::new(histograms),
            istio: Table::new(histograms),
            linkerd: Table::new(histograms),
            also_as: AlsoAs::default(),
            now: Duration::ZERO,
        }
    }

    /// From now on under these names; what is asked for no longer is forgotten.
    pub(crate) fn set_names(&mut self, also_as: AlsoAs) {
        self.also_as = also_as;
        for (wanted, table) in [(also_as.istio, &mut self.istio), (also_as.linkerd, &mut self.linkerd)] {
            if !wanted {
                table.clear();
            }
        }
    }

    /// Takes in what a worker counted under a key; the number of tables that had no room for it.
    pub(crate) fn add(&mut self, key: &SeriesKey, added: &SeriesDelta) -> u64 {
        let now = self.now;
        let requests =
            SeriesDelta { requests: added.requests, traced: added.traced, ..SeriesDelta::default() };
        let own = key.without_method();
        let traffic = SeriesKey { status: 0, grpc_status: None, failure: None, ..own.clone() };
        let routeless = SeriesKey { route: None, ..own.clone() };
        let mut places = vec![
            self.outcomes.add(&own, &requests, now),
            self.traffic.add(&traffic, added, now),
            self.conventions.add(key, added, now),
        ];
        if self.also_as.istio {
            places.push(self.istio.add(&routeless, added, now));
        }
        if self.also_as.linkerd {
            places.push(self.linkerd.add(&routeless, added, now));
        }
        places.into_iter().map(|place| u64::from(place == Place::Folded)).sum()
    }
}

impl SeriesKey {
    /// Without what only OpenTelemetry's conventions ask for.
    pub(crate) fn without_method(&self) -> Self {
        Self { method: KnownMethod::None, ..self.clone() }
    }
}
