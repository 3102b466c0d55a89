//! What may have been meant where a call does not fit a rule: names that differ by a letter, a namespace or a trust domain, ports of a Service
//! in place of the application's, paths without their glob, headers with another hyphen. Pure. It must not decide: a hint is said beside
//! a verdict that stands.

use mesh_model::head::HeadView;
use mesh_model::name::{Name, ServiceName};
use mesh_model::policy::claims::Claim;
use mesh_model::policy::{
    Attributes, CallList, CallLists, CallerList, CallerLists, Condition, HostRule, Negation, PathRule,
    Place as Field, Rule,
};
use mesh_model::spiffe::SpiffeId;

use super::{Objects, Peer, Place, token};

/// Letters by which a name may differ from the one that was meant.
const SLIPS: usize = 2;

/// What is known of a call that does not fit.
pub(super) struct Near<'a> {
    pub(super) objects: &'a Objects,
    pub(super) place: &'a Place,
    /// As it is, whatever the place sees of it.
    pub(super) peer: &'a Peer,
    pub(super) attributes: &'a Attributes<'a, dyn HeadView + 'a>,
}

impl Near<'_> {
    /// What may have been meant by the field that does not fit.
    pub(super) fn hint(&self, rule: &Rule, field: Field) -> Option<String> {
        match field {
            Field::Callers(at, Negation::Fits, list) => self.caller(&rule.from.get(at)?.fits, list),
            Field::Calls(at, Negation::Fits, list) => self.call(&rule.to.get(at)?.fits, list),
            Field::Callers(_, Negation::Not, _) => self.unseen(),
            Field::Calls(_, Negation::Not, _) => None,
            // Of several entries any may be the one that was meant.
            Field::From => rule
                .from
                .iter()
                .find_map(|entry| CALLER_LISTS.into_iter().find_map(|list| self.caller(&entry.fits, list))),
            Field::To => rule
                .to
                .iter()
                .find_map(|entry| CALL_LISTS.into_iter().find_map(|list| self.call(&entry.fits, list))),
            Field::When(at) => self.condition(rule.when.get(at)?),
        }
    }

    /// Why somebody with a certificate is seen without one.
    fn unseen(&self) -> Option<String> {
        let identity = self.peer.identity.as_ref().filter(|_| self.attributes.peer.is_none())?;
        let (rule, field) = super::mtls(self.objects, self.place);
        let source = if rule.source.is_empty() { "the default" } else { &rule.source };
        Some(format!(
            "{identity} calls in plaintext there, since {field} of {source} is Disabled: nobody shows an identity"
        ))
    }

    fn caller(&self, lists: &CallerLists, list: CallerList) -> Option<String> {
        if list == CallerList::Cidrs {
            let own = self.peer.address.filter(|own| *own != self.attributes.source)?;
            let cidr = lists.cidrs.iter().find(|cidr| cidr.contains(own))?;
            return Some(format!(
                "the caller itself is at {own}, which {cidr} has: something on the way, such as NAT or a gateway, shows an address of its own; name who calls by serviceAccounts"
            ));
        }
        let Some(peer) = self.attributes.peer else {
            let says = !(lists.identities.is_empty()
                && lists.namespaces.is_empty()
                && lists.accounts.is_empty()
                && lists.trust_domains.is_empty());
            return self.unseen().filter(|_| says);
        };
        match list {
            CallerList::Identities => lists.identities.iter().find_map(|wanted| self.identity(wanted, peer)),
            CallerList::Accounts => {
                let is = Name::new(peer.namespace(), peer.service_account()).ok()?;
                let domain = (lists.accounts.contains(&is) && peer.trust_domain() != self.attributes.trust_domain)
                    .then(|| format!("service accounts are those of this mesh, {}, unless trustDomains says another; the caller is of {}", self.attributes.trust_domain, peer.trust_domain()));
                domain.or_else(|| lists.accounts.iter().find_map(|wanted| self.account(wanted, &is)))
            }
            CallerList::Namespaces => lists.namespaces.iter().find_map(|wanted| namespace(wanted, peer)),
            CallerList::TrustDomains => {
                let domain = peer.trust_domain().as_str();
                let near = lists.trust_domains.iter().find(|wanted| slip(wanted.as_str(), domain))?;
                Some(format!("`{near}` is written, `{domain}` may be meant"))
            }
            CallerList::Cidrs => None,
        }
    }

    fn identity(&self, wanted: &SpiffeId, peer: &SpiffeId) -> Option<String> {
        let path = |id: &SpiffeId| (id.namespace().to_owned(), id.service_account().to_owned());
        if path(wanted) == path(peer) {
            return Some(format!(
                "they differ in the trust domain alone: `{}` is written, the caller is of `{}`",
                wanted.trust_domain(),
                peer.trust_domain()
            ));
        }
        if wanted.trust_domain() != peer.trust_domain() {
            return None;
        }
        let (namespace, account) = path(wanted);
        let (wanted, is) = (
            Name::new(&namespace, &account).ok()?,
            Name::new(peer.namespace(), peer.service_account()).ok()?,
        );
        self.account(&wanted, &is)
    }

    fn account(&self, wanted: &Name, is: &Name) -> Option<String> {
        if wanted.name() == is.name() {
            return Some(format!(
                "they differ in the namespace alone: `{wanted}` is written, the caller is `{is}`; a name without a namespace is of the policy's own"
            ));
        }
        if wanted.namespace() == is.namespace() && slip(wanted.name(), is.name()) {
            return Some(format!("`{wanted}` is written, `{is}` may be meant"));
        }
        let workload = mesh_model::name::WorkloadName(wanted.clone());
        let meant = super::peer_of(self.objects, &workload)?.identity?;
        ((meant.namespace(), meant.service_account()) == (is.namespace(), is.name())).then(|| {
            format!("`{wanted}` is a workload; its service account, which is what is compared, is `{is}`")
        })
    }

    fn call(&self, lists: &CallLists, list: CallList) -> Option<String> {
        let port = self.attributes.port;
        if list == CallList::Ports {
            let leading = lists.ports.iter().find_map(|wanted| {
                services_at(self.objects, self.place).into_iter().find(|(_, of_service)| of_service == wanted)
            });
            let (service, wanted) = leading?;
            return Some(format!(
                "{wanted} is the port of Service {service}; rules name the application's own port, its targetPort: write {port}"
            ));
        }
        let request = self.attributes.request?;
        match list {
            CallList::Paths => lists.paths.iter().find_map(|wanted| path(wanted, request.path())),
            CallList::Hosts => lists.hosts.iter().find_map(|wanted| self.host(wanted, request.authority())),
            CallList::Methods => lists
                .methods
                .iter()
                .find(|wanted| wanted.eq_ignore_ascii_case(request.method()))
                .map(|wanted| format!("methods are compared by letters: `{wanted}` is written")),
            CallList::Grpc => lists.grpc.iter().find_map(|wanted| {
                let path = request.path().trim_start_matches('/');
                let (service, method) = path.split_once('/')?;
                let bare = service.rsplit('.').next().unwrap_or(service);
                let same_method = wanted.method.as_deref().is_none_or(|wanted| wanted == method);
                let same = format!("{service}/{method}").eq_ignore_ascii_case(&wanted.to_string());
                ((wanted.service == bare && bare != service && same_method) || same).then(|| {
                    format!("`{wanted}` is written, the call is `{path}`: the package is part of the name")
                })
            }),
            CallList::Ports | CallList::Sni => None,
        }
    }

    fn host(&self, wanted: &HostRule, authority: &str) -> Option<String> {
        let HostRule::Exact(wanted) = wanted else { return None };
        let host = authority.split(':').next().unwrap_or(authority);
        let namespace = self.place.workload.0.namespace();
        let meant = super::service_named(wanted, namespace)?;
        let same = super::service_named(host, namespace).as_ref() == Some(&meant);
        (same && self.objects.compiled.services.contains_key(&meant)).then(|| {
            format!("both mean Service {meant}, but hosts are compared as they are sent: write every form, or leave hosts out")
        })
    }

    fn condition(&self, condition: &Condition) -> Option<String> {
        let request = self.attributes.request?;
        match condition {
            Condition::Header { name, values: wanted } => {
                let found = values(request, name);
                let is = |text: &String| wanted.contains(text);
                if found.is_empty() {
                    return other_spelling(request, name);
                }
                if found.iter().any(is) && !found.iter().all(is) {
                    return Some(
                        "a rule that allows fits only if every value of the header is among those that are written".to_owned(),
                    );
                }
                let near =
                    wanted.iter().find(|one| found.iter().any(|value| one.eq_ignore_ascii_case(value)))?;
                Some(format!("values are literals: `{near}` is written"))
            }
            Condition::HeaderPresent { name, present: true } => other_spelling(request, name),
            // What an expression came to is said in full where it does not hold.
            Condition::HeaderPresent { present: false, .. } | Condition::Cel(_) => None,
            Condition::Claim { path, .. } => self.claim(path),
        }
    }

    fn claim(&self, path: &str) -> Option<String> {
        if token::rules(self.objects, self.place).is_none() {
            return Some(
                "no AuthenticationPolicy asks for tokens there, so that no request has claims: write one with spec.jwt".to_owned(),
            );
        }
        let claims = self.attributes.claims?;
        // A claim inside of another one that is asked for by its bare name.
        let (outer, _) = claims.iter().find(|(_, claim)| match claim {
            Claim::Map(inner) => inner.iter().any(|(name, _)| name == path),
            Claim::Null
            | Claim::Bool(_)
            | Claim::Int(_)
            | Claim::Float(_)
            | Claim::Text(_)
            | Claim::List(_) => false,
        })?;
        Some(format!("it is inside of claim {outer}: write /{outer}/{path}"))
    }
}

const CALLER_LISTS: [CallerList; 5] = [
    CallerList::Identities,
    CallerList::Namespaces,
    CallerList::Accounts,
    CallerList::TrustDomains,
    CallerList::Cidrs,
];

const CALL_LISTS: [CallList; 6] =
    [CallList::Ports, CallList::Sni, CallList::Methods, CallList::Paths, CallList::Hosts, CallList::Grpc];

fn namespace(wanted: &str, peer: &SpiffeId) -> Option<String> {
    if wanted == peer.service_account() {
        let is = format!("{}/{}", peer.namespace(), peer.service_account());
        return Some(format!("`{wanted}` is a service account: write serviceAccounts: [{is}]"));
    }
    slip(wanted, peer.namespace())
        .then(|| format!("`{wanted}` is written, `{}` may be meant", peer.namespace()))
}

fn path(wanted: &PathRule, path: &str) -> Option<String> {
    let bare = match wanted {
        PathRule::Exact(bare) | PathRule::Under(bare) => bare.as_str(),
    };
    let below = |bare: &str| path.strip_prefix(bare).is_some_and(|rest| rest.starts_with('/'));
    if let PathRule::Exact(exact) = wanted {
        if exact.trim_end_matches('/') == path.trim_end_matches('/') {
            return Some(format!(
                "`{exact}` differs from it in the slash at the end, and another path is meant by that; write both, or `{}/*`",
                exact.trim_end_matches('/')
            ));
        }
        if below(exact) {
            return Some(format!(
                "`{exact}` means that path alone; write `{exact}/*` for everything below it too"
            ));
        }
    }
    let length = bare.len().min(path.len());
    let same = path.get(..length).zip(bare.get(..length));
    let cased = same.is_some_and(|(a, b)| a != b && a.eq_ignore_ascii_case(b)) && path.len() >= bare.len();
    cased.then(|| format!("`{wanted}` differs from it in capital letters, which count"))
}

/// A header that is there with the other of `-` and `_`.
fn other_spelling(request: &dyn HeadView, name: &str) -> Option<String> {
    let swapped = |from: char, to: char| name.replace(from, &to.to_string());
    let others = [swapped('_', '-'), swapped('-', '_')];
    let there = others.into_iter().find(|other| other != name && !values(request, other).is_empty())?;
    Some(format!("the request has `{there}`: `-` and `_` are different letters"))
}

/// Every value of a header, lists taken apart.
fn values(request: &dyn HeadView, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    request.header_values(name, &mut |value| {
        let text = String::from_utf8_lossy(value);
        found.extend(text.split(',').map(|member| member.trim().to_owned()));
    });
    found
}

/// Services that lead to a place, each with its own port.
pub(super) fn services_at(objects: &Objects, place: &Place) -> Vec<(ServiceName, u16)> {
    let mut found = Vec::new();
    for (service, (_, endpoints)) in &objects.compiled.services {
        for port in &endpoints.ports {
            let mut own = port.endpoints.iter().filter(|one| one.workload.as_ref() == Some(&place.workload));
            if own.any(|one| super::place(objects, service, port.service_port, one).as_ref() == Some(place)) {
                found.push((service.clone(), port.service_port));
            }
        }
    }
    found
}

/// Whether one text may be a slip for another: two letters of it at most, and not most of it.
pub(super) fn slip(written: &str, meant: &str) -> bool {
    let most = SLIPS.min(written.chars().count().min(meant.chars().count()) / 3);
    written != meant && (distance(written, meant) <= most || plain(written) == plain(meant))
}

/// Without what separates words.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

/// Letters that have to be added, taken away or replaced (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut before = at;
        let mut left = at + 1;
        let mut next = vec![left];
        for (above, theirs) in row.iter().skip(1).zip(&other) {
            left = (before + usize::from(letter != *theirs)).min(above + 1).min(left + 1);
            before = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_a_letter_or_two_and_not_another_word() {
        for (written, meant, is) in [
            ("wbe", "web", false),
            ("web-frontnd", "web-frontend", true),
            ("web.frontend", "web-frontend", true),
            ("webfrontend", "web-frontend", true),
            ("ordres", "orders", true),
            ("orders", "orders", false),
            ("cart", "card", true),
            ("web", "cart", false),
            ("billing", "shipping", false),
        ] {
            assert_eq!(slip(written, meant), is, "{written} for {meant}");
        }
    }

    #[test]
    fn letters_are_counted() {
        for (one, other, letters) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("shop", "shpo", 2),
            ("a", "b", 1),
        ] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
        }
    }

    #[test]
    fn paths_that_are_nearly_the_same_are_told_apart() {
        let hint = |rule: &str, asked: &str| path(&PathRule::parse(rule).unwrap(), asked);
        for (rule, asked, wanted) in [
            ("/orders", "/orders/", "slash at the end"),
            ("/orders/", "/orders", "slash at the end"),
            ("/orders", "/orders/7", "write `/orders/*`"),
            ("/Orders/*", "/orders/7", "capital letters"),
            ("/orders", "/Orders", "capital letters"),
        ] {
            assert!(
                hint(rule, asked).unwrap_or_default().contains(wanted),
                "{rule} {asked}: {:?}",
                hint(rule, asked)
            );
        }
        assert_eq!(hint("/orders/*", "/carts/1"), None);
    }
}
