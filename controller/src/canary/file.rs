//! States of releases in a file, for a controller without a cluster. It must not know what a state means.

use std::path::Path;

use mesh_release::state::State;
use serde::{Deserialize, Serialize};

use super::States;
use crate::api::{Kind, ObjectKey};

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    namespace: String,
    name: String,
    state: State,
}

/// What was written. Nothing if there is no file; one that cannot be read is told, and routes keep their own weights until a release begins.
pub(super) fn read(file: &Path) -> States {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return States::new(),
        Err(error) => {
            tracing::error!("the states of releases in {} cannot be read: {error}", file.display());
            return States::new();
        }
    };
    match serde_json::from_slice::<Vec<Line>>(&bytes) {
        Ok(lines) => {
            let state = |line: Line| (ObjectKey::new(Kind::Canary, &line.namespace, &line.name), line.state);
            lines.into_iter().map(state).collect()
        }
        Err(error) => {
            tracing::error!("the states of releases in {} make no sense: {error}", file.display());
            States::new()
        }
    }
}

/// Writes all in one step: a reader sees what was before or what is now.
pub(super) async fn write(file: &Path, states: &States) -> Result<(), String> {
    let lines: Vec<Line> = states
        .iter()
        .map(|(key, state)| Line {
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            state: state.clone(),
        })
        .collect();
    let failed = |error: &dyn std::fmt::Display| {
        format!("the states of releases cannot be written to {}: {error}", file.display())
    };
    let text = serde_json::to_vec_pretty(&lines).map_err(|error| failed(&error))?;
    let beside = file.with_extension("new");
    tokio::fs::write(&beside, text).await.map_err(|error| failed(&error))?;
    tokio::fs::rename(&beside, file).await.map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_and_what_is_not_there_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("releases.json");
        assert_eq!(read(&file), States::new());
        let key = ObjectKey::new(Kind::Canary, "shop", "cart");
        let states = States::from([(key, State::of("v2", Vec::new()))]);
        write(&file, &states).await.unwrap();
        assert_eq!(read(&file), states);
        std::fs::write(&file, "{").unwrap();
        assert_eq!(read(&file), States::new());
    }
}
