//! Balancing and resilience as decisions: which endpoint, whether to try again, whether to let a request in. Pure: time and
//! randomness are arguments; it must not know connections, tasks or HTTP messages.
