//! What a policy says that is well-formed and leads nowhere as things are: accounts that nobody has, ports at which nobody listens, trust
//! domains that nobody trusts, claims of tokens that nobody asks for. Pure. Each is a note with its field and never decides: somebody may
//! come later. It must not know which request is asked about.

use mesh_controller::api::ObjectKey;
use mesh_controller::api::authorization::{AuthorizationRule, CallerLists};
use mesh_controller::status::{Condition, ConditionType};
use mesh_model::name::{Name, WorkloadName};
use mesh_model::spiffe::SpiffeId;
use serde_json::Value;

use super::{Objects, Peer, Place, near, standing};

/// Everything that is doubtful about a policy.
pub(crate) fn of(objects: &Objects, key: &ObjectKey) -> Vec<Condition> {
    let index = &objects.index;
    let mut doubts = Doubts { objects, key, known: standing::known(objects), found: Vec::new() };
    if let Some(entry) = index.policies.authorization.find(key) {
        let spec = &entry.object.spec;
        let labels = spec.selector.as_ref().map(|selector| &selector.match_labels);
        doubts.labels(labels.into_iter().flatten());
        for (at, target) in spec.target_refs.iter().flatten().enumerate() {
            doubts.target(at, &format!("{:?}", target.kind), &target.name);
        }
        for (at, rule) in spec.rules.iter().flatten().enumerate() {
            doubts.rule(rule, &format!("spec.rules[{at}]"));
        }
    }
    if let Some(entry) = index.policies.authentication.find(key) {
        let spec = &entry.object.spec;
        let labels = spec.selector.as_ref().map(|selector| &selector.match_labels);
        doubts.labels(labels.into_iter().flatten());
        for (at, target) in spec.target_refs.iter().flatten().enumerate() {
            doubts.target(at, &format!("{:?}", target.kind), &target.name);
        }
        let named = objects.compiled.authentication.named_by(&key.to_string()).cloned().unwrap_or_default();
        let named: Vec<WorkloadName> = named.into_iter().collect();
        let ports = spec.mtls.as_ref().and_then(|mtls| mtls.ports.as_ref());
        for (at, port) in ports.into_iter().flatten().enumerate() {
            doubts.port(port.port, &named, &format!("spec.mtls.ports[{at}].port"));
        }
        for (at, port) in spec.jwt.iter().flat_map(|jwt| jwt.ports.iter().flatten()).enumerate() {
            doubts.port(*port, &named, &format!("spec.jwt.ports[{at}]"));
        }
    }
    doubts.found
}

struct Doubts<'a> {
    objects: &'a Objects,
    key: &'a ObjectKey,
    known: Vec<(WorkloadName, Peer)>,
    found: Vec<Condition>,
}

impl Doubts<'_> {
    fn say(&mut self, reason: &'static str, field: impl Into<String>, message: String) {
        self.found.push(Condition::noted(ConditionType::ResolvedRefs, reason, field, message));
    }

    /// Labels that no workload of the namespace has, all of them.
    fn labels<'b>(&mut self, wanted: impl Iterator<Item = (&'b String, &'b String)>) {
        let wanted: Vec<(&String, &String)> = wanted.collect();
        let here = |name: &WorkloadName| name.0.namespace() == &*self.key.namespace;
        let members: Vec<&WorkloadName> =
            self.known.iter().map(|(name, _)| name).filter(|name| here(name)).collect();
        let has = |name: &WorkloadName, (key, value): &(&String, &String)| {
            self.label(name, key).as_ref() == Some(*value)
        };
        if wanted.is_empty() || members.iter().any(|name| wanted.iter().all(|label| has(name, label))) {
            return;
        }
        let field = "spec.selector.matchLabels";
        if let Some(owner) = self.owner_of(&wanted) {
            let message = format!(
                "{owner} has these labels itself, and its pods have not: a selector means labels of pods, those of spec.template.metadata.labels"
            );
            return self.say("LabelsOfOwner", field, message);
        }
        let slip = wanted.iter().find_map(|(key, value)| {
            let theirs = members.iter().find_map(|name| {
                let theirs = self.label(name, key)?;
                near::slip(value, &theirs).then_some((*name, theirs))
            });
            theirs.map(|(name, theirs)| format!("{key}: {value} is written, {name} has {key}: {theirs}"))
        });
        if let Some(message) = slip {
            self.say("LabelsNearby", field, message);
        }
    }

    fn label(&self, name: &WorkloadName, label: &str) -> Option<String> {
        let index = &self.objects.index;
        let workload = index.workloads.find(name).and_then(|it| it.object.metadata.labels.as_ref());
        let pod = index.pods.find(name).map(|it| it.object.labels());
        workload.or(pod)?.get(label).cloned()
    }

    /// What of the namespace has the labels itself and makes pods without them.
    fn owner_of(&self, wanted: &[(&String, &String)]) -> Option<String> {
        self.objects.documents().find_map(|object| {
            let text = |at: &str| object.pointer(at).and_then(Value::as_str);
            let has = |at: &str| {
                wanted.iter().all(|(key, value)| {
                    let labels = object.pointer(at);
                    labels.and_then(|labels| labels.get(key.as_str())?.as_str()) == Some(value.as_str())
                })
            };
            let namespace = text("/metadata/namespace").unwrap_or("default");
            let makes_pods = object.pointer("/spec/template").is_some();
            let is_one = makes_pods
                && namespace == &*self.key.namespace
                && has("/metadata/labels")
                && !has("/spec/template/metadata/labels");
            is_one
                .then(|| Some(format!("{} {namespace}/{}", text("/kind")?, text("/metadata/name")?)))
                .flatten()
        })
    }

    /// A target that is not in the policy's namespace, and is in another one.
    fn target(&mut self, at: usize, kind: &str, name: &str) {
        let index = &self.objects.index;
        let stores: Vec<&ObjectKey> = match kind {
            "Service" => index.services.store.iter().map(|(key, _)| key).collect(),
            _ => index.workloads.store.iter().map(|(key, _)| key).collect(),
        };
        if stores.iter().any(|key| key.namespace == self.key.namespace && &*key.name == name) {
            return;
        }
        let elsewhere = stores.iter().find(|key| &*key.name == name).map(ToString::to_string);
        let nearby =
            stores.iter().find(|key| key.namespace == self.key.namespace && near::slip(name, &key.name));
        let nearby = nearby.map(ToString::to_string);
        let field = format!("spec.targetRefs[{at}].name");
        match (elsewhere, nearby) {
            (_, Some(nearby)) => {
                self.say("TargetNearby", field, format!("there is {nearby}, which may be meant"));
            }
            (Some(elsewhere), None) => {
                let message = format!(
                    "there is {elsewhere}, and a policy protects its own namespace alone: no grant changes that; put the policy into the namespace of what it protects"
                );
                self.say("TargetElsewhere", field, message);
            }
            (None, None) => {}
        }
    }

    fn rule(&mut self, rule: &AuthorizationRule, at: &str) {
        for (n, caller) in rule.from.iter().flatten().enumerate() {
            self.callers(&caller.fits(), &format!("{at}.from[{n}]"));
            if let Some(not) = &caller.not {
                self.callers(not, &format!("{at}.from[{n}].not"));
            }
        }
        let protected = self.protected();
        for (n, call) in rule.to.iter().flatten().enumerate() {
            for (p, port) in call.ports.iter().flatten().enumerate() {
                self.port(*port, &protected, &format!("{at}.to[{n}].ports[{p}]"));
            }
        }
        for (n, condition) in rule.when.iter().flatten().enumerate() {
            let asked = |workload: &WorkloadName| {
                self.objects.compiled.authentication.of_workload(workload).jwt.is_some()
            };
            if condition.claim.is_some() && !protected.is_empty() && !protected.iter().any(asked) {
                let message = "no AuthenticationPolicy asks these workloads' callers for tokens, so that no request has claims; write one with spec.jwt";
                self.say("NoTokens", format!("{at}.when[{n}].claim"), message.to_owned());
            }
        }
    }

    /// Workloads at which the policy holds.
    fn protected(&self) -> Vec<WorkloadName> {
        let holds = |name: &&WorkloadName| {
            let mut own = self.objects.compiled.authorization.of(name).iter();
            own.any(|policy| {
                policy.name.namespace() == &*self.key.namespace && policy.name.name() == &*self.key.name
            })
        };
        self.known.iter().map(|(name, _)| name).filter(holds).cloned().collect()
    }

    fn callers(&mut self, lists: &CallerLists, at: &str) {
        let ours = self.objects.compiled.mesh.trust_domain.to_string();
        let domains = lists.trust_domains.as_deref();
        for (n, domain) in domains.into_iter().flatten().enumerate() {
            self.domain(domain, &format!("{at}.trustDomains[{n}]"));
        }
        // Who is in another mesh is not known here.
        let of_ours = domains.is_none_or(|domains| domains.contains(&ours));
        for (n, text) in lists.service_accounts.iter().flatten().enumerate().filter(|_| of_ours) {
            let (namespace, name) = text.split_once('/').unwrap_or((&self.key.namespace, text));
            if let Ok(account) = Name::new(namespace, name) {
                self.account(&account, &format!("{at}.serviceAccounts[{n}]"));
            }
        }
        for (n, text) in lists.identities.iter().flatten().enumerate() {
            let Ok(identity) = SpiffeId::parse(text) else { continue };
            let field = format!("{at}.identities[{n}]");
            if identity.trust_domain().as_str() != ours {
                self.domain(identity.trust_domain().as_str(), &field);
            } else if let Ok(account) = Name::new(identity.namespace(), identity.service_account()) {
                self.account(&account, &field);
            }
        }
        for (n, namespace) in lists.namespaces.iter().flatten().enumerate().filter(|_| of_ours) {
            self.namespace(namespace, &format!("{at}.namespaces[{n}]"));
        }
    }

    fn account(&mut self, account: &Name, field: &str) {
        let accounts = || {
            self.known.iter().filter_map(|(workload, peer)| {
                let id = peer.identity.as_ref()?;
                Some((workload, Name::new(id.namespace(), id.service_account()).ok()?))
            })
        };
        // Without any member nobody can say who is missing.
        if accounts().next().is_none() || accounts().any(|(_, one)| one == *account) {
            return;
        }
        let slip = accounts().find(|(_, one)| {
            one.namespace() == account.namespace() && near::slip(account.name(), one.name())
        });
        let workload = accounts().find(|(workload, _)| workload.0 == *account);
        let elsewhere = accounts().find(|(_, one)| one.name() == account.name());
        let more = match (slip, workload, elsewhere) {
            (Some((_, one)), ..) => format!("; `{one}` may be meant"),
            (None, Some((_, one)), _) => {
                format!("; that is the name of a workload, whose service account is `{one}`")
            }
            (None, None, Some((_, one))) => format!("; there is `{one}` in another namespace"),
            (None, None, None) => String::new(),
        };
        let message = format!("no workload has service account `{account}` now{more}");
        self.say("NoSuchCaller", field, message);
    }

    fn namespace(&mut self, namespace: &str, field: &str) {
        let index = &self.objects.index;
        let declared = index.namespaces.store.iter().any(|(key, _)| &*key.name == namespace);
        if self.known.is_empty()
            || declared
            || self.known.iter().any(|(workload, _)| workload.0.namespace() == namespace)
        {
            return;
        }
        let near = self.known.iter().map(|(workload, _)| workload.0.namespace());
        let near = near.clone().find(|one| near::slip(namespace, one));
        let more = near.map(|one| format!("; `{one}` may be meant")).unwrap_or_default();
        let message = format!("no workload is in namespace `{namespace}` now{more}");
        self.say("NoSuchCaller", field, message);
    }

    fn domain(&mut self, domain: &str, field: &str) {
        let ours = self.objects.compiled.mesh.trust_domain.to_string();
        let mut federated =
            self.objects.index.federated.iter().map(|(_, entry)| entry.object.spec.trust_domain.as_str());
        if domain == ours || federated.any(|one| one == domain) {
            return;
        }
        let message = format!(
            "trust domain `{domain}` is not known here: ours is `{ours}`, and no FederatedTrustDomain names it, so that nobody of it gets through a handshake"
        );
        self.say("NotFederated", field, message);
    }

    /// A port at which none of the workloads listens, as far as all of theirs are known.
    fn port(&mut self, port: u16, workloads: &[WorkloadName], field: &str) {
        let index = &self.objects.index;
        let ports = |name: &WorkloadName| {
            let entry = index.workloads.find(name)?;
            let own: Vec<u16> = entry.object.spec.ports.iter().map(|own| own.port).collect();
            (!own.is_empty()).then_some(own)
        };
        let Some(known) = workloads.iter().map(ports).collect::<Option<Vec<_>>>() else { return };
        let mut known: Vec<u16> = known.into_iter().flatten().collect();
        known.sort_unstable();
        known.dedup();
        if known.is_empty() || known.contains(&port) {
            return;
        }
        let of_service = workloads.iter().find_map(|workload| {
            known.iter().find_map(|own| {
                let place = Place { workload: workload.clone(), port: *own };
                let mut services = near::services_at(self.objects, &place).into_iter();
                services.find(|(_, of_service)| *of_service == port).map(|(service, _)| (service, *own))
            })
        });
        let listed: Vec<String> = known.iter().map(u16::to_string).collect();
        let message = match of_service {
            Some((service, own)) => format!(
                "{port} is the port of Service {service}, and none at which an application listens: write {own}, where it leads"
            ),
            None => {
                format!("no workload that it is for listens at {port}; they listen at {}", listed.join(", "))
            }
        };
        self.say("NoSuchPort", field, message);
    }
}
