//! What one proxy subscribed to, was told, and said about it. Pure: decides what to tell it next. There is no queue: whatever happens
//! while a proxy is slow, the next update is the difference between what it was told last and what is true now.

mod lacks;
mod telling;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mesh_model::address::Sought;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::spiffe::SpiffeId;
use mesh_proto::config::v1::{Ack, Destination, Hello, Subscribe};

use super::admission::IDLE_ACKS;
use super::touched::{Hosts, Interest};

pub use lacks::{Cause, Lack};

/// Most destinations of a proxy: twice as many as it asks for by name, since what its workload serves and the services behind the
/// addresses that it dials are beside those.
pub const MAX_DESTINATIONS: usize = 8_192;
/// Most addresses and hosts of a proxy.
pub const MAX_SOUGHT: usize = 4_096;
/// Most resources that a proxy may say it holds.
pub const MAX_HELD: usize = 50_000;
/// Most destinations that are told anew at a time.
const MAX_AGAIN: usize = 64;
/// Updates that wait for their ack; older ones are not waited for.
const MAX_PENDING: usize = 64;
/// What the names of services' resources begin with.
const SERVICE: &str = "service/";
/// And those of their endpoints'.
const ENDPOINTS: &str = "endpoints/";
/// Longest text of a reject.
const MAX_TEXT: usize = 500;

/// Why a stream is ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many destinations.
    #[error("{0} destinations, at most {MAX_DESTINATIONS} are served on a stream")]
    Destinations(usize),
    /// Too many addresses and hosts.
    #[error("{0} addresses and hosts, at most {MAX_SOUGHT} are served on a stream")]
    Sought(usize),
    /// Too many resources held.
    #[error("{0} resources held, at most {MAX_HELD} are compared")]
    Held(usize),
    /// Acks that confirm nothing, one after the other.
    #[error("{IDLE_ACKS} acks in a row confirmed nothing")]
    IdleAcks,
    /// What is held was said too often.
    #[error("what a proxy holds is taken in place of what it was told once in 5 s at most")]
    Resync,
    /// Not the first message, or not once.
    #[error("a second Hello on a stream")]
    SecondHello,
}

/// What a proxy was told about a resource, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    version: Arc<str>,
    nonce: u64,
    answer: Answer,
    /// Unless it is in force: since when the proxy has not used the form that it was to use, since the stream began.
    since: Duration,
}

impl Told {
    /// What a proxy holds it has accepted before; so it is in force there.
    fn held(version: Arc<str>) -> Self {
        Self { version, nonce: 0, answer: Answer::InForce, since: Duration::ZERO }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    None,
    InForce,
    /// Rare, and there is one of these for each resource of each stream.
    Rejected(Box<Fault>),
}

/// What was wrong with a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    field: String,
    reason: String,
}

/// Whether a proxy was told that something is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Told,
    NotTold,
}

/// A resource that a proxy could not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its name.
    pub resource: String,
    /// Which field.
    pub field: String,
    /// Why.
    pub reason: String,
}

/// Who is at the other end of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its namespace.
    pub namespace: String,
    /// Its workload.
    pub workload: String,
    /// Distinguishes restarts.
    pub instance: String,
    /// Its version.
    pub version: String,
    /// As its certificate says.
    pub spiffe_id: SpiffeId,
}

/// The moment of an update.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// As of when what is told is known to be so, Unix milliseconds.
    pub as_of_ms: u64,
    /// Since the stream began, by a clock that does not jump.
    pub stream: Duration,
}

/// One proxy's subscription.
#[derive(Debug)]
pub struct Session {
    proxy: Proxy,
    /// Whose services `own` tells; none if the proxy's name cannot be a workload's.
    workload: Option<WorkloadName>,
    destinations: BTreeSet<ServiceName>,
    /// What the proxy asked for that cannot be the name of a service; answered as unknown.
    impossible: Vec<Destination>,
    /// Told to be unknown, and still is.
    unknown: BTreeSet<ServiceName>,
    /// Addresses and hosts, each with whether it was told to be unknown, and still is.
    sought: BTreeMap<Sought, Unknown>,
    /// What the proxy asked about that is neither; answered as unknown.
    unreadable: Vec<String>,
    told: HashMap<Arc<str>, Told>,
    nonce: u64,
    /// Of the newest ack.
    heard: u64,
    pending: VecDeque<(u64, u64)>,
    sent_revision: u64,
    acked_revision: u64,
    subscription: u64,
    answered: u64,
    /// When what it holds was found to be what it was told.
    agreed: Option<Duration>,
    /// When it said last what it holds, and how often it did.
    resynced: Option<Duration>,
    resyncs: u32,
    /// What concerns it is no longer what was said last.
    concern: Concern,
    /// Whether it was told exactly what it uses, in whatever versions.
    compared: Compared,
}

/// Whether a session was compared with a snapshot since what it uses, or what it is believed to hold, became something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    Yes,
    No,
}

/// Whether what concerns a stream has changed since it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern {
    Changed,
    Same,
}

impl Session {
    /// Begins with what the proxy says first.
    pub fn new(proxy: Proxy, hello: Hello) -> Result<Self, Refused> {
        if hello.held.len() > MAX_HELD {
            return Err(Refused::Held(hello.held.len()));
        }
        let held = |held: mesh_proto::config::v1::Held| (held.name.into(), Told::held(held.version.into()));
        let mut session = Self {
            workload: WorkloadName::new(&proxy.namespace, &proxy.workload).ok(),
            proxy,
            destinations: BTreeSet::new(),
            impossible: Vec::new(),
            unknown: BTreeSet::new(),
            sought: BTreeMap::new(),
            unreadable: Vec::new(),
            told: hello.held.into_iter().map(held).collect(),
            nonce: 0,
            heard: 0,
            pending: VecDeque::new(),
            sent_revision: 0,
            acked_revision: 0,
            subscription: 1,
            answered: 0,
            agreed: None,
            resynced: None,
            resyncs: 0,
            concern: Concern::Changed,
            compared: Compared::No,
        };
        session.add(hello.destinations)?;
        session.seek(hello.sought)?;
        Ok(session)
    }

    /// Whose services it is told as its own; none if the proxy's name cannot be a workload's.
    pub fn workload(&self) -> Option<&WorkloadName> {
        self.workload.as_ref()
    }

    /// What concerns it, if that is not what it was when this was called last. Only right after [`Session::next_update`].
    pub fn interest(&mut self) -> Option<Interest> {
        if std::mem::replace(&mut self.concern, Concern::Same) == Concern::Same {
            return None;
        }
        let told = self.told.keys().filter(|name| name.starts_with(SERVICE)).cloned();
        let unknown = self.unknown.iter().map(|service| Arc::from(format!("{SERVICE}{service}")));
        let mut interest = Interest { services: told.chain(unknown).collect(), ..Interest::default() };
        for sought in self.sought.keys() {
            match sought {
                Sought::Address(ip) => {
                    interest.addresses.insert(*ip);
                }
                Sought::Host(_) => interest.hosts = Hosts::Asked,
            }
        }
        Some(interest)
    }

    /// Whose it is.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The proxy wants more or less, or the same anew. `at` is the time since the stream began.
    pub fn subscribe(&mut self, subscribe: Subscribe, at: Duration) -> Result<(), Refused> {
        self.concern = Concern::Changed;
        self.compared = Compared::No;
        if let Some(holding) = subscribe.holding {
            self.holds(holding.held, at)?;
        }
        for again in subscribe.again.iter().take(MAX_AGAIN) {
            for kind in [SERVICE, ENDPOINTS] {
                let name = format!("{kind}{}/{}", again.namespace, again.name);
                // In no version that there is, so that it is sent, or taken back.
                self.told.get_mut(name.as_str()).into_iter().for_each(|told| told.version = Arc::from(""));
            }
        }
        for gone in subscribe.remove {
            if let Ok(service) = ServiceName::new(&gone.namespace, &gone.name) {
                self.destinations.remove(&service);
                self.unknown.remove(&service);
            }
        }
        for gone in subscribe.remove_sought {
            if let Ok(sought) = Sought::parse(&gone) {
                self.sought.remove(&sought);
            }
        }
        self.subscription = subscribe.sequence.max(self.subscription + 1);
        self.add(subscribe.add)?;
        self.seek(subscribe.add_sought)
    }

    fn seek(&mut self, sought: Vec<String>) -> Result<(), Refused> {
        let asked = self.sought.len() + sought.len();
        if sought.len() > MAX_SOUGHT {
            return Err(Refused::Sought(asked));
        }
        for text in sought {
            match Sought::parse(&text) {
                // Asked for again: answered again.
                Ok(sought) => {
                    self.sought.insert(sought, Unknown::NotTold);
                }
                Err(_) => self.unreadable.push(text),
            }
        }
        if self.sought.len() > MAX_SOUGHT || self.unreadable.len() > MAX_SOUGHT {
            return Err(Refused::Sought(asked));
        }
        Ok(())
    }

    fn add(&mut self, destinations: Vec<Destination>) -> Result<(), Refused> {
        let asked = self.destinations.len() + destinations.len();
        if destinations.len() > MAX_DESTINATIONS {
            return Err(Refused::Destinations(asked));
        }
        for destination in destinations {
            match ServiceName::new(&destination.namespace, &destination.name) {
                Ok(service) => {
                    // Asked for again: answered again.
                    self.unknown.remove(&service);
                    self.destinations.insert(service);
                }
                Err(_) => self.impossible.push(destination),
            }
        }
        if self.destinations.len() > MAX_DESTINATIONS || self.impossible.len() > MAX_DESTINATIONS {
            return Err(Refused::Destinations(asked));
        }
        Ok(())
    }

    /// Whether a subscription waits for its answer.
    pub fn owes_answer(&self) -> bool {
        self.answered < self.subscription
    }

    /// The proxy has applied an update, all but the rejects. How many of these were resources that it had been sent.
    pub fn ack(&mut self, ack: Ack) -> usize {
        if ack.agreed_stream_ms > 0 {
            let agreed = Duration::from_millis(ack.agreed_stream_ms);
            self.agreed = self.agreed.max(Some(agreed));
        }
        // What was confirmed before is not looked at again: acks cost no more than the updates that were sent.
        let nonce = ack.nonce.min(self.nonce);
        if nonce <= self.heard {
            return 0;
        }
        self.heard = nonce;
        let mut rejects: HashMap<String, Fault> = HashMap::new();
        for reject in ack.rejects.into_iter().take(self.told.len()) {
            let cut = |text: String| text.chars().take(MAX_TEXT).collect::<String>();
            rejects.insert(reject.resource, Fault { field: cut(reject.field), reason: cut(reject.reason) });
        }
        let mut rejected = 0;
        for (name, told) in &mut self.told {
            if told.answer != Answer::None || told.nonce > nonce {
                continue;
            }
            told.answer = match rejects.remove(&**name) {
                Some(fault) => {
                    rejected += 1;
                    Answer::Rejected(Box::new(fault))
                }
                None => Answer::InForce,
            };
        }
        while let Some((nonce, revision)) = self.pending.front().copied().filter(|(sent, _)| *sent <= nonce) {
            tracing::trace!(nonce, revision, "acked");
            self.acked_revision = revision;
            self.pending.pop_front();
        }
        self.settle();
        rejected
    }

    /// Revision of the snapshot that the proxy was told last.
    pub fn sent_revision(&self) -> u64 {
        self.sent_revision
    }

    /// Revision of the update that the proxy confirmed last.
    pub fn acked_revision(&self) -> u64 {
        self.acked_revision
    }

    /// Whether an update was sent that the proxy has not confirmed.
    pub fn waits_for_ack(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Updates that it has not confirmed.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// How many resources the proxy was told.
    pub fn resources(&self) -> usize {
        self.told.len()
    }

    /// How many destinations it wants.
    pub fn destinations(&self) -> usize {
        self.destinations.len()
    }

    /// What it could not use, by name.
    pub fn rejects(&self) -> Vec<Rejected> {
        let mut rejects: Vec<Rejected> = self
            .told
            .iter()
            .filter_map(|(name, told)| match &told.answer {
                Answer::Rejected(fault) => Some(Rejected {
                    resource: name.to_string(),
                    field: fault.field.clone(),
                    reason: fault.reason.clone(),
                }),
                Answer::None | Answer::InForce => None,
            })
            .collect();
        rejects.sort_by(|a, b| a.resource.cmp(&b.resource));
        rejects
    }
}

#[cfg(test)]
mod tests;
