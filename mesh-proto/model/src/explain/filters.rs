//! What filters make of a request, one after the other. It must not decide: it asks [`super::edit`] and [`super::cors`].

use super::{BackendTarget, CorsAnswer, Filter, HeadView, Match, RedirectAnswer, cors, edit};
use crate::route::edit::HeaderStore;
use crate::route::matching::header_value;
use crate::traffic::Ppm;

/// A filter and what it does to this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterStep {
    /// The field, as `spec.rules[0].filters[1]`.
    pub field: String,
    /// The filter.
    pub filter: Filter,
    /// What comes of it.
    pub effect: Effect,
}

/// What a filter does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The request goes on with this path (without query) and authority, and with these headers changed: the new value, or none if it
    /// was taken away.
    Forwarded {
        /// The path.
        path: String,
        /// The authority.
        authority: String,
        /// Headers that this filter changed.
        headers: Vec<(String, Option<String>)>,
    },
    /// The response will be changed.
    Response,
    /// The request is answered; what follows is not looked at.
    Redirect(RedirectAnswer),
    /// A preflight is answered, and what follows is not looked at; other requests go on.
    Cors(CorsAnswer),
    /// A copy of this share goes there.
    Mirrored(Ppm),
    /// A service is asked; what it says is not known here.
    Asked,
    /// The service that is to be asked cannot be resolved: the request is refused, and what follows is not looked at.
    Refused,
}

/// A request as filters have left it so far.
#[derive(Debug)]
pub(super) struct Draft<'a, H: ?Sized> {
    original: &'a H,
    path: String,
    authority: String,
    /// Changed headers, the present value of each; `None`: taken away.
    changed: Vec<(String, Option<String>)>,
}

impl<H: ?Sized> Clone for Draft<'_, H> {
    fn clone(&self) -> Self {
        let Self { original, path, authority, changed } = self;
        Self { original, path: path.clone(), authority: authority.clone(), changed: changed.clone() }
    }
}

impl<'a, H: HeadView + ?Sized> Draft<'a, H> {
    pub(super) fn new(original: &'a H) -> Self {
        let (path, authority) = (original.path().to_owned(), original.authority().to_owned());
        Self { original, path, authority, changed: Vec::new() }
    }

    fn put(&mut self, name: &str, value: Option<String>) {
        // The mesh keeps the authority apart from the headers.
        if name == "host" {
            if let Some(value) = value {
                self.authority = value;
            }
            return;
        }
        self.changed.retain(|(own, _)| own != name);
        self.changed.push((name.to_owned(), value));
    }
}

impl<H: HeadView + ?Sized> HeadView for Draft<'_, H> {
    fn method(&self) -> &str {
        self.original.method()
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&str> {
        self.original.query()
    }
    fn authority(&self) -> &str {
        &self.authority
    }
    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        match self.changed.iter().find(|(own, _)| own == name) {
            Some((_, Some(value))) => visit(value.as_bytes()),
            Some((_, None)) => {}
            None => self.original.header_values(name, visit),
        }
    }
}

impl<H: HeadView + ?Sized> HeaderStore for Draft<'_, H> {
    fn set(&mut self, name: &str, value: &str) {
        self.put(name, Some(value.to_owned()));
    }
    fn append(&mut self, name: &str, value: &str) {
        let joined = match header_value(name, self) {
            Some(old) => format!("{},{value}", String::from_utf8_lossy(&old)),
            None => value.to_owned(),
        };
        self.put(name, Some(joined));
    }
    fn remove(&mut self, name: &str) {
        self.put(name, None);
    }
}

/// Applies filters in order, until one answers.
pub(super) fn steps<H: HeadView + ?Sized>(
    filters: &[Filter],
    field: &str,
    matched: &Match,
    draft: &mut Draft<'_, H>,
    port: u16,
) -> Vec<FilterStep> {
    let mut steps = Vec::new();
    for (at, filter) in filters.iter().enumerate() {
        let effect = effect(filter, matched, draft, port);
        let ends = matches!(
            effect,
            Effect::Redirect(_) | Effect::Refused | Effect::Cors(CorsAnswer::Preflight { .. })
        );
        steps.push(FilterStep { field: format!("{field}.filters[{at}]"), filter: filter.clone(), effect });
        if ends {
            break;
        }
    }
    steps
}

fn effect<H: HeadView + ?Sized>(
    filter: &Filter,
    matched: &Match,
    draft: &mut Draft<'_, H>,
    port: u16,
) -> Effect {
    match filter {
        Filter::RequestHeaders(change) => {
            let before = draft.changed.clone();
            edit::edit_headers(change, draft);
            let changed = draft.changed.iter().filter(|one| !before.contains(one)).cloned().collect();
            draft.forwarded(changed)
        }
        Filter::ResponseHeaders(_) => Effect::Response,
        Filter::Redirect(to) => Effect::Redirect(edit::redirect(to, matched, draft, "http", port)),
        Filter::Rewrite(rewrite) => {
            if let Some(path) = &rewrite.path {
                draft.path = edit::rewrite_path(path, matched, &draft.path);
            }
            if let Some(host) = &rewrite.hostname {
                draft.authority.clone_from(host);
            }
            draft.forwarded(Vec::new())
        }
        Filter::Cors(rules) => Effect::Cors(cors::decide(rules, draft)),
        Filter::ExternalAuth(auth) => match auth.target {
            BackendTarget::Service { .. } => Effect::Asked,
            BackendTarget::Invalid { .. } => Effect::Refused,
        },
        Filter::Mirror(mirror) => Effect::Mirrored(match &mirror.target {
            BackendTarget::Service { .. } => mirror.share,
            BackendTarget::Invalid { .. } => Ppm(0),
        }),
    }
}

impl<H: ?Sized> Draft<'_, H> {
    fn forwarded(&self, headers: Vec<(String, Option<String>)>) -> Effect {
        Effect::Forwarded { path: self.path.clone(), authority: self.authority.clone(), headers }
    }
}
