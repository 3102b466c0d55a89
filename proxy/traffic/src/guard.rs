//! What one worker keeps of one backend to hold back: the circuit breaker and the retry budget. It must not know endpoints.

use std::cell::RefCell;
use std::time::Instant;

use mesh_model::traffic::effective::BackendPolicy;

use crate::breaker::Breaker;
use crate::retry::budget::Budget;

/// Breaker and budget of one port of a service.
#[derive(Debug)]
pub struct Guard {
    /// Bounds on what is under way.
    pub breaker: Breaker,
    /// The share of retries.
    pub budget: RefCell<Budget>,
}

impl Guard {
    /// By these settings.
    pub fn new(policy: &BackendPolicy, now: Instant) -> Self {
        Self {
            breaker: Breaker::new(policy.circuit_breaker.value),
            budget: RefCell::new(Budget::new(policy.retry_budget.value, now)),
        }
    }

    /// Other settings are in force; what was counted stays.
    pub fn set_policy(&self, policy: &BackendPolicy) {
        self.breaker.set_policy(policy.circuit_breaker.value);
        self.budget.borrow_mut().set_policy(policy.retry_budget.value);
    }
}
