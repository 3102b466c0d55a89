//! What proxies take, added up by workload, pod, namespace and in all. Pure.

use std::collections::BTreeMap;

use mesh_proto::inspect::v1::{DaemonCost, ProxyCost};

use crate::observe::histogram::Histogram;

/// By what proxies are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Deployment, StatefulSet, …; outside Kubernetes the workload.
    Owner,
    /// Pod.
    Workload,
    /// Namespace.
    Namespace,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// CPU.
    Cpu,
    /// CPU of each request.
    CpuPerRequest,
    /// Memory.
    Memory,
    /// The slowest hundredth.
    Latency,
    /// Requests a second.
    Requests,
}

/// Several proxies together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sum {
    /// Empty: all.
    pub namespace: String,
    /// Empty: all of the namespace.
    pub name: String,
    /// How many.
    pub proxies: u64,
    /// Of the longest that was measured.
    pub interval_ms: u64,
    /// CPUs: 0.01 is a hundredth of one.
    pub cpu: f64,
    /// In the interval.
    pub cpu_us: u64,
    /// Memory now.
    pub resident_bytes: u64,
    /// Requests of others.
    pub inbound: u64,
    /// Requests of its own.
    pub outbound: u64,
    /// Both, a second.
    pub rps: f64,
    /// The time in the proxy, of what others asked.
    pub inbound_own: Histogram,
    /// And of what it asked.
    pub outbound_own: Histogram,
}

/// An answer to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Costing {
    /// A word for it.
    pub by: &'static str,
    /// In the order that was asked for.
    pub rows: Vec<Sum>,
    /// All of them, also those that are not shown.
    pub all: Sum,
}

impl Sum {
    fn add(&mut self, cost: &ProxyCost) {
        let seconds = cost.interval_ms as f64 / 1e3;
        let a_second = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        self.proxies += 1;
        self.interval_ms = self.interval_ms.max(cost.interval_ms);
        self.cpu += a_second(cost.cpu_us as f64 / 1e6);
        self.cpu_us += cost.cpu_us;
        self.resident_bytes += cost.resident_bytes;
        self.inbound += cost.inbound;
        self.outbound += cost.outbound;
        self.rps += a_second((cost.inbound + cost.outbound) as f64);
        for (sum, own) in
            [(&mut self.inbound_own, &cost.inbound_own), (&mut self.outbound_own, &cost.outbound_own)]
        {
            sum.merge(&own.as_ref().map(Histogram::from_wire).unwrap_or_default());
        }
    }

    /// With what the proxy does besides carrying requests; `None` without requests.
    pub fn cpu_us_per_request(&self) -> Option<f64> {
        let requests = self.inbound + self.outbound;
        (requests > 0).then(|| self.cpu_us as f64 / requests as f64)
    }

    /// The time that a hop spends in a proxy, of both directions; `None`: none was measured.
    pub fn own_ms(&self, quantile: f64) -> Option<f64> {
        let mut both = self.inbound_own.clone();
        both.merge(&self.outbound_own);
        (both.total() > 0).then(|| both.quantile(quantile) / 1e3)
    }

    fn order(&self, sort: Sort) -> f64 {
        match sort {
            Sort::Cpu => self.cpu,
            Sort::CpuPerRequest => self.cpu_us_per_request().unwrap_or(0.0),
            Sort::Memory => self.resident_bytes as f64,
            Sort::Latency => self.own_ms(0.99).unwrap_or(0.0),
            Sort::Requests => self.rps,
        }
    }
}

/// CPUs that a part of the control plane takes.
pub fn of_daemon(one: &DaemonCost) -> f64 {
    if one.interval_ms == 0 { 0.0 } else { one.cpu_us as f64 / one.interval_ms as f64 / 1e3 }
}

/// Adds up; the dearest first, names decide among equals.
pub fn costing(proxies: &[ProxyCost], by: By, sort: Sort) -> Costing {
    let mut sums: BTreeMap<(&str, &str), Sum> = BTreeMap::new();
    let mut all = Sum::default();
    for proxy in proxies {
        let (word, name) = match by {
            By::Owner => (&proxy.namespace, proxy.owner.as_str()),
            By::Workload => (&proxy.namespace, proxy.workload.as_str()),
            By::Namespace => (&proxy.namespace, ""),
        };
        let sum = sums.entry((word, name)).or_default();
        (sum.namespace, sum.name) = (word.clone(), name.to_owned());
        sum.add(proxy);
        all.add(proxy);
    }
    let mut rows: Vec<Sum> = sums.into_values().collect();
    rows.sort_by(|a, b| b.order(sort).total_cmp(&a.order(sort)));
    let by = match by {
        By::Owner => "deploy",
        By::Workload => "pod",
        By::Namespace => "ns",
    };
    Costing { by, rows, all }
}

#[cfg(test)]
mod tests {
    use mesh_proto::report::v1::Histogram as Wire;

    use super::*;

    fn proxy(namespace: &str, owner: &str, pod: u32, cpu_us: u64) -> ProxyCost {
        let own = Wire { indices: vec![56, 64], counts: vec![99, 1] };
        ProxyCost {
            namespace: namespace.into(),
            workload: format!("{owner}-{pod}"),
            owner: owner.into(),
            interval_ms: 10_000,
            cpu_us,
            resident_bytes: 8 << 20,
            inbound: 900,
            outbound: 100,
            inbound_own: Some(own),
            ..ProxyCost::default()
        }
    }

    #[test]
    fn proxies_are_added_up_and_the_dearest_comes_first() {
        let proxies = [
            proxy("shop", "cart", 0, 100_000),
            proxy("shop", "cart", 1, 200_000),
            proxy("shop", "web", 0, 400_000),
            ProxyCost { resident_bytes: 64 << 20, ..proxy("pay", "bank", 0, 0) },
        ];
        let names =
            |by, sort| costing(&proxies, by, sort).rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
        assert_eq!(names(By::Owner, Sort::Cpu), ["web", "cart", "bank"]);
        assert_eq!(names(By::Owner, Sort::Memory), ["bank", "cart", "web"]);
        assert_eq!(names(By::Workload, Sort::CpuPerRequest), ["web-0", "cart-1", "cart-0", "bank-0"]);
        let costing = costing(&proxies, By::Namespace, Sort::Cpu);
        let shop = &costing.rows[0];
        assert_eq!((shop.namespace.as_str(), shop.proxies, shop.inbound), ("shop", 3, 2_700));
        assert!((shop.cpu - 0.07).abs() < 1e-9 && (shop.rps - 300.0).abs() < 1e-9, "{shop:?}");
        assert_eq!(shop.cpu_us_per_request().map(f64::round), Some(233.0));
        assert_eq!(costing.all.proxies, 4);
        // 2^(57/8) microseconds.
        assert!((shop.own_ms(0.5).unwrap() - 0.13).abs() < 0.01, "{:?}", shop.own_ms(0.5));
    }

    #[test]
    fn nothing_is_no_number() {
        let sum = costing(&[], By::Owner, Sort::Latency).all;
        assert_eq!((sum.cpu_us_per_request(), sum.own_ms(0.99)), (None, None));
        assert!(of_daemon(&DaemonCost::default()).abs() < f64::EPSILON);
    }
}
