//! The steps of an installation: definitions until they are established, then objects, then what is left of an older one.

use std::time::Duration;

use anyhow::bail;
use mesh_chart::Document;
use mesh_operate::install::{Gateway, Inventory, Plan};
use mesh_operate::object::ObjectRef;
use serde_json::Value;
use tokio::time::Instant;

use super::{VERSION, gateway_words, plugin};
use crate::cluster::{Api, Applied, Dry};
use crate::output;

const PACE: Duration = Duration::from_millis(200);
const ESTABLISHED: Duration = Duration::from_mins(1);

/// Where to act.
pub(crate) struct Steps<'a> {
    pub(crate) api: &'a Api,
    pub(crate) namespace: &'a str,
    pub(crate) dry: Dry,
}

impl Steps<'_> {
    /// Applies definitions and waits until the API server serves their kinds.
    pub(crate) async fn definitions(&self, plan: &Plan, gateway: &Gateway) -> anyhow::Result<()> {
        output::line(&gateway_words(gateway));
        let foreign = match gateway {
            Gateway::Apply => mesh_chart::gateway_api()?,
            Gateway::Keep { .. } => Vec::new(),
        };
        let crds: Vec<&Document> = foreign.iter().chain(&plan.crds).collect();
        for crd in &crds {
            self.apply(&crd.object).await?;
        }
        if self.dry == Dry::No {
            for crd in crds {
                self.established(&crd.object).await?;
            }
        }
        Ok(())
    }

    async fn established(&self, crd: &Value) -> anyhow::Result<()> {
        let Some(name) = ObjectRef::of(crd) else { return Ok(()) };
        let deadline = Instant::now() + ESTABLISHED;
        loop {
            let current = self.api.get(&name).await?.unwrap_or_default();
            let conditions = current.pointer("/status/conditions").and_then(Value::as_array);
            let condition = |kind: &str, status: &str| {
                conditions.into_iter().flatten().find(|condition| {
                    condition.get("type").and_then(Value::as_str) == Some(kind)
                        && condition.get("status").and_then(Value::as_str) == Some(status)
                })
            };
            if condition("Established", "True").is_some() {
                return Ok(());
            }
            if let Some(refused) = condition("NamesAccepted", "False") {
                let message = refused.get("message").and_then(Value::as_str).unwrap_or_default();
                bail!("{name}: another definition has its names: {message}");
            }
            if Instant::now() > deadline {
                bail!("{name} was not established within {} s", ESTABLISHED.as_secs());
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Applies everything else. What it is about to make is remembered first, so that an installation that was
    /// interrupted can be taken away.
    pub(crate) async fn objects(
        &self,
        plan: &Plan,
        before: Option<&Inventory>,
        gateway: &Gateway,
    ) -> anyhow::Result<()> {
        let leftovers = before.map(|before| before.leftovers(&plan.refs())).unwrap_or_default();
        let brought = *gateway == Gateway::Apply || before.is_some_and(|before| before.brought_gateway_api);
        let inventory = plan.inventory(VERSION, brought);
        if let Some(namespace) = &plan.namespace {
            self.apply(&namespace.object).await?;
        }
        let mut both = inventory.clone();
        both.objects.extend(leftovers.iter().cloned());
        self.remember(&both).await?;
        for document in &plan.objects {
            self.apply(&document.object).await?;
        }
        for object in removal(&leftovers) {
            if self.dry == Dry::No && object.kind == "DaemonSet" {
                plugin::dismiss(self.api, object).await?;
            }
            if self.dry == Dry::Yes || self.api.delete(object).await? {
                tell(object, "removed");
            }
        }
        if !leftovers.is_empty() {
            self.remember(&inventory).await?;
        }
        Ok(())
    }

    async fn remember(&self, inventory: &Inventory) -> anyhow::Result<()> {
        self.api.apply(&inventory.object(self.namespace), self.dry).await?;
        Ok(())
    }

    async fn apply(&self, object: &Value) -> anyhow::Result<()> {
        let applied = self.api.apply(object, self.dry).await?;
        if let (Some(name), Applied::Created | Applied::Configured) = (ObjectRef::of(object), applied) {
            tell(&name, applied.word());
        }
        Ok(())
    }
}

/// Namespaces go last: with them goes what is in them.
fn removal(leftovers: &[ObjectRef]) -> impl Iterator<Item = &ObjectRef> {
    let (namespaces, others): (Vec<_>, Vec<_>) =
        leftovers.iter().partition(|object| object.kind == "Namespace");
    others.into_iter().chain(namespaces)
}

fn tell(object: &ObjectRef, word: &str) {
    output::line(&format!("  {object} {word}"));
}
