//! What has changed since it was last asked for: single objects where it is known whom they concern, and everything else as one.
//! It must not know what follows from a change (`compile`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_model::name::{ServiceName, WorkloadName};

use crate::api::ObjectKey;

/// What has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirty {
    /// EndpointSlices.
    pub slices: BTreeSet<ObjectKey>,
    /// Services whose slices are others, or name others, or name a pod that is different.
    pub services: BTreeSet<ServiceName>,
    /// Pods, with the addresses that each had or has.
    pub pods: BTreeMap<WorkloadName, BTreeSet<IpAddr>>,
    /// Of what is compiled as a whole, what an object has changed of.
    pub stages: BTreeSet<Stage>,
    /// Whether something else has changed.
    pub others: Others,
}

/// What follows from all objects of some kinds and from no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Routes, policies of traffic, releases.
    Rules,
    /// Who may call whom.
    Authorization,
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
