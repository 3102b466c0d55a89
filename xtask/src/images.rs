//! `cargo xtask images`: builds our programs so that they need nothing beside them, and lets `mesh-cluster` write an image of each and
//! load them into a cluster. No container engine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cli::ImagesArgs;
use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::{cluster, screen};

/// Two cores build everything in less.
const BUILD: Duration = Duration::from_mins(40);
const LIMIT: Duration = Duration::from_mins(10);

/// An image with a program of ours: the package, which names the program too, and what the image is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Image {
    package: &'static str,
    called: Called,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Called {
    /// `HUB/PACKAGE:TAG`
    Published,
    /// A name that only a test cluster knows.
    Local(&'static str),
}

const IMAGES: &[Image] = &[
    Image { package: "mesh-proxy", called: Called::Published },
    Image { package: "mesh-controller", called: Called::Published },
    Image { package: "mesh-ca", called: Called::Published },
    Image { package: "mesh-cni", called: Called::Published },
    Image { package: "mesh-peer", called: Called::Local("lab.local/peer:1") },
];

/// Builds, packs, and loads if that is asked for.
pub(crate) fn run(workspace: &Workspace, args: &ImagesArgs) -> Result<bool> {
    let archives = make(workspace, args)?;
    for (name, archive) in &archives {
        screen::line(&format!("{name} {}", archive.display()));
    }
    if args.load {
        Program::new(cluster::build(workspace)?, LIMIT)
            .arg("--cache")
            .arg(&workspace.cache)
            .args(["load", "--name", &args.name])
            .args(archives.into_iter().map(|(_, archive)| archive))
            .run()?;
    }
    Ok(true)
}

/// Builds and packs; gives the images' names and archives.
pub(crate) fn make(workspace: &Workspace, args: &ImagesArgs) -> Result<Vec<(String, PathBuf)>> {
    let images = chosen(&args.only, args.tests)?;
    let programs = build(workspace, &images, &args.profile)?;
    let out = match &args.out {
        Some(out) => std::path::absolute(out).context("find the folder for images")?,
        None => workspace.target.join("images").join("archives"),
    };
    let tag = args.tag.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"));
    let named = |image: &Image| (name(*image, &args.hub, tag), image.package);
    let named: Vec<(String, &str)> = images.iter().map(named).collect();
    Program::new(cluster::build(workspace)?, LIMIT)
        .args(["pack", "--version", tag, "--out"])
        .arg(&out)
        .args(named.iter().map(|(name, package)| format!("{name}={}", programs.join(package).display())))
        .output()?;
    Ok(named.into_iter().map(|(name, package)| (name, out.join(format!("{package}.tar")))).collect())
}

/// All that are published, those of tests too if wanted, or what is named.
fn chosen(only: &[String], tests: bool) -> Result<Vec<Image>> {
    if let Some(unknown) = only.iter().find(|name| !IMAGES.iter().any(|image| image.package == **name)) {
        let known = IMAGES.iter().map(|image| image.package).collect::<Vec<_>>().join(", ");
        bail!("there is no image `{unknown}`; there are {known}");
    }
    let is_wanted = |image: &&Image| {
        if only.is_empty() {
            tests || image.called == Called::Published
        } else {
            only.iter().any(|name| name == image.package)
        }
    };
    Ok(IMAGES.iter().filter(is_wanted).copied().collect())
}

fn name(image: Image, hub: &str, tag: &str) -> String {
    match image.called {
        Called::Published => format!("{}/{}:{tag}", hub.trim_end_matches('/'), image.package),
        Called::Local(name) => name.to_owned(),
    }
}

/// The folder with the built programs. With a target named, the flag reaches what runs in the image and no build script; with a folder
/// of its own, nothing else is built again.
fn build(workspace: &Workspace, images: &[Image], profile: &str) -> Result<PathBuf> {
    let target = host()?;
    let folder = workspace.target.join("images");
    screen::line(&format!("   building {} static programs ({profile})", images.len()));
    images
        .iter()
        .fold(
            Program::new(cargo(), BUILD).args([
                "build",
                "--locked",
                "--bins",
                "--profile",
                profile,
                "--target",
                &target,
            ]),
            |program, image| program.args(["--package", image.package]),
        )
        .dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &folder)
        .env("CARGO_INCREMENTAL", "0")
        .env(&flags_variable(&target), "-C target-feature=+crt-static")
        .run()
        .context("build the programs of the images")?;
    Ok(folder.join(&target).join(profile))
}

fn host() -> Result<String> {
    let printed = Program::new("rustc", Duration::from_mins(1)).arg("-vV").output()?;
    let line = printed.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("`rustc -vV` names no host")
}

/// `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS`
fn flags_variable(target: &str) -> String {
    format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str], tests: bool) -> Vec<&'static str> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        chosen(&only, tests).unwrap().iter().map(|image| image.package).collect()
    }

    #[test]
    fn images_of_tests_are_made_when_they_are_asked_for() {
        assert!(!names(&[], false).contains(&"mesh-peer"));
        assert!(names(&[], true).contains(&"mesh-peer"));
        assert_eq!(names(&["mesh-peer"], false), ["mesh-peer"]);
        assert!(chosen(&["x".to_owned()], false).is_err());
    }

    #[test]
    fn names_are_those_that_install_asks_for() {
        assert_eq!(name(IMAGES[0], "ghcr.io/a/", "1"), "ghcr.io/a/mesh-proxy:1");
        assert_eq!(
            flags_variable("x86_64-unknown-linux-gnu"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS"
        );
    }
}
