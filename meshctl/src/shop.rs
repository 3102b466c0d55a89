//! The demonstration: a small shop of seven services, one of them in two versions and one that fails now and then, and
//! a visitor who walks around in it. It must not know how processes are run (`local`); it says which there are.
//!
//! Every service reaches the others through its own sidecar: HTTP/1.1 through the HTTP proxy, gRPC through a port that
//! stands for the service. Each forwards `traceparent`, which is all that tracing asks of an application.

pub(crate) mod app;
pub(crate) mod cart;
pub(crate) mod install;
pub(crate) mod objects;
pub(crate) mod pages;
pub(crate) mod server;
pub(crate) mod tally;
pub(crate) mod upstream;
pub(crate) mod visitor;

/// The namespace of all of it.
pub(crate) const NAMESPACE: &str = "shop";
/// Where every service listens, on its own address.
pub(crate) const APP_PORT: u16 = 8080;
/// Where the cart listens.
pub(crate) const CART_PORT: u16 = 9000;
/// The port of a web service that stands for the cart.
pub(crate) const CART_OUTBOUND_PORT: u16 = 15_002;
/// The visitor's name: a member without a port.
pub(crate) const VISITOR: &str = "visitor";
/// How many of a million requests `recommend` answers with 503 all by itself.
pub(crate) const RECOMMEND_FAILS_PPM: u32 = 50_000;

/// What a process of the shop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    Web,
    Catalog,
    Reviews,
    Cart,
    Stock,
    Recommend,
}

/// A workload of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The Service it is part of.
    pub(crate) app: &'static str,
    pub(crate) version: &'static str,
    pub(crate) role: Role,
    /// The last byte of its address.
    pub(crate) host: u8,
}

/// Everything that has a port.
pub(crate) const WORKLOADS: [Workload; 7] = [
    Workload { name: "web", app: "web", version: "v1", role: Role::Web, host: 10 },
    Workload { name: "catalog", app: "catalog", version: "v1", role: Role::Catalog, host: 11 },
    Workload { name: "reviews-v1", app: "reviews", version: "v1", role: Role::Reviews, host: 12 },
    Workload { name: "reviews-v2", app: "reviews", version: "v2", role: Role::Reviews, host: 13 },
    Workload { name: "cart", app: "cart", version: "v1", role: Role::Cart, host: 14 },
    Workload { name: "stock", app: "stock", version: "v1", role: Role::Stock, host: 15 },
    Workload { name: "recommend", app: "recommend", version: "v1", role: Role::Recommend, host: 16 },
];
/// The last byte of the visitor's address.
pub(crate) const VISITOR_HOST: u8 = 17;
/// `meshctl run` gives out addresses from here on.
pub(crate) const FIRST_FREE_HOST: u8 = 32;
