//! Queries that the mesh does not answer: from what is kept, from one resolver after the other, or, when all fail, from what is kept
//! beyond its time. It must not know names of the mesh.

use std::time::Duration;

use mesh_dns::cache::{Ask, Kept};
use mesh_dns::wire::{self, Query, rcode};
use mesh_reach::exchange::{self, Asking, Received};
use tokio::time::Instant;

use super::counters::{From, Trouble};
use super::{Dns, lock};

/// For all resolvers together; programs give up after five seconds (resolv.conf(5)), so the last word comes before.
const DEADLINE: Duration = Duration::from_millis(4500);

/// For one resolver, before the next one is asked.
const ATTEMPT: Duration = Duration::from_millis(1500);

/// How long a client waits for the resolvers while there is an old answer (RFC 8767 section 5).
const PATIENCE: Duration = Duration::from_millis(1800);

/// Times that the list of resolvers is gone through.
const ROUNDS: usize = 2;

impl Dns {
    /// The answer to `query`, whose bytes are `asked`; a failure is an answer as well.
    pub(super) async fn forward(&self, asked: &[u8], query: &Query) -> Vec<u8> {
        let shared = &self.shared;
        let kept = lock(&shared.cache).get(asked, query, std::time::Instant::now());
        let stale = match kept {
            Kept::Fresh(message) => {
                shared.counters.answered(From::Cache);
                return message;
            }
            Kept::Stale { message, ask: Ask::NotNow } => {
                shared.counters.answered(From::Stale);
                return message;
            }
            Kept::Stale { message, ask: Ask::First } => Some(message),
            Kept::Nothing => None,
        };
        let received = match &stale {
            None => self.exchange(asked, query).await,
            Some(_) => self.refresh(asked, query).await,
        };
        match (received, stale) {
            (Some((mut message, reply)), None) => {
                let ttl = |ttl| lock(&shared.cache).ttl(ttl);
                wire::patch(&mut message, &reply, asked, query, ttl);
                shared.counters.answered(From::Resolver);
                message
            }
            (Some((mut message, reply)), Some(_)) if reply.is_answer() => {
                let ttl = |ttl| lock(&shared.cache).ttl(ttl);
                wire::patch(&mut message, &reply, asked, query, ttl);
                shared.counters.answered(From::Resolver);
                message
            }
            (_, Some(stale)) => {
                lock(&shared.cache).failed(query, std::time::Instant::now());
                shared.counters.answered(From::Stale);
                stale
            }
            (None, None) => {
                shared.counters.trouble(Trouble::Unanswered);
                wire::failure(asked, Some(query), rcode::FAILED)
            }
        }
    }

    /// Asks on a task of its own, and waits for it only as long as a client with an old answer should.
    async fn refresh(&self, asked: &[u8], query: &Query) -> Option<Received> {
        let (done, received) = tokio::sync::oneshot::channel();
        let (this, asked, query) = (self.clone(), asked.to_vec(), query.clone());
        self.shared.tasks.spawn("dns refresh", async move {
            let received = this.exchange(&asked, &query).await;
            // Who waited may have gone with the old answer; what came is kept for the next one.
            drop(done.send(received));
        });
        tokio::time::timeout(PATIENCE, received).await.ok()?.ok()?
    }

    /// Asks the resolvers. `None`: none gave a reply.
    pub(super) async fn exchange(&self, asked: &[u8], query: &Query) -> Option<Received> {
        let shared = &self.shared;
        let Ok(_place) = shared.exchanges.try_acquire() else {
            shared.counters.trouble(Trouble::Overload);
            return None;
        };
        let deadline = Instant::now() + DEADLINE;
        let order = lock(&shared.upstreams).order(std::time::Instant::now());
        let mut failure = None;
        for _ in 0..ROUNDS {
            for resolver in &order {
                let until = deadline.min(Instant::now() + ATTEMPT);
                if Instant::now() >= deadline {
                    return failure;
                }
                let foreign = || shared.counters.trouble(Trouble::Spoofed);
                let how = Asking { resolver: *resolver, mark: shared.mark, until, foreign: &foreign };
                match exchange::ask(how, asked, query).await {
                    Ok((message, reply)) => {
                        lock(&shared.upstreams).succeeded(*resolver);
                        if reply.is_answer() {
                            let now = std::time::Instant::now();
                            lock(&shared.cache).put(query, &message, reply.clone(), now);
                            return Some((message, reply));
                        }
                        shared.counters.trouble(Trouble::Resolver);
                        failure = Some((message, reply));
                    }
                    Err(error) => {
                        tracing::debug!(%resolver, name = ?query.name, %error, "a resolver did not answer");
                        shared.counters.trouble(Trouble::Resolver);
                        lock(&shared.upstreams).failed(*resolver, std::time::Instant::now());
                    }
                }
            }
            // Who has answered that it cannot answer will not do better at once.
            if failure.is_some() {
                break;
            }
        }
        failure
    }
}
