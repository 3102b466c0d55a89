//! Admission webhooks: `/inject` gives pods their sidecar, `/validate` finds what is wrong with objects before they are stored. Requests
//! enter in [`server`]; [`review`] reads and answers them, [`pods`] and [`objects`] judge. [`serving`] decides about the certificate,
//! [`keeper`] keeps it in the cluster. It must not know proxies or what objects are compiled to.

pub mod objects;
pub mod pods;
pub mod review;
pub mod server;
pub mod serving;
