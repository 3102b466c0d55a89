//! Whether a request is sent again, and after which pause. It must not know how a request is sent.
//!
//! A failure that provably never reached the application ([`Outcome::is_unseen`]) is retried for any request; every other failure
//! only where the policy names it and the request may be repeated. Budget, deadline, the server's wish and the one level of
//! retries along a call chain ([`chain`]) are looked at in this order, and the first one that speaks against it is the reason.
//!
//! Source: RFC 9110 section 9.2.2 (idempotent methods), gRFC A6 (retries, pushback, hedging), GEP-1731, GEP-3388.

pub mod budget;
pub mod chain;
pub mod wish;

#[cfg(test)]
mod tests;

use std::time::Duration;

use mesh_model::traffic::{Backoff, Pushback, Retries, RetryMethods, RetryOn};

use self::wish::Wish;

/// Told by the called side's proxy where nothing of a request reached the application. Its value is the failure's code. A proxy takes it
/// off what its application answers, and believes it from peers of the mesh alone.
pub const UNSEEN: &str = "x-mesh-unseen";

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Plain HTTP.
    Http,
    /// gRPC.
    Grpc,
}

/// Whether the request may be repeated by what its method promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeatable {
    /// Its method is idempotent (RFC 9110 section 9.2.2).
    Yes,
    /// Doing it twice may do it twice.
    No,
}

impl Repeatable {
    /// By method.
    pub fn by_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE" => Self::Yes,
            _ => Self::No,
        }
    }
}

/// Whether the request's body can be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// All of it is still here, or there is none.
    Possible,
    /// Some of it has left and was not kept.
    Gone,
}

/// Who retries along the call chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// Nobody further up, as far as is known.
    Ours,
    /// A proxy nearer to the first caller: here only what never reached an application is sent again.
    Outer,
}

/// What matters of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// HTTP or gRPC.
    pub call: Call,
    /// By its method.
    pub repeatable: Repeatable,
    /// As of now.
    pub replay: Replay,
    /// Who retries.
    pub chain: Chain,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No connection came about.
    ConnectFailed,
    /// The peer says that it did not look at the request.
    RefusedUnseen,
    /// The connection broke before the head of an answer.
    Reset,
    /// The attempt took too long.
    AttemptTimeout,
    /// An answer with this HTTP status.
    Status(u16),
    /// An answer with this gRPC status.
    Grpc(u8),
}

impl Outcome {
    /// Whether nothing of the request can have reached the application.
    pub const fn is_unseen(self) -> bool {
        matches!(self, Self::ConnectFailed | Self::RefusedUnseen)
    }
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The policy in force.
    pub policy: &'a Retries,
    /// The request.
    pub subject: Subject,
    /// Attempts made so far, at least 1.
    pub made: u32,
    /// How the last one ended.
    pub outcome: Outcome,
    /// What the server wishes.
    pub wish: Option<Wish>,
    /// Until the request's deadline. `None`: there is none.
    pub left: Option<Duration>,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Once more, after this pause.
    Again {
        /// The pause.
        after: Duration,
    },
    /// What came is the answer.
    GiveUp(Reason),
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It is not a failure that the policy names.
    NotNamed,
    /// So many attempts as the policy allows were made.
    Attempts,
    /// The request may have reached the application and must not be repeated.
    NotRepeatable,
    /// Its body is gone.
    BodyGone,
    /// A proxy nearer to the first caller retries.
    OuterRetries,
    /// The server does not want it, or not so soon.
    Pushback,
    /// The deadline would be over.
    Deadline,
    /// The budget is used up.
    Budget,
    /// As many retries as the circuit breaker allows are under way.
    CircuitOpen,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::NotNamed,
        Self::Attempts,
        Self::NotRepeatable,
        Self::BodyGone,
        Self::OuterRetries,
        Self::Pushback,
        Self::Deadline,
        Self::Budget,
        Self::CircuitOpen,
    ];

    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotNamed => "not_named",
            Self::Attempts => "attempts",
            Self::NotRepeatable => "not_repeatable",
            Self::BodyGone => "body_gone",
            Self::OuterRetries => "outer_retries",
            Self::Pushback => "pushback",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

/// Decides, the budget aside: ask that only when the answer here is [`Decision::Again`].
pub fn decide(ask: &Ask<'_>, random: &mut fastrand::Rng) -> Decision {
    match refusal(ask) {
        Some(reason) => Decision::GiveUp(reason),
        None => match pause(ask, random) {
            Err(reason) => Decision::GiveUp(reason),
            Ok(after) if ask.left.is_some_and(|left| after >= left) => Decision::GiveUp(Reason::Deadline),
            Ok(after) => Decision::Again { after },
        },
    }
}

fn refusal(ask: &Ask<'_>) -> Option<Reason> {
    let Ask { policy, subject, outcome, .. } = ask;
    if !names(policy, subject.call, *outcome) {
        return Some(Reason::NotNamed);
    }
    if ask.made > policy.attempts {
        return Some(Reason::Attempts);
    }
    if !outcome.is_unseen() {
        if subject.chain == Chain::Outer {
            return Some(Reason::OuterRetries);
        }
        if !may_repeat(policy, *subject, *outcome) {
            return Some(Reason::NotRepeatable);
        }
    }
    (subject.replay == Replay::Gone).then_some(Reason::BodyGone)
}

/// Whether the policy names the failure.
fn names(policy: &Retries, call: Call, outcome: Outcome) -> bool {
    let on = |kind| policy.on.contains(&kind);
    match outcome {
        Outcome::ConnectFailed => on(RetryOn::ConnectFailure),
        Outcome::RefusedUnseen => on(RetryOn::RefusedStream),
        Outcome::Reset => on(RetryOn::Reset),
        Outcome::AttemptTimeout => on(RetryOn::AttemptTimeout),
        Outcome::Status(status) => {
            policy.statuses.contains(&status)
                || ((500..600).contains(&status) && on(RetryOn::ServerError))
                || (matches!(status, 502..=504) && on(RetryOn::GatewayError))
                || (call == Call::Grpc && policy.grpc_statuses.contains(&grpc_of(status)))
        }
        Outcome::Grpc(status) => policy.grpc_statuses.contains(&status),
    }
}

/// Whether a request that may have reached the application may be sent again.
fn may_repeat(policy: &Retries, subject: Subject, outcome: Outcome) -> bool {
    match (policy.methods, outcome) {
        (RetryMethods::All, _) => true,
        // All gRPC calls are POST: who names a status says that calls which end with it may be repeated.
        (RetryMethods::Idempotent, Outcome::Grpc(_)) => true,
        (RetryMethods::Idempotent, Outcome::Status(_)) if subject.call == Call::Grpc => true,
        (RetryMethods::Idempotent, _) => subject.repeatable == Repeatable::Yes,
    }
}

/// The gRPC status that an HTTP status stands for. Source: gRPC, "HTTP to gRPC Status Code Mapping".
pub const fn grpc_of(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

fn pause(ask: &Ask<'_>, random: &mut fastrand::Rng) -> Result<Duration, Reason> {
    match (ask.policy.pushback, ask.wish) {
        (Pushback::Honour(_), Some(Wish::Never)) => Err(Reason::Pushback),
        (Pushback::Honour(most), Some(Wish::After(wished))) if wished > most => Err(Reason::Pushback),
        (Pushback::Honour(_), Some(Wish::After(wished))) => Ok(wished),
        // Another endpoint is tried at once: the one that failed is not asked again.
        _ if ask.outcome.is_unseen() && ask.made == 1 => Ok(Duration::ZERO),
        _ => Ok(backoff(&ask.policy.backoff, ask.made, random)),
    }
}

/// The pause before the attempt that follows `made` ones: evenly between the policy's base and a bound that doubles, first twice the
/// base. `made` is at least 1.
///
/// Source: GEP-1731 (`backoff` is the least pause); "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015) for the even draw.
pub fn backoff(policy: &Backoff, made: u32, random: &mut fastrand::Rng) -> Duration {
    let nanos = |pause: Duration| u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
    let doubled = policy.base.saturating_mul(1_u32.checked_shl(made).unwrap_or(u32::MAX));
    let least = nanos(policy.base.min(policy.most));
    Duration::from_nanos(random.u64(least..=nanos(doubled.min(policy.most)).max(least)))
}
