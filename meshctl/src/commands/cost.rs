//! `meshctl cost`: the CPU, memory and latency that the mesh itself adds, as its parts report them.

use mesh_controller::inspect::cost::{By, Costing, Sort, Sum, costing, of_daemon};
use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{CostRequest, CostResponse, DaemonCost};

use super::stat::say_unanswered;
use super::{Meant, Outcome, meant};
use crate::client::inspect::Inspect;
use crate::cluster::ClusterArgs;
use crate::local::probe;
use crate::output::table::{Align, Cell, Table};
use crate::output::units::{megabytes, millis, span};
use crate::output::{self, Format, Paint, Tone};

/// Arguments of `meshctl cost`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// What to tell apart: deploy, pod or ns
    #[arg(value_name = "KIND", value_enum, default_value_t)]
    by: Kind,
    /// Only this namespace
    #[arg(short, long, default_value = "", hide_default_value = true)]
    namespace: String,
    /// All namespaces, as without -n
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Seconds to look back
    #[arg(short = 't', long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    window: u32,
    /// What comes first
    #[arg(short, long, value_enum, default_value_t)]
    sort: Order,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const HELP: &str = "\
CPU is in thousandths of a CPU, of all threads of the sidecar. CPU/REQ has all that the
sidecar does, also what no request asked for. ADDED is the time of a request in a sidecar
until the head of the answer was there: finding the destination, making connections and the
sidecar's own work, without waiting for the other side, a turn, or a check. It is measured of
one of sixteen requests. A hop has two sidecars.";

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Kind {
    #[default]
    Deploy,
    Pod,
    Ns,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Order {
    #[default]
    Cpu,
    /// CPU of a request
    CpuPerRequest,
    Memory,
    Latency,
    Requests,
}

/// Asks once and prints.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let meant = meant(mesh, &args.cluster).await?;
    let inspect = match &meant {
        Meant::Here(state) => Inspect::connect(state, tasks).await?,
        Meant::Inside(inside) => Box::pin(Inspect::inside(inside, tasks)).await?,
    };
    let request =
        CostRequest { window_seconds: args.window, namespace: args.namespace.clone(), local_only: false };
    let mut answer = inspect.cost(request).await?;
    if let Meant::Here(state) = &meant {
        answer
            .control_plane
            .extend(probe::text(state.ca.metrics, "/metrics").await.and_then(|text| authority(&text)));
    }
    say_unanswered(&answer.unanswered);
    let costing = costing(&answer.proxies, args.by.of(), args.sort.of());
    match args.output {
        Format::Json => output::json(&json::cost(&answer, &costing))?,
        Format::Table => {
            if answer.proxies.is_empty() {
                output::note("no sidecar has told yet what it takes; each does every five seconds");
            } else {
                output::print(&table(&costing, args.by).render(Paint::stdout()));
            }
            output::print(&format!("\n{}", control_plane(&answer).render(Paint::stdout())));
        }
    }
    Ok(Outcome::Fine)
}

impl Kind {
    fn of(self) -> By {
        match self {
            Self::Deploy => By::Owner,
            Self::Pod => By::Workload,
            Self::Ns => By::Namespace,
        }
    }
}

impl Order {
    fn of(self) -> Sort {
        match self {
            Self::Cpu => Sort::Cpu,
            Self::CpuPerRequest => Sort::CpuPerRequest,
            Self::Memory => Sort::Memory,
            Self::Latency => Sort::Latency,
            Self::Requests => Sort::Requests,
        }
    }
}

/// What an authority's metrics say of it, since it began.
fn authority(metrics: &str) -> Option<DaemonCost> {
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse::<f64>().ok().filter(|value| *value >= 0.0)
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "neither negative nor large")]
    let whole = |value: f64| value as u64;
    Some(DaemonCost {
        name: "authority".to_owned(),
        instance: String::new(),
        interval_ms: whole(value("mesh_process_up_seconds")? * 1e3),
        cpu_us: whole(value("mesh_process_cpu_seconds_total")? * 1e6),
        resident_bytes: whole(value("mesh_process_resident_memory_bytes")?),
    })
}

fn table(costing: &Costing, by: Kind) -> Table {
    let mut columns = vec![("NAMESPACE", Align::Left)];
    if !matches!(by, Kind::Ns) {
        columns.push(("NAME", Align::Left));
    }
    columns.extend([
        ("SIDECARS", Align::Right),
        ("CPU", Align::Right),
        ("CPU/REQ", Align::Right),
        ("MEMORY", Align::Right),
        ("RPS", Align::Right),
        ("ADDED_P50", Align::Right),
        ("ADDED_P99", Align::Right),
    ]);
    let mut table = Table::new(&columns);
    let mut line = |sum: &Sum, namespace: Cell, name: Cell| {
        let mut cells = vec![namespace];
        if !matches!(by, Kind::Ns) {
            cells.push(name);
        }
        cells.extend(numbers(sum));
        table.row(cells);
    };
    for sum in &costing.rows {
        line(sum, sum.namespace.as_str().into(), sum.name.as_str().into());
    }
    if costing.rows.len() > 1 {
        line(&costing.all, Cell::toned("(all)", Tone::Faint), "".into());
    }
    table
}

fn numbers(sum: &Sum) -> [Cell; 7] {
    let or_dash = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "-".to_owned()));
    let measured = sum.interval_ms > 0;
    [
        sum.proxies.to_string().into(),
        or_dash(measured.then(|| cpu(sum.cpu))),
        or_dash(sum.cpu_us_per_request().map(|us| format!("{us:.0}us"))),
        megabytes(sum.resident_bytes / 1024).into(),
        or_dash(measured.then(|| format!("{:.1}", sum.rps))),
        or_dash(sum.own_ms(0.5).map(millis)),
        or_dash(sum.own_ms(0.99).map(millis)),
    ]
}

/// Thousandths of a CPU.
fn cpu(cpus: f64) -> String {
    format!("{:.1}m", cpus * 1e3)
}

fn control_plane(answer: &CostResponse) -> Table {
    let mut table = Table::new(&[
        ("CONTROL PLANE", Align::Left),
        ("POD", Align::Left),
        ("CPU", Align::Right),
        ("MEMORY", Align::Right),
        ("OVER", Align::Right),
    ]);
    for one in &answer.control_plane {
        let pod = if one.instance.is_empty() { "-" } else { one.instance.as_str() };
        table.row([
            one.name.as_str().into(),
            pod.into(),
            cpu(of_daemon(one)).into(),
            megabytes(one.resident_bytes / 1024).into(),
            span(one.interval_ms / 1000).into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use mesh_proto::inspect::v1::ProxyCost;
    use mesh_proto::report::v1::Histogram;

    use super::*;

    fn answer() -> CostResponse {
        let proxy = |name: &str, n: u64| ProxyCost {
            namespace: "shop".into(),
            workload: format!("{name}-{n}"),
            instance: format!("i{n}"),
            owner: name.into(),
            interval_ms: 60_000,
            cpu_us: 60_000 * n,
            resident_bytes: n * (8 << 20),
            inbound: 1_000 * n,
            outbound: 20,
            inbound_own: Some(Histogram { indices: vec![50, 80], counts: vec![98, 2] }),
            outbound_own: Some(Histogram { indices: vec![60], counts: vec![1] }),
        };
        let silent = ProxyCost {
            namespace: "shop".into(),
            workload: "idle-0".into(),
            owner: "idle".into(),
            resident_bytes: 7 << 20,
            ..ProxyCost::default()
        };
        let controller = DaemonCost {
            name: "controller".into(),
            instance: "mesh-controller-0".into(),
            interval_ms: 3_600_000,
            cpu_us: 7_200_000,
            resident_bytes: 30 << 20,
        };
        CostResponse {
            proxies: vec![proxy("cart", 1), proxy("cart", 2), proxy("web", 4), silent],
            control_plane: vec![controller],
            unanswered: Vec::new(),
        }
    }

    #[test]
    fn the_dearest_is_first_and_the_sum_last() {
        for (name, by) in [("deploy", Kind::Deploy), ("pod", Kind::Pod), ("ns", Kind::Ns)] {
            let costing = costing(&answer().proxies, by.of(), Sort::Cpu);
            insta::assert_snapshot!(format!("table_{name}"), table(&costing, by).render(Paint::Plain));
        }
        insta::assert_snapshot!("control_plane", control_plane(&answer()).render(Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        let answer = answer();
        insta::assert_json_snapshot!(json::cost(&answer, &costing(&answer.proxies, By::Owner, Sort::Memory)));
    }

    #[test]
    fn an_authority_is_told_by_its_metrics() {
        let metrics = "# TYPE mesh_process_up_seconds gauge\nmesh_process_up_seconds 10.5\n\
            mesh_process_cpu_seconds_total 0.25\nmesh_process_resident_memory_bytes 9000000\n# EOF\n";
        let told = authority(metrics).unwrap();
        assert_eq!((told.interval_ms, told.cpu_us, told.resident_bytes), (10_500, 250_000, 9_000_000));
        assert_eq!(authority("mesh_process_up_seconds 1\n"), None);
    }
}
