//! What meshctl remembers in the cluster of what it installed: version, values as given, names of objects. From it, what a
//! newer version no longer has is taken away, and `uninstall` knows what there is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::object::ObjectRef;

use super::MANAGER;

/// The ConfigMap's name.
pub const NAME: &str = "amime-install";

/// An installation, as remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// The version of the chart.
    pub version: String,
    /// Values that differ from the defaults.
    pub given: Value,
    /// Everything but definitions.
    pub objects: Vec<ObjectRef>,
    /// Whether the definitions of Gateway API came with it.
    pub brought_gateway_api: bool,
}

/// Why a ConfigMap is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ConfigMap {NAME}, which says what meshctl installed, is not understood: {0}")]
pub struct InventoryError(String);

impl Inventory {
    /// The ConfigMap.
    pub fn object(&self, namespace: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "namespace": namespace,
                "labels": { "app.kubernetes.io/part-of": "amime", "app.kubernetes.io/managed-by": MANAGER },
            },
            "data": {
                "version": self.version,
                "values": self.given.to_string(),
                "objects": json!(self.objects).to_string(),
                "gatewayApi": if self.brought_gateway_api { "brought" } else { "found" },
            },
        })
    }

    /// Reads the ConfigMap.
    pub fn read(object: &Value) -> Result<Self, InventoryError> {
        let text = |key: &str| {
            let text = object.pointer(&format!("/data/{key}")).and_then(Value::as_str);
            text.ok_or_else(|| InventoryError(format!("it has no `{key}`")))
        };
        let fault = |error: serde_json::Error| InventoryError(error.to_string());
        Ok(Self {
            version: text("version")?.to_owned(),
            given: serde_json::from_str(text("values")?).map_err(fault)?,
            objects: serde_json::from_str(text("objects")?).map_err(fault)?,
            brought_gateway_api: text("gatewayApi").is_ok_and(|said| said == "brought"),
        })
    }

    /// What was installed and is no more wanted.
    pub fn leftovers(&self, wanted: &[ObjectRef]) -> Vec<ObjectRef> {
        let key = |object: &ObjectRef| (object.kind.clone(), object.namespace.clone(), object.name.clone());
        let wanted: BTreeSet<_> = wanted.iter().map(key).collect();
        self.objects.iter().filter(|object| !wanted.contains(&key(object))).cloned().collect()
    }
}
