//! The control plane: reads objects, compiles them to the model, serves proxies, collects what they report.
//!
//! A change enters in [`sources`], becomes part of the [`index`], is compiled by [`compile`] (pure) to resources of the
//! model and to conditions ([`status`]), and leaves through [`serve`]. What proxies report enters in [`observe`] and leaves
//! through [`inspect`]. Nothing here is in the path of a request, and nothing is kept on disk: after a restart everything
//! comes back from the objects and from the proxies' streams.
//!
//! Arrows between modules, down only: `main → cli → app → dashboard → announce → inspect → {serve, observe} → access → compile → status → sources →
//! index → {api, clock, cluster, shared} → mesh-*`.

pub mod access;
pub mod admit;
pub mod announce;
pub mod api;
pub mod app;
pub mod canary;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod compile;
pub mod dashboard;
pub mod index;
pub mod inspect;
pub mod keys;
pub mod observe;
pub mod serve;
pub mod shared;
pub mod sources;
pub mod status;
