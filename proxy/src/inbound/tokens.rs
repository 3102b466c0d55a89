//! Tokens of users on the way in: found, verified, turned into headers, taken out. What was verified is kept by its hash for as long as it
//! is good, so that a signature is verified once for many requests. It must not know where keys come from.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use http::uri::PathAndQuery;
use mesh_model::authentication::jwt::{
    ClaimHeader, Found, Handling, JwtIssuer, JwtRules, TokenPlace, find, without_cookie, without_parameter,
};
use mesh_model::policy::Claims;
use mesh_model::policy::claims::Claim;
use mesh_token::{Expected, InvalidToken, Keys};
use serde_json::Value;

use crate::http::{Fault, Headers, Kind, RequestHead, Response, response_to};
use crate::telemetry::{Event, Failure, Reason, WorkerTelemetry};
use crate::worker::record::Record;

/// Tokens that are kept at one listener.
const KEPT: usize = 512;
/// A larger one is verified each time, bytes.
const KEPT_BYTES: usize = 4 * 1024;

/// What one listener knows of tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    view: RefCell<View>,
}

#[derive(Debug, Default)]
struct View {
    seen: Option<Arc<JwtRules>>,
    /// Of each issuer; `None`: no key is known.
    keys: Vec<Option<Keys>>,
    good: HashMap<[u8; SHA256_OUTPUT_LEN], Rc<Good>>,
}

/// A token that is good.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) claims: Rc<Claims>,
    /// Unix seconds.
    until: u64,
    /// Its issuer's place in the rules.
    issuer: usize,
}

/// A request that comes no further.
#[derive(Debug)]
pub(super) struct Refused {
    fault: Fault,
    /// RFC 6750 section 3.
    challenge: String,
}

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("there is more than one token")]
    Several,
    #[error("no issuer of that name gives tokens there")]
    Issuer,
    #[error("the keys of its issuer are not known")]
    NoKeys,
    #[error("its claims are nested too deeply")]
    Claims,
    #[error("{0}")]
    Token(#[from] InvalidToken),
}

impl Wrong {
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Issuer | Self::Token(InvalidToken::Issuer | InvalidToken::Audience) => {
                Some(Reason::TokenElsewhere)
            }
            Self::NoKeys | Self::Token(InvalidToken::UnknownKey | InvalidToken::NoKey) => {
                Some(Reason::TokenKeys)
            }
            Self::Token(InvalidToken::Expired | InvalidToken::TooEarly) => Some(Reason::TokenExpired),
            Self::Token(InvalidToken::Signature) => Some(Reason::TokenSignature),
            Self::Several | Self::Claims | Self::Token(_) => None,
        }
    }
}

impl Tokens {
    /// Verifies the token of a request, if it has one, and writes its claims into headers. Whatever a client says in those is taken off.
    pub(super) fn check(
        &self,
        rules: &Arc<JwtRules>,
        head: &mut RequestHead,
        now: u64,
        telemetry: &WorkerTelemetry,
    ) -> Result<Option<Rc<Good>>, Refused> {
        head.headers.remove_where(|name| rules.makes(name));
        let (token, place) = match find(rules, head) {
            Found::One { token, place } => (token, place),
            Found::Several => return Err(Refused::invalid(rules, &Wrong::Several)),
            Found::None if rules.required => return Err(Refused::missing(rules)),
            Found::None => return Ok(None),
        };
        let good = self.verify(rules, &token, place, now, telemetry);
        let good = good.map_err(|wrong| Refused::invalid(rules, &wrong))?;
        if let Some(issuer) = rules.issuers.get(good.issuer) {
            write(&mut head.headers, issuer, &good.claims);
            if issuer.handling == Handling::Removed {
                take_out(head, place);
            }
        }
        Ok(Some(good))
    }

    fn verify(
        &self,
        rules: &Arc<JwtRules>,
        token: &str,
        place: &TokenPlace,
        now: u64,
        telemetry: &WorkerTelemetry,
    ) -> Result<Rc<Good>, Wrong> {
        let mut view = self.view.borrow_mut();
        view.follow(rules);
        let hash = (token.len() <= KEPT_BYTES).then(|| hash(rules, token, place));
        if let Some(good) = hash.and_then(|hash| view.good.get(&hash)).filter(|good| now < good.until) {
            return Ok(Rc::clone(good));
        }
        let name = mesh_token::issuer_of(token)?;
        let (at, issuer) = rules.issuer(&name, place).ok_or(Wrong::Issuer)?;
        let keys = view.keys.get(at).and_then(Option::as_ref).ok_or(Wrong::NoKeys)?;
        let expected = Expected { issuer: &issuer.issuer, audiences: &issuer.audiences, now };
        let verified = mesh_token::verify(token, keys, &expected)?;
        let claims = verified.claims.into_iter().map(|(name, value)| (name, claim(value))).collect();
        let claims = Rc::new(Claims::new(claims).ok_or(Wrong::Claims)?);
        let good = Rc::new(Good { claims, until: verified.until, issuer: at });
        if let Some(hash) = hash {
            view.keep(hash, &good, now, telemetry);
        }
        Ok(good)
    }
}

impl View {
    /// New rules or keys: what the old ones let in may not be good any more.
    fn follow(&mut self, rules: &Arc<JwtRules>) {
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, rules)) {
            return;
        }
        self.good.clear();
        self.keys = rules.issuers.iter().map(|issuer| Keys::parse(issuer.jwks.as_bytes()).ok()).collect();
        self.seen = Some(Arc::clone(rules));
    }

    fn keep(
        &mut self,
        hash: [u8; SHA256_OUTPUT_LEN],
        good: &Rc<Good>,
        now: u64,
        telemetry: &WorkerTelemetry,
    ) {
        if self.good.len() >= KEPT {
            self.good.retain(|_, kept| now < kept.until);
        }
        if self.good.len() >= KEPT {
            telemetry.count(Event::TokensForgotten);
            self.good.clear();
        }
        self.good.insert(hash, Rc::clone(good));
    }
}

impl Refused {
    fn missing(rules: &JwtRules) -> Self {
        let text = format!("{} asks for a token, and there is none where it looks for one", rules.source);
        Self { fault: Fault::new(Failure::TokenMissing, text), challenge: "Bearer".to_owned() }
    }

    fn invalid(rules: &JwtRules, wrong: &Wrong) -> Self {
        let text = format!("the token is not good for {}: {wrong}", rules.source);
        // Texts are ours and have neither `"` nor `\`, but for the names of fields.
        let description = wrong.to_string().replace(['"', '\\'], "'");
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{description}\"");
        Self { fault: Fault::new(Failure::TokenInvalid, text).because(wrong.reason()), challenge }
    }

    /// What its sender gets.
    pub(super) fn answer(self, mut record: Record, kind: Kind) -> Response {
        record.fault(&self.fault);
        let mut response = response_to(&self.fault, kind);
        response.headers.set("www-authenticate", self.challenge.as_bytes()).expect("words of ours");
        record.attach(response, kind)
    }
}

/// Seconds, as tokens count them.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Of a token at a place: elsewhere another issuer may be meant.
fn hash(rules: &JwtRules, token: &str, place: &TokenPlace) -> [u8; SHA256_OUTPUT_LEN] {
    let at = rules.places().iter().position(|one| *one == place).unwrap_or_default();
    let mut context = digest::Context::new(&SHA256);
    context.update(&at.to_be_bytes());
    context.update(token.as_bytes());
    context.finish().as_ref().try_into().expect("a SHA-256 has this length")
}

/// Numbers that are neither whole nor finite say nothing.
fn claim(value: Value) -> Claim {
    match value {
        Value::Null => Claim::Null,
        Value::Bool(value) => Claim::Bool(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Claim::Int(whole),
            (None, Some(other)) => Claim::Float(other),
            (None, None) => Claim::Null,
        },
        Value::String(text) => Claim::Text(text),
        Value::Array(several) => Claim::List(several.into_iter().map(claim).collect()),
        Value::Object(entries) => {
            Claim::Map(entries.into_iter().map(|(name, value)| (name, claim(value))).collect())
        }
    }
}

fn write(headers: &mut Headers, issuer: &JwtIssuer, claims: &Claims) {
    for ClaimHeader { header, claim } in &issuer.claim_headers {
        if let Some(text) = claims.find(claim).and_then(text) {
            // What no header can carry is left out, as is a claim that is not there.
            let _ = headers.set(header, text.as_bytes());
        }
    }
}

/// A claim as the value of a header; several with commas between them, unless one of them has a comma itself.
fn text(claim: &Claim) -> Option<String> {
    match claim {
        Claim::Text(text) => Some(text.clone()),
        Claim::Bool(value) => Some(value.to_string()),
        Claim::Int(number) => Some(number.to_string()),
        Claim::Float(number) => Some(number.to_string()),
        Claim::List(several) => {
            let simple = |one: &Claim| match one {
                Claim::List(_) => None,
                _ => text(one).filter(|text| !text.contains(',')),
            };
            several.iter().map(simple).collect::<Option<Vec<_>>>().map(|all| all.join(","))
        }
        Claim::Null | Claim::Map(_) => None,
    }
}

/// The application has no use for it, and what it does not have it cannot lose.
fn take_out(head: &mut RequestHead, place: &TokenPlace) {
    match place {
        TokenPlace::Header { name, .. } => {
            head.headers.remove(name);
        }
        TokenPlace::Cookie(name) => {
            let values: Vec<Vec<u8>> = head.headers.get_all("cookie").map(<[u8]>::to_vec).collect();
            head.headers.remove("cookie");
            for value in values {
                let left = without_cookie(&String::from_utf8_lossy(&value), name);
                if let Some(left) = left {
                    let _ = head.headers.append("cookie", left.as_bytes());
                }
            }
        }
        TokenPlace::Query(name) => {
            let Some(query) = head.target.query() else { return };
            let left = without_parameter(query, name);
            let target = match left {
                Some(left) => format!("{}?{left}", head.target.path()),
                None => head.target.path().to_owned(),
            };
            head.target = PathAndQuery::try_from(target).expect("a part of a target is a target");
        }
    }
}

#[cfg(test)]
mod tests;
