//! What an operator asks this proxy. Two servers: the metrics port (`/metrics`, `/readyz`, `/livez`) for everybody, and
//! the admin port on the loopback address only, which shows the configuration and takes commands.
//!
//! It must not know how traffic is carried. No private key is reachable from here.

mod dump;

#[cfg(test)]
mod tests;
