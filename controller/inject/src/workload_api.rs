//! The SPIFFE Workload API in the containers of the application: the volume with the socket, and the variable that says where. It must
//! not know the rest of the patch.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::json;

use crate::containers::{
    self, WORKLOAD_API_VARIABLE, WORKLOAD_API_VOLUME, workload_api_env, workload_api_mount,
};
use crate::editor::{Editor, Step};
use crate::settings::Sidecar;

/// The list that a container is in, and its place there.
pub(crate) type Place = (&'static str, usize);

/// Gives both to a container that has not got them. A variable of its own stays: it says where else.
pub(crate) fn give(
    editor: &mut Editor,
    spec: &PodSpec,
    (list, index): Place,
    container: &Container,
    sidecar: &Sidecar,
) {
    // A sidecar that is there already serves what it was told then: the volume of that time says.
    let served = match containers::existing(spec) {
        Some(_) => spec.volumes.iter().flatten().any(|volume| volume.name == WORKLOAD_API_VOLUME),
        None => sidecar.workload_api,
    };
    if !served || has_mount(container) {
        return;
    }
    let [a, b, c]: [Step<'_>; 3] = ["spec".into(), list.into(), index.into()];
    editor.push(&[a, b, c, "volumeMounts".into()], json!(workload_api_mount()));
    if !container.env.iter().flatten().any(|one| one.name == WORKLOAD_API_VARIABLE) {
        editor.push(&[a, b, c, "env".into()], json!(workload_api_env()));
    }
}

/// Takes both away again.
pub(crate) fn take(editor: &mut Editor, spec: &PodSpec) {
    let all = [
        ("containers", &spec.containers[..]),
        ("initContainers", spec.init_containers.as_deref().unwrap_or_default()),
    ];
    for (list, containers) in all {
        for (index, container) in containers.iter().enumerate().filter(|(_, container)| has_mount(container))
        {
            let [a, b, c]: [Step<'_>; 3] = ["spec".into(), list.into(), index.into()];
            let mount =
                container.volume_mounts.iter().flatten().position(|one| one.name == WORKLOAD_API_VOLUME);
            let env = container.env.iter().flatten().position(|one| *one == workload_api_env());
            for (field, place) in [("volumeMounts", mount), ("env", env)] {
                if let Some(place) = place {
                    editor.remove(&[a, b, c, field.into(), place.into()]);
                    editor.remove_empty(&[a, b, c, field.into()]);
                }
            }
        }
    }
}

fn has_mount(container: &Container) -> bool {
    container.volume_mounts.iter().flatten().any(|mount| mount.name == WORKLOAD_API_VOLUME)
}
