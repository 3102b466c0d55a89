//! How old what proxies use is, as metrics of the controller: a line for each matter, whatever number of proxies there is; each proxy
//! tells its own age itself. It must not know streams.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mesh_model::matter::Matter;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::serve::registry::Stale;

/// Writes all of them.
pub(super) fn write(
    encoder: &mut DescriptorEncoder<'_>,
    stale: &BTreeMap<Matter, Stale>,
    lost: &[(Matter, Duration)],
) -> fmt::Result {
    let help = "For how long some connected proxy has lacked what it is to use, or the source could not be followed, else 0";
    let mut family = encoder.encode_descriptor(
        "mesh_controller_config_staleness_seconds",
        help,
        None,
        MetricType::Gauge,
    )?;
    for (matter, stale) in stale {
        let source = lost.iter().find(|(of, _)| of == matter).map_or(Duration::ZERO, |(_, age)| *age);
        let seconds = stale.oldest.max(source).as_secs_f64();
        ConstGauge::new(seconds).encode(family.encode_family(&[("kind", matter.word())])?)?;
    }
    let help = "Connected proxies that lack something of what they are to use";
    let mut family =
        encoder.encode_descriptor("mesh_controller_config_lacking_proxies", help, None, MetricType::Gauge)?;
    for (matter, stale) in stale {
        let count = i64::try_from(stale.proxies).unwrap_or(i64::MAX);
        ConstGauge::new(count).encode(family.encode_family(&[("kind", matter.word())])?)?;
    }
    Ok(())
}
