//! Tokens of users in a request that is asked about, by what the called workload's AuthenticationPolicies ask for. Pure: the time is that of
//! the objects. As the sidecar does it (`proxy/src/inbound/tokens.rs`), but for keys that only the controller can fetch: without them
//! everything is judged except the signature. It must not know policies of who may call.

use mesh_model::authentication::jwt::{Found, Handling, JwtIssuer, JwtRules, TokenPlace, find};
use mesh_model::failure::Failure;
use mesh_model::head::HeadView;
use mesh_model::policy::Claims;
use mesh_model::policy::claims::Claim;
use mesh_token::{Expected, InvalidToken, Keys};
use serde_json::Value;

use super::{Call, Objects, Place};

/// Why a call comes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) failure: Failure,
    /// The object that asks for a token.
    pub(crate) source: String,
    /// Its field that decides.
    pub(crate) field: String,
    pub(crate) why: String,
}

/// A token that is good, as far as that can be known here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) claims: Claims,
    rules: JwtRules,
    /// Headers that are made of claims.
    made: Vec<(String, String)>,
    /// The header that the token was taken out of.
    removed: Option<String>,
    /// Whether its issuer's keys were at hand.
    pub(crate) is_proven: bool,
}

/// A request as policies see it behind a token's verification.
pub(super) struct Behind<'a> {
    request: &'a dyn HeadView,
    shown: &'a Shown,
}

impl Shown {
    pub(super) fn behind<'a>(&'a self, request: &'a dyn HeadView) -> Behind<'a> {
        Behind { request, shown: self }
    }
}

impl HeadView for Behind<'_> {
    fn method(&self) -> &str {
        self.request.method()
    }

    fn path(&self) -> &str {
        self.request.path()
    }

    fn query(&self) -> Option<&str> {
        self.request.query()
    }

    fn authority(&self) -> &str {
        self.request.authority()
    }

    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        if self.shown.rules.makes(name) {
            let own = self.shown.made.iter().filter(|(made, _)| made == name);
            own.for_each(|(_, value)| visit(value.as_bytes()));
        } else if self.shown.removed.as_deref() != Some(name) {
            self.request.header_values(name, visit);
        }
    }
}

/// The rules of tokens at a place.
pub(crate) fn rules<'a>(objects: &'a Objects, place: &Place) -> Option<&'a JwtRules> {
    let said = objects.compiled.authentication.of_workload(&place.workload);
    said.jwt_at(super::reached(objects, place)).map(|rules| &**rules)
}

/// The token of a call. `Ok(None)`: there is none, and none is required, or the call's claims are taken for verified.
pub(super) fn of_call(objects: &Objects, place: &Place, call: Call<'_>) -> Result<Option<Shown>, Refused> {
    let Some(rules) = rules(objects, place).filter(|_| call.claims.is_none()) else { return Ok(None) };
    match call.request {
        Some(request) => check(rules, request, objects.as_of),
        None if rules.required => Err(refused(
            rules,
            Failure::PolicyUndecided,
            "spec.jwt.required",
            "a token is required, and these bytes are no HTTP that could have one".to_owned(),
        )),
        None => Ok(None),
    }
}

/// What of the token of a call cannot be known here.
pub(crate) fn note(objects: &Objects, place: &Place, call: Call<'_>) -> Option<String> {
    let shown = of_call(objects, place, call).ok().flatten()?;
    (!shown.is_proven).then(|| {
        format!(
            "the token's signature was not checked: the keys of its issuer ({}) are fetched by the controller",
            shown.rules.source
        )
    })
}

fn check(rules: &JwtRules, request: &dyn HeadView, now: u64) -> Result<Option<Shown>, Refused> {
    let invalid = |field: &str, why: String| refused(rules, Failure::TokenInvalid, field, why);
    let (token, place) = match find(rules, request) {
        Found::One { token, place } => (token, place),
        Found::Several => {
            return Err(invalid("spec.jwt.issuers", "there is more than one token".to_owned()));
        }
        Found::None if rules.required => {
            let places: Vec<String> = rules.places().into_iter().map(place_words).collect();
            let places =
                if places.is_empty() { "nowhere".to_owned() } else { format!("in {}", places.join(", or ")) };
            let why = format!("a token is required, and the request has none; it is looked for {places}");
            return Err(refused(rules, Failure::TokenMissing, "spec.jwt.required", why));
        }
        Found::None => return Ok(None),
    };
    let broken = |error: InvalidToken| invalid("spec.jwt.issuers", format!("the token is not good: {error}"));
    let name = mesh_token::issuer_of(&token).map_err(broken)?;
    let Some((at, issuer)) = rules.issuer(&name, place) else {
        return Err(wrong_issuer(rules, &name, place));
    };
    let expected = Expected { issuer: &issuer.issuer, audiences: &issuer.audiences, now };
    let keys = Keys::parse(issuer.jwks.as_bytes()).ok();
    let verified = match &keys {
        Some(keys) => mesh_token::verify(&token, keys, &expected),
        None => mesh_token::judge_unproven(&token, &expected),
    };
    let verified = verified.map_err(|error| {
        let (part, more) = part_of(error, &token, issuer);
        invalid(&format!("spec.jwt.issuers[{at}]{part}"), format!("the token is not good: {error}{more}"))
    })?;
    let claims = verified.claims.iter().map(|(name, value)| (name.clone(), claim(value))).collect();
    let deep = || invalid("spec.jwt.issuers", "its claims are nested too deeply".to_owned());
    let claims = Claims::new(claims).ok_or_else(deep)?;
    let made = issuer.claim_headers.iter();
    let made = made.filter_map(|one| Some((one.header.clone(), text(claims.find(&one.claim)?)?))).collect();
    let removed = match place {
        TokenPlace::Header { name, .. } if issuer.handling == Handling::Removed => Some(name.clone()),
        TokenPlace::Header { .. } | TokenPlace::Cookie(_) | TokenPlace::Query(_) => None,
    };
    Ok(Some(Shown { claims, rules: rules.clone(), made, removed, is_proven: keys.is_some() }))
}

fn refused(rules: &JwtRules, failure: Failure, field: &str, why: String) -> Refused {
    Refused { failure, source: rules.source.clone(), field: field.to_owned(), why }
}

fn wrong_issuer(rules: &JwtRules, name: &str, place: &TokenPlace) -> Refused {
    let same = rules.issuers.iter().position(|issuer| issuer.issuer == name);
    let (field, why) = match same {
        Some(at) => (
            format!("spec.jwt.issuers[{at}].from"),
            format!("the token is in {}, where none of issuer `{name}` is looked for", place_words(place)),
        ),
        None => {
            let known: Vec<String> =
                rules.issuers.iter().map(|issuer| format!("`{}`", issuer.issuer)).collect();
            let field =
                if known.len() == 1 { "spec.jwt.issuers[0].issuer" } else { "spec.jwt.issuers" }.to_owned();
            let known = if known.is_empty() { "nobody".to_owned() } else { known.join(", ") };
            (
                field,
                format!(
                    "the token is of issuer `{name}`, and only those of {known} are good; names are literals"
                ),
            )
        }
    };
    refused(rules, Failure::TokenInvalid, &field, why)
}

/// The field of the issuer that decides, and what the token says against it.
fn part_of(error: InvalidToken, token: &str, issuer: &JwtIssuer) -> (&'static str, String) {
    let has = |name: &str| {
        let claims = mesh_token::unproven(token).ok()?;
        claims.get(name).map(ToString::to_string)
    };
    match error {
        InvalidToken::Audience | InvalidToken::Missing("aud") => {
            let wanted: Vec<String> = issuer.audiences.iter().map(|one| format!("`{one}`")).collect();
            let aud = has("aud").unwrap_or_else(|| "nothing".to_owned());
            (".audiences", format!(" (it says {aud}, asked for is {})", wanted.join(" or ")))
        }
        InvalidToken::Expired | InvalidToken::TooEarly => {
            let times = ["exp", "nbf", "iat"].iter();
            let times: Vec<String> =
                times.filter_map(|name| Some(format!("{name} {}", has(name)?))).collect();
            ("", format!(" (it says {}, Unix seconds)", times.join(", ")))
        }
        InvalidToken::UnknownKey | InvalidToken::NoKey | InvalidToken::Signature => (".jwks", String::new()),
        InvalidToken::Issuer => (".issuer", String::new()),
        InvalidToken::TooLarge
        | InvalidToken::Malformed
        | InvalidToken::Algorithm
        | InvalidToken::Critical
        | InvalidToken::Missing(_)
        | InvalidToken::Time(_) => ("", String::new()),
    }
}

/// Where tokens are looked for.
pub(crate) fn place_words(place: &TokenPlace) -> String {
    match place {
        TokenPlace::Header { name, prefix } if prefix.is_empty() => format!("header {name}"),
        TokenPlace::Header { name, prefix } => format!("header {name} behind `{}`", prefix.trim_end()),
        TokenPlace::Cookie(name) => format!("cookie {name}"),
        TokenPlace::Query(name) => format!("parameter {name} of the query"),
    }
}

/// A value of JSON as a claim. Numbers that are neither whole nor finite say nothing.
pub(crate) fn claim(value: &Value) -> Claim {
    match value {
        Value::Null => Claim::Null,
        Value::Bool(value) => Claim::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Claim::Int(whole),
            (None, Some(other)) => Claim::Float(other),
            (None, None) => Claim::Null,
        },
        Value::String(text) => Claim::Text(text.clone()),
        Value::Array(entries) => Claim::List(entries.iter().map(claim).collect()),
        Value::Object(map) => {
            Claim::Map(map.iter().map(|(name, value)| (name.clone(), claim(value))).collect())
        }
    }
}

/// A claim as the value of a header.
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
