//! A call as plain data.

use std::borrow::Cow;

use crate::{Ended, Found, Leaf, Tree, Variable, View};

#[derive(Debug, Clone)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Tree for Json {
    fn leaf(&self) -> Leaf<'_> {
        match self {
            Self::Null => Leaf::Null,
            Self::Bool(value) => Leaf::Bool(*value),
            Self::Int(value) => Leaf::Int(*value),
            Self::Double(value) => Leaf::Double(*value),
            Self::Text(text) => Leaf::Text(text),
            Self::List(_) => Leaf::List,
            Self::Map(_) => Leaf::Map,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::List(entries) => entries.len(),
            Self::Map(entries) => entries.len(),
            _ => 0,
        }
    }

    fn item(&self, at: usize) -> Option<&dyn Tree> {
        let Self::List(entries) = self else { return None };
        entries.get(at).map(|entry| entry as &dyn Tree)
    }

    fn field(&self, name: &str) -> Option<&dyn Tree> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(known, _)| known == name).map(|(_, value)| value as &dyn Tree)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) request: bool,
    pub(super) path: &'static str,
    pub(super) other_paths: Vec<&'static str>,
    pub(super) headers: Vec<(&'static str, Vec<Vec<u8>>)>,
    pub(super) claims: Option<Json>,
    pub(super) peer: bool,
}

impl Call {
    pub(super) fn example() -> Self {
        let text = |text: &str| Json::Text(text.into());
        let realm = Json::Map(vec![("roles".into(), Json::List(vec![text("admin"), text("dev")]))]);
        let claims = Json::Map(vec![
            ("sub".into(), text("ann")),
            ("realm".into(), realm),
            ("level".into(), Json::Int(3)),
            ("ok".into(), Json::Bool(true)),
            ("nothing".into(), Json::Null),
        ]);
        Self {
            request: true,
            path: "/orders/7",
            other_paths: vec![],
            headers: vec![("x-role", vec![b"admin".to_vec()])],
            claims: Some(claims),
            peer: true,
        }
    }
}

impl View for Call {
    fn value(&self, variable: Variable) -> Found<'_> {
        if variable.needs_request() && !self.request {
            return Found::Later;
        }
        let of_peer = |text: &'static str| {
            if self.peer { Found::Text(text.into()) } else { Found::Absent("the caller has no identity") }
        };
        match variable {
            Variable::RequestMethod => Found::Text("GET".into()),
            Variable::RequestPath => Found::Text(self.path.into()),
            Variable::RequestQuery => Found::Text("a=1&b".into()),
            Variable::RequestHost => Found::Text("web.shop".into()),
            Variable::SourceIdentity => of_peer("spiffe://mesh.test/ns/shop/sa/web"),
            Variable::SourceNamespace => of_peer("shop"),
            Variable::SourceServiceAccount => of_peer("web"),
            Variable::SourceTrustDomain => of_peer("mesh.test"),
            Variable::SourceAddress => Found::Text("10.0.0.1".into()),
            Variable::DestinationPort => Found::Int(8080),
            Variable::ConnectionMtls => Found::Bool(self.peer),
            Variable::ConnectionSni => Found::Absent("no name is asked for in TLS"),
            Variable::JwtClaims => self
                .claims
                .as_ref()
                .map_or(Found::Absent("the request has no token"), |claims| Found::Tree(claims)),
            Variable::Ended(Ended::ResponseCode) => Found::Int(503),
            Variable::Ended(Ended::ResponseFailure) => Found::Text("no_endpoints".into()),
            Variable::Ended(_) => Found::Absent("nothing is known of it"),
        }
    }

    fn other_paths(&self) -> Vec<Cow<'_, str>> {
        self.other_paths.iter().copied().map(Cow::Borrowed).collect()
    }

    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) -> bool {
        let own = self.headers.iter().filter(|(known, _)| *known == name);
        if self.request {
            own.flat_map(|(_, values)| values).for_each(|value| visit(value));
        }
        self.request
    }

    fn answer_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) -> bool {
        if name == "retry-after" {
            visit(b"1");
        }
        true
    }
}
