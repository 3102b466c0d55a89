//! Embeds the chart and the definitions of Gateway API: every file below `deploy/chart` and `deploy/gateway-api`, by its
//! path there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut source = String::new();
    list("FILES", &manifest.join("../../deploy/chart"), &mut source)?;
    list("GATEWAY_API", &manifest.join("../../deploy/gateway-api"), &mut source)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("files.rs"), source)
}

/// Writes a constant that holds every file below a folder.
fn list(name: &str, folder: &Path, source: &mut String) -> io::Result<()> {
    let mut files = Vec::new();
    collect(&folder.canonicalize()?, "", &mut files)?;
    files.sort();
    writeln!(source, "pub(super) const {name}: &[(&str, &str)] = &[").map_err(io::Error::other)?;
    for (name, path) in &files {
        let path = path.canonicalize()?;
        writeln!(source, "    ({name:?}, include_str!({:?})),", path.display().to_string())
            .map_err(io::Error::other)?;
    }
    source.push_str("];\n");
    Ok(())
}

/// Links are followed: the CRDs and dashboards of the chart are those that stand beside it.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push((name, path));
        }
    }
    Ok(())
}
