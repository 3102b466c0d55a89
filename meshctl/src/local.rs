//! A mesh on this machine: where its files are, which addresses it has, the processes it consists of, and who keeps
//! them running. It must not know what runs in the mesh (`shop`) nor what users ask about it (`client`).
//!
//! A mesh has a folder of its own below `$MESH_HOME` and a /24 of loopback addresses of its own; every member has one
//! address of it, as a pod has its IP, with the same ports on each.

pub(crate) mod composition;
pub(crate) mod control;
pub(crate) mod control_plane;
pub(crate) mod descendants;
pub(crate) mod exec;
pub(crate) mod keeper;
pub(crate) mod lock;
pub(crate) mod member;
pub(crate) mod memory;
pub(crate) mod network;
pub(crate) mod objects;
pub(crate) mod openness;
pub(crate) mod orphan;
pub(crate) mod paths;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod process_ref;
pub(crate) mod program;
pub(crate) mod registration;
pub(crate) mod roster;
pub(crate) mod spec;
pub(crate) mod state;
pub(crate) mod subnet;
pub(crate) mod supervisor;
pub(crate) mod words;
