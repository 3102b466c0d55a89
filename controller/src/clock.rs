//! The wall clock, for shells. Pure code gets time as an argument.

use mesh_lifecycle::Clock;

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    Clock::default().now_ms()
}
