//! Where tokens are found and taken out, and whose word on them counts.

use super::*;

struct Head {
    query: Option<&'static str>,
    headers: Vec<(&'static str, &'static [u8])>,
}

impl HeadView for Head {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn path(&self) -> &'static str {
        "/"
    }

    fn query(&self) -> Option<&str> {
        self.query
    }

    fn authority(&self) -> &'static str {
        "web"
    }

    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        self.headers.iter().filter(|(one, _)| *one == name).for_each(|(_, value)| visit(value));
    }
}

fn rules(from: Vec<TokenPlace>) -> JwtRules {
    let claim_headers = vec![ClaimHeader { header: "x-user".to_owned(), claim: "sub".to_owned() }];
    let issuer = JwtIssuer {
        issuer: "i".to_owned(),
        audiences: vec!["a".to_owned()],
        jwks: String::new(),
        from,
        handling: Handling::Removed,
        claim_headers,
    };
    JwtRules { source: "p".to_owned(), required: true, ports: vec![], issuers: vec![issuer] }
}

fn token(place: TokenPlace, query: Option<&'static str>, headers: &[(&'static str, &'static str)]) -> String {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    found(place, &Head { query, headers })
}

fn found(place: TokenPlace, head: &Head) -> String {
    match find(&rules(vec![place]), head) {
        Found::None => "-".to_owned(),
        Found::Several => "several".to_owned(),
        Found::One { token, .. } => token,
    }
}

#[test]
fn a_bearer_token_is_behind_its_scheme_in_any_case_of_letters() {
    for (value, found) in [
        ("Bearer abc", "abc"),
        ("bEARER  \t abc ", "abc"),
        ("BEARER\tabc", "abc"),
        ("Bearerabc", "-"),
        ("Bearer", "-"),
        ("Bearer ", ""),
        ("Basic abc", "-"),
        ("", "-"),
    ] {
        assert_eq!(token(TokenPlace::bearer(), None, &[("authorization", value)]), found, "{value}");
    }
    let two =
        |one, other| token(TokenPlace::bearer(), None, &[("authorization", one), ("authorization", other)]);
    assert_eq!(two("Bearer a", "Bearer b"), "several");
    assert_eq!(two("Basic a", "Bearer b"), "b");
    assert_eq!(token(TokenPlace::bearer(), None, &[("x-other", "Bearer abc")]), "-");
    let headers = vec![("authorization", b"Bearer \xff" as &[u8])];
    let bytes = found(TokenPlace::bearer(), &Head { query: None, headers });
    assert_eq!(bytes, "\u{fffd}", "there is one, and it is not good");
}

#[test]
fn a_token_is_found_in_a_header_without_a_prefix_a_cookie_and_a_parameter() {
    let header = || TokenPlace::Header { name: "x-token".to_owned(), prefix: String::new() };
    assert_eq!(token(header(), None, &[("x-token", " abc")]), "abc");
    let cookie = || TokenPlace::Cookie("t".to_owned());
    assert_eq!(token(cookie(), None, &[("cookie", "a=b; t=abc; T=no; tt=no")]), "abc");
    assert_eq!(token(cookie(), None, &[("cookie", "t=\"abc\"")]), "abc");
    assert_eq!(token(cookie(), None, &[("cookie", "t=a; t=b")]), "several");
    assert_eq!(token(cookie(), None, &[("cookie", "t=a"), ("cookie", "t=b")]), "several");
    let query = || TokenPlace::Query("access_token".to_owned());
    for (text, found) in [
        ("access_token=abc", "abc"),
        ("a=b&access_token=abc&c", "abc"),
        ("access%5Ftoken=abc", "abc"),
        ("access%5ftoken=a%2Eb", "a.b"),
        ("access_token", ""),
        ("Access_token=abc", "-"),
        ("access_token=a&access%5Ftoken=b", "several"),
        ("x=access_token=abc", "-"),
        ("%", "-"),
    ] {
        assert_eq!(token(query(), Some(text), &[]), found, "{text}");
    }
}

#[test]
fn tokens_in_two_places_are_several() {
    let places = vec![TokenPlace::bearer(), TokenPlace::Query("t".to_owned())];
    let head = Head { query: Some("t=a"), headers: vec![("authorization", b"Bearer a")] };
    assert_eq!(find(&rules(places), &head), Found::Several);
}

#[test]
fn a_token_is_taken_out_and_everything_else_stays_as_it_was() {
    let query = |text: &str| without_parameter(text, "t").unwrap_or_else(|| "-".to_owned());
    for (text, left) in [("t=1", "-"), ("a=%20&t=1&b", "a=%20&b"), ("%74=1&c=d", "c=d"), ("tt=1", "tt=1")] {
        assert_eq!(query(text), left, "{text}");
    }
    let cookie = |text: &str| without_cookie(text, "t").unwrap_or_else(|| "-".to_owned());
    for (text, left) in [("t=1", "-"), ("a=b; t=1;c=d", "a=b; c=d"), ("tt=1", "tt=1"), ("t", "t")] {
        assert_eq!(cookie(text), left, "{text}");
    }
}

#[test]
fn a_header_that_is_made_of_a_claim_is_the_meshs_in_every_spelling() {
    let rules = rules(vec![TokenPlace::bearer()]);
    for (header, makes) in
        [("x-user", true), ("X-User", true), ("x_user", true), ("x-users", false), ("x.user", false)]
    {
        assert_eq!(rules.makes(header), makes, "{header}");
    }
}

#[test]
fn the_narrowest_level_counts_and_there_who_requires_a_token() {
    let named = |source: &str, required| JwtRules { source: source.to_owned(), required, ..rules(vec![]) };
    let (a, b, c) = (named("a", false), named("b", true), named("c", true));
    let (winner, losers) = settle(&[(Level::Workload, &a), (Level::Namespace, &b)]);
    assert_eq!((winner.map(|one| one.source.as_str()), losers.len()), (Some("a"), 0));
    let (winner, mut losers) =
        settle(&[(Level::Namespace, &c), (Level::Namespace, &a), (Level::Namespace, &b)]);
    losers.sort_unstable();
    assert_eq!((winner.map(|one| one.source.as_str()), losers), (Some("b"), vec![("a", "b"), ("c", "b")]));
    assert_eq!(settle(&[]), (None, vec![]));
    assert!(JwtRules::closed("x").counts_at(80) && !JwtRules { ports: vec![81], ..a }.counts_at(80));
}
