//! What has changed since it was last asked for: single objects where it is known whom they concern, and everything else as one.
//! It must not know what follows from a change (`compile`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_model::name::{ServiceName, WorkloadName};

use crate::api::{Kind, ObjectKey};

/// What has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirty {
    /// EndpointSlices.
    pub slices: BTreeSet<ObjectKey>,
    /// Services whose slices are others, or name others, or name a pod that is different.
    pub services: BTreeSet<ServiceName>,
    /// Pods, with the addresses that each had or has.
    pub pods: BTreeMap<WorkloadName, BTreeSet<IpAddr>>,
    /// Kinds of rules (routes, policies, releases) of which an object has changed.
    pub rules: BTreeSet<Kind>,
    /// Whether something else has changed.
    pub others: Others,
}

/// Whether something has changed of which it is not followed whom it concerns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Others {
    /// It has.
    Changed,
    /// It has not.
    #[default]
    Same,
}
