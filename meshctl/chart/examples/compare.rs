//! Holds this engine against Helm's: `compare HELM_RENDER CHART SAMPLES` renders the chart for every file of values in a
//! folder with both and compares the objects. `cargo xtask helm` builds the other side and calls this.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mesh_chart::{Chart, Release, values};
use serde_json::Value;

type Texts = std::collections::BTreeMap<String, String>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [helm, chart, samples] = arguments.as_slice() else {
        return Err("usage: compare HELM_RENDER CHART SAMPLES".into());
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(samples)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let sets: Vec<Value> = files.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
    let theirs = helm_renders(helm, chart, &sets)?;
    let mut objects = 0;
    for ((file, set), theirs) in files.iter().zip(sets).zip(theirs) {
        objects += compare(set, &theirs).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if files.is_empty() || objects == 0 {
        return Err("nothing was compared".into());
    }
    writeln!(std::io::stdout(), "{objects} objects of {} sets of values are the same", files.len())?;
    Ok(())
}

fn read(file: &Path) -> Result<Value, Box<dyn Error>> {
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(file)?)?)
}

fn helm_renders(helm: &Path, chart: &Path, sets: &[Value]) -> Result<Vec<Texts>, Box<dyn Error>> {
    let mut child = Command::new(helm).arg(chart).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(serde_json::to_string(sets)?.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err("Helm's engine failed".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// How many objects were the same; an error says which was not.
fn compare(set: Value, theirs: &Texts) -> Result<usize, Box<dyn Error>> {
    let chart = Chart::embedded();
    let mut complete = chart.defaults()?;
    values::merge(&mut complete, set);
    let text = ToOwned::to_owned;
    let release = Release { name: text("amime"), namespace: text("amime-system"), service: text("Helm") };
    let mut count = 0;
    let ours = chart.texts(&complete, &release)?;
    for (name, text) in &ours {
        let their_text = theirs.get(&format!("amime/{name}")).ok_or_else(|| format!("Helm has no {name}"))?;
        let (ours, theirs) = (documents(text)?, documents(their_text)?);
        if ours != theirs {
            let pairs = ours.iter().zip(&theirs).flat_map(|(a, b)| values::diff(b, a));
            let shown: Vec<String> = pairs.map(|change| format!("{change:?}")).collect();
            return Err(format!("{name} differs from Helm's: {}", shown.join("\n")).into());
        }
        count += ours.len();
    }
    Ok(count)
}

fn documents(text: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut documents = Vec::new();
    for part in text.split("\n---") {
        let value: Option<Value> = serde_saphyr::from_str(part.trim_start_matches('-'))?;
        documents.extend(value.filter(|value| !value.is_null()));
    }
    Ok(documents)
}
