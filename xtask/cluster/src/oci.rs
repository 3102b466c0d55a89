//! Writes container images: an OCI layout as one tar, which containerd and kind import. One layer, no base, and the same bytes for the same
//! content. It must not know whose images they are.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use serde_json::{Value, json};

use crate::tar::{self, Entry};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image to write.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    /// `REGISTRY/NAME:TAG`
    pub(crate) name: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) entrypoint: Vec<String>,
    /// `UID:GID`; root when empty.
    pub(crate) user: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Image {
    /// The archive's bytes.
    pub(crate) fn archive(self) -> Result<Vec<u8>> {
        let tag = self.name.rsplit_once(':').context("an image's name ends with `:TAG`")?.1.to_owned();
        let layer = tar::archive(self.entries)?;
        let config = bytes(&json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Env": [PATH],
                "Labels": self.labels,
                "User": self.user,
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        }));
        let manifest = bytes(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(CONFIG, &config),
            "layers": [described(LAYER, &layer)],
        }));
        let mut entry = described(MANIFEST, &manifest);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("platform".to_owned(), json!({"architecture": architecture(), "os": "linux"}));
            let names =
                json!({"io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": tag});
            entry.insert("annotations".to_owned(), names);
        }
        let index = bytes(&json!({"schemaVersion": 2, "manifests": [entry]}));
        let mut files = vec![
            Entry::folder("blobs", 0o755),
            Entry::folder("blobs/sha256", 0o755),
            Entry::file("index.json", 0o644, index),
            Entry::file("oci-layout", 0o644, bytes(&json!({"imageLayoutVersion": "1.0.0"}))),
        ];
        for blob in [layer, config, manifest] {
            files.push(Entry::file(digest(&blob).replace("sha256:", "blobs/sha256/"), 0o644, blob));
        }
        tar::archive(files)
    }
}

fn described(kind: &str, blob: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": digest(blob), "size": blob.len()})
}

/// `sha256:…`
fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", hex(blob))
}

/// The SHA-256 in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let sum = digest::digest(&digest::SHA256, bytes);
    sum.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `serde_json` sorts the keys of its maps, so the text is the same each time.
fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// As OCI calls the machine that we were compiled for.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            name: "example.com/a:1".to_owned(),
            entries: vec![Entry::file("a", 0o755, vec![1, 2, 3])],
            entrypoint: vec!["/a".to_owned()],
            user: "65532:65532".to_owned(),
            labels: BTreeMap::from([("org.opencontainers.image.title".to_owned(), "a".to_owned())]),
        }
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        assert_eq!(image().archive().unwrap(), image().archive().unwrap());
    }

    #[test]
    fn a_name_without_a_tag_is_refused() {
        assert!(Image { name: "example.com".to_owned(), ..image() }.archive().is_err());
    }

    #[test]
    fn a_digest_is_sha256() {
        assert_eq!(hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn what_the_index_points_to_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.tar");
        std::fs::write(&file, image().archive().unwrap()).unwrap();
        let done = std::process::Command::new("tar")
            .arg("-xf")
            .arg(&file)
            .arg("-C")
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(done.success());
        let read = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
        let blob = |described: &Value| {
            let name = described["digest"].as_str().unwrap().replace(':', "/");
            let bytes = read(&format!("blobs/{name}"));
            assert_eq!(described["size"], bytes.len());
            assert_eq!(described["digest"].as_str().unwrap(), digest(&bytes));
            bytes
        };
        let index: Value = serde_json::from_slice(&read("index.json")).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(entry["annotations"]["io.containerd.image.name"], "example.com/a:1");
        let manifest: Value = serde_json::from_slice(&blob(entry)).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        let layer = blob(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0].as_str().unwrap(), digest(&layer));
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"][0], "/a");
    }
}
