//! What one proxy subscribed to, was told, and said about it. Pure: decides what to tell it next. There is no queue: whatever happens
//! while a proxy is slow, the next update is the difference between what it was told last and what is true now.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use mesh_model::address::Sought;
use mesh_model::external::HostMeaning;
use mesh_model::host::Host;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::spiffe::SpiffeId;
use mesh_proto::config::v1::{Ack, Destination, Hello, Subscribe, Watermark};

use super::admission::IDLE_ACKS;
use super::codec::{At, Gone, Outgoing};
use super::snapshot::{Resource, Snapshot};
use super::touched::{Hosts, Interest};
use crate::status::programmed::Holding;

/// Most destinations of a proxy: twice as many as it asks for by name, since what its workload serves and the services behind the
/// addresses that it dials are beside those.
pub const MAX_DESTINATIONS: usize = 8_192;
/// Most addresses and hosts of a proxy.
pub const MAX_SOUGHT: usize = 4_096;
/// Most resources that a proxy may say it holds.
pub const MAX_HELD: usize = 50_000;
/// Updates that wait for their ack; older ones are not waited for.
const MAX_PENDING: usize = 64;
/// What the names of services' resources begin with.
const SERVICE: &str = "service/";
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
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    None,
    InForce,
    Rejected { field: String, reason: String },
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
    pending: VecDeque<(u64, u64)>,
    sent_revision: u64,
    acked_revision: u64,
    subscription: u64,
    answered: u64,
    /// What concerns it is no longer what was said last.
    concern: Concern,
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
        // What a proxy holds it has accepted before; so it is in force there.
        let held = |held: mesh_proto::config::v1::Held| {
            (held.name.into(), Told { version: held.version.into(), nonce: 0, answer: Answer::InForce })
        };
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
            pending: VecDeque::new(),
            sent_revision: 0,
            acked_revision: 0,
            subscription: 1,
            answered: 0,
            concern: Concern::Changed,
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

    /// The proxy wants more or less.
    pub fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Refused> {
        self.concern = Concern::Changed;
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
        let mut rejects: HashMap<String, (String, String)> = HashMap::new();
        for reject in ack.rejects.into_iter().take(self.told.len()) {
            let cut = |text: String| text.chars().take(MAX_TEXT).collect::<String>();
            rejects.insert(reject.resource, (cut(reject.field), cut(reject.reason)));
        }
        let mut rejected = 0;
        for (name, told) in &mut self.told {
            if told.answer != Answer::None || told.nonce > ack.nonce {
                continue;
            }
            told.answer = match rejects.remove(&**name) {
                Some((field, reason)) => {
                    rejected += 1;
                    Answer::Rejected { field, reason }
                }
                None => Answer::InForce,
            };
        }
        while let Some((nonce, revision)) =
            self.pending.front().copied().filter(|(nonce, _)| *nonce <= ack.nonce)
        {
            tracing::trace!(nonce, revision, "acked");
            self.acked_revision = revision;
            self.pending.pop_front();
        }
        self.settle();
        rejected
    }

    /// What to tell the proxy, if there is anything (or an answer is owed). It counts as told.
    pub fn next_update(&mut self, snapshot: &Snapshot, now_ms: u64) -> Option<Outgoing> {
        // Made for this proxy alone, so they are kept here while they are compared.
        let hosts = self.hosts(snapshot);
        let mut wanted: BTreeMap<&Arc<str>, &Arc<Resource>> = BTreeMap::new();
        let mine = snapshot.authentication(&self.proxy.namespace, self.workload.as_ref());
        let always = [snapshot.mesh(), snapshot.own(self.workload.as_ref()), &mine.resource];
        for always in always {
            wanted.insert(&always.name, always);
        }
        snapshot.closure_of_authorization(self.workload.as_ref(), &self.proxy.namespace, |resource| {
            wanted.insert(&resource.name, resource);
        });
        let mut unknown = std::mem::take(&mut self.impossible);
        for service in &self.destinations {
            let known = snapshot.closure(service, &self.proxy.namespace, |resource| {
                wanted.insert(&resource.name, resource);
            });
            if known {
                self.unknown.remove(service);
            } else if self.unknown.insert(service.clone()) {
                let (namespace, name) = (service.0.namespace().to_owned(), service.0.name().to_owned());
                unknown.push(Destination { namespace, name });
            }
        }
        let mut unknown_sought = std::mem::take(&mut self.unreadable);
        for (sought, told) in &mut self.sought {
            let namespace = &self.proxy.namespace;
            let mut visit = |resource| {
                let resource: &Arc<Resource> = resource;
                wanted.insert(&resource.name, resource);
            };
            let known = match sought {
                Sought::Address(ip) => snapshot.closure_of_address(*ip, namespace, visit),
                Sought::Host(host) => match hosts.get(host) {
                    Some((meaning, resource)) => {
                        visit(resource);
                        snapshot.closure_of_meaning(meaning, namespace, visit);
                        true
                    }
                    None => false,
                },
            };
            if known {
                *told = Unknown::NotTold;
            } else if std::mem::replace(told, Unknown::Told) == Unknown::NotTold {
                unknown_sought.push(sought.to_string());
            }
        }
        let mut removed: Vec<Arc<str>> =
            self.told.keys().filter(|name| !wanted.contains_key(name)).cloned().collect();
        removed.sort_unstable();
        for name in &removed {
            self.told.remove(name);
        }
        let services = |name: &Arc<str>| name.starts_with(SERVICE);
        let different = |resource: &&&Arc<Resource>| {
            self.told.get(&resource.name).is_none_or(|told| told.version != resource.version)
        };
        let resources: Vec<Arc<Resource>> =
            wanted.values().filter(different).map(|resource| Arc::clone(resource)).collect();
        self.sent_revision = snapshot.revision;
        let others = removed.iter().any(services)
            || resources.iter().any(|resource| services(&resource.name))
            || !unknown.is_empty();
        if others {
            self.concern = Concern::Changed;
        }
        let nothing =
            resources.is_empty() && removed.is_empty() && unknown.is_empty() && unknown_sought.is_empty();
        if nothing && !self.owes_answer() {
            self.settle();
            return None;
        }
        let removed = removed.iter().map(ToString::to_string).collect();
        Some(self.tell(resources, Gone { removed, unknown, unknown_sought }, watermark(snapshot, now_ms)))
    }

    /// Counts it as told, and waits for its ack.
    fn tell(&mut self, resources: Vec<Arc<Resource>>, gone: Gone, watermark: Watermark) -> Outgoing {
        self.nonce += 1;
        for resource in &resources {
            let told =
                Told { version: Arc::clone(&resource.version), nonce: self.nonce, answer: Answer::None };
            self.told.insert(Arc::clone(&resource.name), told);
        }
        if self.pending.len() == MAX_PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back((self.nonce, watermark.revision));
        self.answered = self.subscription;
        let at = At { watermark, subscription: self.subscription };
        Outgoing::update(self.nonce, resources, gone, at)
    }

    /// What the hosts stand for that the proxy asked about.
    fn hosts(&self, snapshot: &Snapshot) -> HashMap<Host, (HostMeaning, Arc<Resource>)> {
        let meaning = |sought: &Sought| match sought {
            Sought::Address(_) => None,
            Sought::Host(host) => {
                let (meaning, resource) = snapshot.host(host, &self.proxy.namespace)?;
                Some((host.clone(), (meaning, Arc::new(resource))))
            }
        };
        self.sought.keys().filter_map(meaning).collect()
    }

    /// Up to where the proxy was told everything. Only after [`Session::next_update`] for the same snapshot, or for one from which it
    /// differs in nothing that concerns this stream.
    pub fn watermark(&mut self, snapshot: &Snapshot, now_ms: u64) -> Outgoing {
        self.sent_revision = snapshot.revision;
        self.settle();
        Outgoing::Watermark(watermark(snapshot, now_ms))
    }

    /// Revisions that changed nothing for this proxy are sent as nothing, so they wait for no answer.
    fn settle(&mut self) {
        if self.pending.is_empty() {
            self.acked_revision = self.sent_revision;
        }
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
                Answer::Rejected { field, reason } => Some(Rejected {
                    resource: name.to_string(),
                    field: field.clone(),
                    reason: reason.clone(),
                }),
                Answer::None | Answer::InForce => None,
            })
            .collect();
        rejects.sort_by(|a, b| a.resource.cmp(&b.resource));
        rejects
    }

    /// Says of each resource that it uses whether the version of `snapshot` is in force.
    pub fn holdings(&self, snapshot: &Snapshot, mut say: impl FnMut(&Arc<str>, Holding)) {
        let own = snapshot.own(self.workload.as_ref());
        let mine = snapshot.authentication(&self.proxy.namespace, self.workload.as_ref());
        let guards = snapshot.authorization(self.workload.as_ref(), &self.proxy.namespace);
        let of_this_proxy: HashMap<&Arc<str>, &Arc<Resource>> =
            guards.iter().chain([own, &mine.resource]).map(|resource| (&resource.name, resource)).collect();
        for (name, told) in &self.told {
            let resource = of_this_proxy.get(name).copied().or_else(|| snapshot.resource(name));
            let current = resource.is_some_and(|resource| resource.version == told.version);
            let holding =
                if current && told.answer == Answer::InForce { Holding::InForce } else { Holding::Behind };
            say(name, holding);
            if *name == mine.resource.name {
                // One resource of several objects: what is true of it is true of each of them.
                mine.sources.iter().for_each(|source| say(source, holding));
            }
        }
    }
}

fn watermark(snapshot: &Snapshot, now_ms: u64) -> Watermark {
    Watermark {
        revision: snapshot.revision,
        source_time_ms: snapshot.time_ms,
        sent_ms: now_ms,
        ..Watermark::default()
    }
}

#[cfg(test)]
mod tests;
