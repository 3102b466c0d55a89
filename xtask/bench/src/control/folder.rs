//! Objects in a folder of YAML: a file for what stays of each namespace, one for each service, one for each change. JSON is YAML.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::authority::TRUST_DOMAIN;

use super::objects::{self, Placed, Size};
use super::source::write_whole;

/// Most files that the controller reads.
const FILES: usize = 10_000;

/// The folder.
#[derive(Debug)]
pub(super) struct FolderSource {
    root: PathBuf,
}

impl FolderSource {
    pub(super) fn create(root: &Path, size: Size) -> Result<Self> {
        if size.pods {
            bail!("pods are objects of a cluster; `--source folder` goes without `--pods`");
        }
        std::fs::create_dir_all(root).context("make the folder of objects")?;
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut add = |file: String, placed: &Placed| {
            let text = files.entry(file).or_default();
            // Writing to a text never fails.
            let _ = writeln!(text, "---\n{}", placed.object);
        };
        add("mesh".to_owned(), &objects::settings(TRUST_DOMAIN));
        for placed in objects::namespaces() {
            add(placed.name.clone(), &placed);
        }
        for service in 0..size.services {
            // One by one they are edited; of very many services only the first are.
            let own = service < FILES / 4;
            let name = objects::service_name(service);
            add(if own { name } else { objects::namespace(service) }, &objects::service(service, "none"));
            add(objects::namespace(service), &objects::slice(size, service, None));
            if let Some(route) = objects::route(service, 10) {
                add(objects::namespace(service), &route);
            }
        }
        for stream in 0..size.streams {
            let workload = objects::workload(stream);
            add(format!("{}-workloads", objects::namespace(stream)), &workload);
        }
        for (name, text) in files {
            let path = root.join(format!("{name}.yaml"));
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(Self { root: root.to_path_buf() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Puts one object into the file that has its name.
    pub(super) fn put(&self, placed: &Placed) -> Result<()> {
        let path = self.root.join(format!("{}.yaml", placed.name));
        write_whole(&path, &placed.object.to_string()).with_context(|| format!("write {}", path.display()))
    }
}
