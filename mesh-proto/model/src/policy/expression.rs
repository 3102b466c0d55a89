//! A call as expressions see it. It must not know what an expression is for.

use std::borrow::Cow;

use mesh_cel::{Found, Leaf, Program, Readings, Tree, Trouble, Variable, View};

use super::claims::Claim;
use super::fit::{Fit, Reading};
use super::{Attributes, Claims, paths};
use crate::authority::Authority;
use crate::head::HeadView;
use crate::spiffe::SpiffeId;

/// Whether an expression holds over a call. What has no answer fits a rule that denies and no rule that allows.
pub(super) fn fit<H: HeadView + ?Sized>(
    program: &Program,
    call: &Attributes<'_, H>,
    reading: Reading,
) -> Fit {
    match answer(program, call, reading) {
        Ok(holds) => holds.into(),
        Err(Trouble::Later) => Fit::Later,
        Err(Trouble::Failed(_)) => reading.unclear(),
    }
}

/// Whether an expression holds over a call, or why nobody can tell.
pub(super) fn answer<H: HeadView + ?Sized>(
    program: &Program,
    call: &Attributes<'_, H>,
    reading: Reading,
) -> Result<bool, Trouble> {
    let view = Seen { call };
    let readings = match reading {
        Reading::Any => Readings::Any,
        Reading::Every => Readings::Every,
    };
    program.evaluate(&view, readings)
}

struct Seen<'a, H: ?Sized> {
    call: &'a Attributes<'a, H>,
}

impl<H: HeadView + ?Sized> Seen<'_, H> {
    fn of_peer<'b>(&'b self, part: impl Fn(&'b SpiffeId) -> Cow<'b, str>) -> Found<'b> {
        match self.call.peer {
            Some(peer) => Found::Text(part(peer)),
            None => Found::Absent("the caller has no identity; ask with `connection.mtls` first"),
        }
    }

    /// Another mesh may have the same names, and a rule that allows one of ours must not allow its namesake.
    fn of_own_peer<'b>(&'b self, part: impl Fn(&'b SpiffeId) -> &'b str) -> Found<'b> {
        match self.call.peer {
            Some(peer) if peer.trust_domain() != self.call.trust_domain => {
                Found::Absent("the caller is of another trust domain; compare `source.identity`")
            }
            _ => self.of_peer(|peer| part(peer).into()),
        }
    }

    fn of_request<'b>(&'b self, part: impl Fn(&'b H) -> Found<'b>) -> Found<'b> {
        self.call.request.map_or(Found::Later, part)
    }
}

impl<H: HeadView + ?Sized> View for Seen<'_, H> {
    fn value(&self, variable: Variable) -> Found<'_> {
        let call = self.call;
        match variable {
            Variable::RequestMethod => self.of_request(|request| Found::Text(request.method().into())),
            Variable::RequestPath => self.of_request(|request| Found::Text(request.path().into())),
            Variable::RequestQuery => {
                self.of_request(|request| Found::Text(request.query().unwrap_or_default().into()))
            }
            Variable::RequestHost => self.of_request(|request| match Authority::parse(request.authority()) {
                Ok(authority) => Found::Text(authority.host.into()),
                Err(_) => Found::Absent("the request names no host"),
            }),
            Variable::SourceIdentity => self.of_peer(|peer| peer.to_string().into()),
            Variable::SourceNamespace => self.of_own_peer(SpiffeId::namespace),
            Variable::SourceServiceAccount => self.of_own_peer(SpiffeId::service_account),
            Variable::SourceTrustDomain => self.of_peer(|peer| peer.trust_domain().to_string().into()),
            Variable::SourceAddress => Found::Text(call.source.to_canonical().to_string().into()),
            Variable::DestinationPort => Found::Int(call.port.into()),
            Variable::ConnectionMtls => Found::Bool(call.peer.is_some()),
            Variable::ConnectionSni => match call.sni {
                Some(name) => Found::Text(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()),
                None => Found::Absent("no name is asked for in TLS; ask with `has(connection.sni)` first"),
            },
            Variable::JwtClaims => self.of_request(|_| match call.claims {
                Some(claims) => Found::Tree(claims),
                None => Found::Absent("the request has no verified token; ask with `has(jwt.claims)` first"),
            }),
            Variable::Ended(_) => Found::Absent("only what has ended has it"),
        }
    }

    fn other_paths(&self) -> Vec<Cow<'_, str>> {
        self.call.request.map(|request| paths::readings(request.path())).unwrap_or_default()
    }

    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) -> bool {
        let Some(request) = self.call.request else { return false };
        request.header_values(name, visit);
        true
    }
}

impl Tree for Claims {
    fn leaf(&self) -> Leaf<'_> {
        Leaf::Map
    }

    fn size(&self) -> usize {
        self.iter().count()
    }

    fn item(&self, _: usize) -> Option<&dyn Tree> {
        None
    }

    fn field(&self, name: &str) -> Option<&dyn Tree> {
        self.named(name).map(|claim| claim as &dyn Tree)
    }
}

impl Tree for Claim {
    fn leaf(&self) -> Leaf<'_> {
        match self {
            Self::Null => Leaf::Null,
            Self::Bool(value) => Leaf::Bool(*value),
            Self::Int(number) => Leaf::Int(*number),
            Self::Float(number) => Leaf::Double(*number),
            Self::Text(text) => Leaf::Text(text),
            Self::List(_) => Leaf::List,
            Self::Map(_) => Leaf::Map,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::List(entries) => entries.len(),
            Self::Map(entries) => entries.len(),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Text(_) => 0,
        }
    }

    fn item(&self, at: usize) -> Option<&dyn Tree> {
        let Self::List(entries) = self else { return None };
        entries.get(at).map(|entry| entry as &dyn Tree)
    }

    fn field(&self, name: &str) -> Option<&dyn Tree> {
        let Self::Map(entries) = self else { return None };
        super::claims::find(entries, name).map(|claim| claim as &dyn Tree)
    }
}
