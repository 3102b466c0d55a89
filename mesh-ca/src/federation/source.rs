//! Where `FederatedTrustDomain`s are declared: in a folder of YAML, or in the cluster. It must not know what they mean.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_model::spiffe::TrustDomain;
use serde_json::Value;

use super::declared::{self, Declared, Object};
use crate::kubernetes::FederatedObjects;

const KIND: &str = "FederatedTrustDomain";
/// Bytes of one file; a larger one is none of ours.
const MAX_FILE: u64 = 1024 * 1024;
/// Files of one folder.
const MAX_FILES: usize = 1000;

/// Where to look.
pub(crate) enum Source {
    /// Nowhere: nobody is federated with.
    Nowhere,
    /// The controller's folder, every `.yaml` and `.yml` in it and below.
    Folder(PathBuf),
    Cluster(Box<FederatedObjects>),
}

impl Source {
    /// What is declared now, and what is wrong with the rest. An error: nothing could be read, and what was known stays.
    pub(crate) async fn read(&self, ours: &TrustDomain) -> Result<(Vec<Declared>, Vec<String>), String> {
        let objects = match self {
            Self::Nowhere => Vec::new(),
            Self::Folder(folder) => folder_objects(folder)?,
            Self::Cluster(objects) => objects.list().await.map_err(|error| error.to_string())?,
        };
        let (mut all, mut wrong) = (Vec::<Declared>::new(), Vec::new());
        for object in objects {
            let parsed = serde_json::from_value::<Object>(object).map_err(|error| format!("{KIND}: {error}"));
            match parsed.and_then(|object| declared::read(object, ours)) {
                // By name, so that it does not depend on the order of files.
                Ok(one) => all.push(one),
                Err(why) => wrong.push(why),
            }
        }
        // By name, so that it does not depend on the order of files which of two counts.
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let mut once: Vec<Declared> = Vec::new();
        for one in all {
            match once.iter().find(|other| other.trust_domain == one.trust_domain) {
                None => once.push(one),
                Some(first) => wrong.push(format!(
                    "{KIND} {}: trust domain `{}` is declared by {} already",
                    one.name, one.trust_domain, first.name
                )),
            }
        }
        Ok((once, wrong))
    }
}

fn folder_objects(folder: &Path) -> Result<Vec<Value>, String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let failed = |error: std::io::Error| format!("cannot read `{}`: {error}", file.display());
        if fs::metadata(&file).map_err(failed)?.len() > MAX_FILE {
            continue;
        }
        let text = fs::read_to_string(&file).map_err(failed)?;
        // Other kinds are the controller's to read, and so is what is wrong with them.
        for document in documents(&text).filter(|document| document.contains(KIND)) {
            let value: Value = serde_saphyr::from_str(&document)
                .map_err(|error| format!("`{}` is not YAML: {}", file.display(), error.without_snippet()))?;
            if value.get("kind").and_then(Value::as_str) == Some(KIND) {
                objects.push(value);
            }
        }
    }
    Ok(objects)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot read `{}`: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, hidden) = (entry.path(), entry.file_name().to_string_lossy().starts_with('.'));
        if hidden || files.len() >= MAX_FILES {
            continue;
        }
        let yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if entry.file_type().map_err(failed)?.is_dir() {
            collect(&path, files)?;
        } else if yaml {
            files.push(path);
        }
    }
    Ok(())
}

/// The documents of a file, split at their markers.
fn documents(text: &str) -> impl Iterator<Item = String> {
    let mut documents = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
        }
    }
    documents.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, domain: &str) -> String {
        format!(
            "apiVersion: amime.io/v1alpha1\nkind: FederatedTrustDomain\nmetadata: {{ name: {name} }}\nspec:\n  trustDomain: {domain}\n  \
            bundleEndpoint: {{ url: 'https://x/', profile: HttpsWeb }}\n"
        )
    }

    #[tokio::test]
    async fn objects_are_found_among_others_and_one_trust_domain_is_declared_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let other = "kind: Service\nspec: { broken: [\n";
        write(
            "a.yaml",
            &format!("{}---\n{other}---\n{}", object("bank", "bank.test"), object("wrong", "OH")),
        );
        fs::create_dir(folder.path().join("below")).unwrap();
        write("below/b.yml", &object("another-bank", "bank.test"));
        write("c.txt", &object("no-yaml", "c.test"));
        write(".hidden.yaml", &object("hidden", "d.test"));
        let ours = TrustDomain::new("here.test").unwrap();
        let (all, wrong) = Source::Folder(folder.path().to_owned()).read(&ours).await.unwrap();
        let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["another-bank"]);
        assert!(
            wrong
                .iter()
                .any(|why| why.contains("bank: trust domain `bank.test` is declared by another-bank")),
            "{wrong:?}"
        );
        assert!(wrong.iter().any(|why| why.contains("wrong: spec.trustDomain")), "{wrong:?}");
        let gone = Source::Folder(folder.path().join("gone")).read(&ours).await;
        assert!(gone.unwrap_err().contains("cannot read"));
    }
}
