//! Balancing and resilience as decisions: which endpoint, whether to try again, whether to let a request in. Pure: time and
//! randomness are arguments; it must not know connections, tasks or HTTP messages.

pub mod balance;
pub mod breaker;
pub mod cohort;
pub mod concurrency;
pub mod deadline;
pub mod fault;
pub mod hash;
pub mod health;
pub mod hedge;
pub mod outlier;
pub mod rate;
pub mod retry;
pub mod session;
