//! Where the objects are, and the changes that are made to them. A change is made when the source has acknowledged it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cli::{ControlArgs, From};
use crate::process::Starter;

use super::cluster::ClusterSource;
use super::folder::FolderSource;
use super::objects::{self, Size};

/// Where the objects are.
#[derive(Debug)]
pub(super) enum Source {
    Folder(FolderSource),
    Cluster(ClusterSource),
}

impl Source {
    /// With all objects in it.
    pub(super) async fn open(args: &ControlArgs, starter: &Starter, size: Size) -> Result<Self> {
        match args.source {
            From::Folder => FolderSource::create(&starter.folder.join("objects"), size).map(Self::Folder),
            From::Cluster => ClusterSource::create(args, size).await.map(Self::Cluster),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Cluster(_) => "cluster",
        }
    }

    /// The folder, where it is one.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder.root().to_path_buf()),
            Self::Cluster(_) => None,
        }
    }

    /// A service has one endpoint more, which says which change it was.
    pub(super) async fn mark(&self, size: Size, service: usize, number: u32) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.put(&objects::marker(service, number)),
            Self::Cluster(cluster) => cluster.put(&objects::slice(size, service, Some(number))).await,
        }
    }

    /// A label that nothing uses.
    pub(super) async fn label(&self, service: usize, label: &str) -> Result<()> {
        let object = objects::service(service, label);
        match self {
            Self::Folder(folder) => folder.put(&object),
            Self::Cluster(cluster) => cluster.patch_label(&object, label).await,
        }
    }
}

/// What is written, so that nobody reads half of it.
pub(super) fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let half = path.with_extension("tmp");
    std::fs::write(&half, text)?;
    std::fs::rename(half, path)
}
