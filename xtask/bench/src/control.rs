//! `cargo xtask bench control`: the control plane under thousands of proxies. Objects go into a folder or into a real API server,
//! a controller follows them as users run it, and simulated proxies hold streams over mTLS; each phase is measured by what the controller
//! used and by when proxies knew. [`objects`] says what there is, [`plane`] starts the parts, [`proxy`] is one stream, [`crowd`] all of
//! them, [`phases`] what is done, [`report`] what it is held against.

mod cluster;
mod crowd;
mod figures;
mod folder;
mod objects;
mod phases;
mod plane;
mod proxy;
mod report;
mod source;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::cli::{ControlArgs, Output};
use crate::machine::Cores;
use crate::process::Starter;
use crate::screen;

pub(crate) use self::objects::Size;
pub(crate) use self::phases::Pace;

use self::plane::Plane;
use self::source::Source;

/// Measures and prints.
pub(crate) async fn run(args: &ControlArgs, cores: Cores) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("mesh-control").tempdir().context("make a folder")?;
    let starter = Starter { cores, folder: folder.path().to_path_buf() };
    let size = args.size();
    screen::line(&format!("objects: {size}"));
    let source = Source::open(args, &starter, size).await?;
    let plane = Plane::start(&starter, args, &source, size).await?;
    let figures = Box::pin(phases::all(plane, &source, size, args.pace())).await?;
    let judged = report::judge(&figures, size);
    screen::line(&report::table(&judged));
    if args.output == Output::Json {
        let facts = json!({ "source": source.name(), "objects": size.json(), "quick": args.quick });
        screen::line(&report::json(&judged, &facts).to_string());
    }
    let unmet = report::storms_unmet(&judged);
    ensure!(!args.check || unmet.is_empty(), "goals for storms are not met: {}", unmet.join("; "));
    Ok(())
}
