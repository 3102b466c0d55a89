//! Whether a call fits a rule, and which field says that it does not. It must not know other rules.

use mesh_cel::{Program, Trouble};

use super::{
    Attributes, CallLists, CallerLists, Callers, Calls, Condition, GrpcCall, HostRule, Rule, expression,
    paths,
};
use crate::authority::Authority;
use crate::head::HeadView;
use crate::spiffe::SpiffeId;

/// Whether something fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fit {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Only a request can tell, and there is none.
    Later,
}

impl Fit {
    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Later => {
                if other() == Self::No {
                    Self::No
                } else {
                    Self::Later
                }
            }
        }
    }

    fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Yes => Self::Yes,
            Self::No => other(),
            Self::Later => {
                if other() == Self::Yes {
                    Self::Yes
                } else {
                    Self::Later
                }
            }
        }
    }

    fn negated(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Later => Self::Later,
        }
    }
}

impl From<bool> for Fit {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

/// Which of several readings of a call count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// One that fits is enough: for rules that deny.
    Any,
    /// All must fit: for rules that allow.
    Every,
}

impl Reading {
    /// What is excluded from a rule is read the other way round.
    fn opposite(self) -> Self {
        match self {
            Self::Any => Self::Every,
            Self::Every => Self::Any,
        }
    }

    /// The answer where nothing can be said for sure.
    pub(super) fn unclear(self) -> Fit {
        (self == Self::Any).into()
    }
}

/// Whether a field says what fits or what does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negation {
    /// Directly in the entry.
    Fits,
    /// Below `not`.
    Not,
}

/// A list that tells callers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerList {
    /// `identities`.
    Identities,
    /// `namespaces`.
    Namespaces,
    /// `serviceAccounts`.
    Accounts,
    /// `trustDomains`.
    TrustDomains,
    /// `cidrs`.
    Cidrs,
}

/// A list that tells calls apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallList {
    /// `ports`.
    Ports,
    /// `methods`.
    Methods,
    /// `paths`.
    Paths,
    /// `hosts`.
    Hosts,
    /// `grpc`.
    Grpc,
    /// `sni`.
    Sni,
}

/// The field of a rule that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// No entry of `from` fits, of several.
    From,
    /// A list of the only entry of `from`.
    Callers(usize, Negation, CallerList),
    /// No entry of `to` fits, of several.
    To,
    /// A list of the only entry of `to`.
    Calls(usize, Negation, CallList),
    /// An entry of `when`.
    When(usize),
}

/// A rule that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// Whether the call fits.
    pub fit: Fit,
    /// What does not fit, or waits for a request; `None` where all fits.
    pub place: Option<Place>,
}

impl Rule {
    /// Whether the call fits.
    pub(super) fn fit<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>, reading: Reading) -> Fit {
        self.fit_but_when(call, reading).and(|| all(&self.when, |condition| condition.fit(call, reading)))
    }

    fn fit_but_when<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>, reading: Reading) -> Fit {
        let from = some(&self.from, |callers| callers.fit(call, reading));
        from.and(|| some(&self.to, |calls| calls.fit(call, reading)))
    }

    /// Whether the call fits, and what decides it.
    pub(super) fn look<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>, reading: Reading) -> Looked {
        let fit = self.fit(call, reading);
        let place = match fit {
            Fit::Yes => None,
            Fit::No | Fit::Later => self.place(call, reading, fit),
        };
        Looked { fit, place }
    }

    fn place<H: HeadView + ?Sized>(
        &self,
        call: &Attributes<'_, H>,
        reading: Reading,
        wanted: Fit,
    ) -> Option<Place> {
        let from = || match self.from.as_slice() {
            [] => None,
            [one] => one
                .lists(call, reading)
                .find(|(_, _, fit)| *fit == wanted)
                .map(|(not, list, _)| Place::Callers(0, not, list)),
            several => (some(several, |callers| callers.fit(call, reading)) == wanted).then_some(Place::From),
        };
        let to = || match self.to.as_slice() {
            [] => None,
            [one] => one
                .lists(call, reading)
                .find(|(_, _, fit)| *fit == wanted)
                .map(|(not, list, _)| Place::Calls(0, not, list)),
            several => (some(several, |calls| calls.fit(call, reading)) == wanted).then_some(Place::To),
        };
        let when =
            || self.when.iter().position(|condition| condition.fit(call, reading) == wanted).map(Place::When);
        from().or_else(to).or_else(when)
    }

    /// The first expression without an answer, if callers and calls fit otherwise: which entry of `when`, and why.
    pub(super) fn unanswered<H: HeadView + ?Sized>(
        &self,
        call: &Attributes<'_, H>,
        reading: Reading,
    ) -> Option<(usize, String)> {
        if self.fit_but_when(call, reading) == Fit::No {
            return None;
        }
        self.when.iter().enumerate().find_map(|(at, condition)| {
            match expression::answer(condition.expression()?, call, reading) {
                Err(Trouble::Failed(why)) => Some((at, why.into_owned())),
                Ok(_) | Err(Trouble::Later) => None,
            }
        })
    }

    /// Whether it asks for something that only a request has.
    pub(super) fn needs_request(&self) -> bool {
        let of_calls = |lists: &CallLists| {
            !(lists.methods.is_empty()
                && lists.paths.is_empty()
                && lists.hosts.is_empty()
                && lists.grpc.is_empty())
        };
        self.when.iter().any(Condition::needs_request)
            || self.to.iter().any(|calls| of_calls(&calls.fits) || of_calls(&calls.not))
    }

    /// Whether it asks for the name in a client's own TLS.
    pub(super) fn needs_sni(&self) -> bool {
        self.to.iter().any(|calls| !(calls.fits.sni.is_empty() && calls.not.sni.is_empty()))
            || self.when.iter().any(|condition| condition.expression().is_some_and(Program::needs_sni))
    }
}

/// Whether one of them fits; none is as if all did.
fn some<T>(entries: &[T], fit: impl Fn(&T) -> Fit) -> Fit {
    if entries.is_empty() {
        return Fit::Yes;
    }
    entries.iter().fold(Fit::No, |so_far, entry| so_far.or(|| fit(entry)))
}

fn all<T>(entries: &[T], fit: impl Fn(&T) -> Fit) -> Fit {
    entries.iter().fold(Fit::Yes, |so_far, entry| so_far.and(|| fit(entry)))
}

impl Callers {
    fn fit<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>, reading: Reading) -> Fit {
        self.lists(call, reading).fold(Fit::Yes, |so_far, (_, _, fit)| so_far.and(|| fit))
    }

    /// Every list that says something, and whether the caller fits it.
    fn lists<H: HeadView + ?Sized>(
        &self,
        call: &Attributes<'_, H>,
        reading: Reading,
    ) -> impl Iterator<Item = (Negation, CallerList, Fit)> {
        const LISTS: [CallerList; 5] = [
            CallerList::Identities,
            CallerList::Namespaces,
            CallerList::Accounts,
            CallerList::TrustDomains,
            CallerList::Cidrs,
        ];
        let fits = LISTS.into_iter().filter_map(move |list| {
            self.fits.fit(list, call, reading).map(|fit| (Negation::Fits, list, fit.into()))
        });
        let not = LISTS.into_iter().filter_map(move |list| {
            let fit = self.not.fit(list, call, reading.opposite())?;
            // Who cannot be known may well be whom the list excludes.
            let unknown = call.peer.is_none() && list != CallerList::Cidrs;
            Some((Negation::Not, list, if unknown { reading.unclear() } else { Fit::from(!fit) }))
        });
        fits.chain(not)
    }
}

/// Whether some entry fits; `None` where there is none.
fn any_of<T>(entries: &[T], fits: impl Fn(&T) -> bool) -> Option<bool> {
    (!entries.is_empty()).then(|| entries.iter().any(fits))
}

impl CallerLists {
    /// `None`: the list is empty and says nothing.
    fn fit<H: HeadView + ?Sized>(
        &self,
        list: CallerList,
        call: &Attributes<'_, H>,
        reading: Reading,
    ) -> Option<bool> {
        let peer = call.peer;
        // A name means the one in the mesh's own trust domain, unless the rule names others: another mesh may have the same names.
        let meant = peer.is_some_and(|peer| {
            reading == Reading::Any
                || !self.trust_domains.is_empty()
                || peer.trust_domain() == call.trust_domain
        });
        match list {
            CallerList::Identities => any_of(&self.identities, |one| peer == Some(one)),
            CallerList::Namespaces => {
                any_of(&self.namespaces, |one| meant && peer.is_some_and(|peer| peer.namespace() == one))
            }
            CallerList::Accounts => any_of(&self.accounts, |one| {
                let same = |peer: &SpiffeId| {
                    (one.namespace(), one.name()) == (peer.namespace(), peer.service_account())
                };
                meant && peer.is_some_and(same)
            }),
            CallerList::TrustDomains => {
                any_of(&self.trust_domains, |one| peer.is_some_and(|peer| peer.trust_domain() == one))
            }
            CallerList::Cidrs => any_of(&self.cidrs, |cidr| cidr.contains(call.source)),
        }
    }
}

impl Calls {
    fn fit<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>, reading: Reading) -> Fit {
        self.lists(call, reading).fold(Fit::Yes, |so_far, (_, _, fit)| so_far.and(|| fit))
    }

    /// Every list that says something, and whether the call fits it.
    fn lists<H: HeadView + ?Sized>(
        &self,
        call: &Attributes<'_, H>,
        reading: Reading,
    ) -> impl Iterator<Item = (Negation, CallList, Fit)> {
        const LISTS: [CallList; 6] = [
            CallList::Ports,
            CallList::Sni,
            CallList::Methods,
            CallList::Paths,
            CallList::Hosts,
            CallList::Grpc,
        ];
        let fits = LISTS.into_iter().filter_map(move |list| {
            self.fits.fit(list, call, reading).map(|fit| (Negation::Fits, list, fit))
        });
        let not = LISTS.into_iter().filter_map(move |list| {
            self.not.fit(list, call, reading.opposite()).map(|fit| (Negation::Not, list, fit.negated()))
        });
        fits.chain(not)
    }
}

impl CallLists {
    /// `None`: the list is empty and says nothing.
    fn fit<H: HeadView + ?Sized>(
        &self,
        list: CallList,
        call: &Attributes<'_, H>,
        reading: Reading,
    ) -> Option<Fit> {
        let says_nothing = match list {
            CallList::Ports => return any_of(&self.ports, |port| *port == call.port).map(Fit::from),
            CallList::Sni => return sni_fits(&self.sni, call.sni).map(Fit::from),
            CallList::Methods => self.methods.is_empty(),
            CallList::Paths => self.paths.is_empty(),
            CallList::Hosts => self.hosts.is_empty(),
            CallList::Grpc => self.grpc.is_empty(),
        };
        if says_nothing {
            return None;
        }
        Some(call.request.map_or(Fit::Later, |request| self.request_fits(list, request, reading)))
    }

    fn request_fits<H: HeadView + ?Sized>(&self, list: CallList, request: &H, reading: Reading) -> Fit {
        match (list, reading) {
            (CallList::Methods, _) => self.methods.iter().any(|method| method == request.method()).into(),
            (CallList::Paths, Reading::Any) => paths::any_fits(&self.paths, request.path()).into(),
            (CallList::Paths, Reading::Every) => paths::every_fits(&self.paths, request.path()).into(),
            (CallList::Hosts, _) => host_fits(&self.hosts, request, reading),
            (CallList::Grpc, _) => {
                let fits = |path: &str| self.grpc.iter().any(|call| call.fits(path));
                match reading {
                    Reading::Any => paths::any_reading(request.path(), fits).into(),
                    Reading::Every => paths::every_reading(request.path(), fits).into(),
                }
            }
            // They are no part of a request.
            (CallList::Ports | CallList::Sni, _) => Fit::Later,
        }
    }
}

fn sni_fits(rules: &[HostRule], sni: Option<&str>) -> Option<bool> {
    let name = sni.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
    any_of(rules, |rule| name.as_deref().is_some_and(|name| rule.fits(name)))
}

/// Case, port and a final dot mean nothing. What is no host could be any.
fn host_fits<H: HeadView + ?Sized>(rules: &[HostRule], request: &H, reading: Reading) -> Fit {
    match Authority::parse(request.authority()) {
        Ok(authority) => rules.iter().any(|rule| rule.fits(&authority.host)).into(),
        Err(_) => reading.unclear(),
    }
}

impl GrpcCall {
    fn fits(&self, path: &str) -> bool {
        let mut parts = path.splitn(3, '/');
        let (Some(""), Some(service), Some(method)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        service == self.service && self.method.as_deref().is_none_or(|wanted| wanted == method)
    }
}

impl Condition {
    /// Whether it asks for more of a request than its method, path and host, or may do so.
    pub(super) fn needs_request(&self) -> bool {
        self.expression().is_none_or(Program::needs_request)
    }

    /// The expression that it is, if it is one.
    pub(super) fn expression(&self) -> Option<&Program> {
        match self {
            Self::Cel(program) => Some(program),
            Self::Header { .. } | Self::HeaderPresent { .. } | Self::Claim { .. } => None,
        }
    }

    pub(super) fn fit<H: HeadView + ?Sized>(&self, call: &Attributes<'_, H>, reading: Reading) -> Fit {
        if let Self::Cel(program) = self {
            return expression::fit(program, call, reading);
        }
        let Some(request) = call.request else { return Fit::Later };
        match self {
            // It is looked at above: it may need no request.
            Self::Cel(_) => Fit::Later,
            Self::Header { name, values } => header_fits(name, values, request, reading).into(),
            Self::HeaderPresent { name, present } => {
                let mut there = false;
                request.header_values(name, &mut |_| there = true);
                (there == *present).into()
            }
            Self::Claim { path, values } => {
                let claim = call.claims.and_then(|claims| claims.find(path));
                claim.is_some_and(|claim| values.iter().any(|value| claim.is(value))).into()
            }
        }
    }
}

/// A header may come several times, and may have several members with commas between them. For [`Reading::Any`] one value or member
/// that fits is enough, and one that is no text could be any; for [`Reading::Every`] there must be one, and all must fit.
fn header_fits<H: HeadView + ?Sized>(name: &str, wanted: &[String], request: &H, reading: Reading) -> bool {
    let is = |text: &str| wanted.iter().any(|one| one == text);
    let (mut any, mut every, mut there) = (false, true, false);
    request.header_values(name, &mut |value| {
        there = true;
        let Ok(text) = std::str::from_utf8(value) else {
            (any, every) = (true, false);
            return;
        };
        let text = text.trim_matches([' ', '\t']);
        let mut members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
        any |= is(text) || members.clone().any(is);
        every &= is(text) || members.all(is);
    });
    match reading {
        Reading::Any => any,
        Reading::Every => there && every,
    }
}
