//! The order of rules, against the words of the meshes in which the first rule that fits wins.

use proptest::prelude::*;

use super::*;

/// What fits, as the words say it.
fn fits(one: &Match, request: &(String, String, Vec<(String, String)>)) -> bool {
    let (path, method, headers) = request;
    let path = match &one.path {
        Path::Exact(exact) => exact == path,
        Path::Prefix(prefix) => is_below(prefix, path),
        Path::Regex(text) => whole(text).unwrap().is_match(path),
    };
    let headers = one.headers.iter().all(|named| {
        headers.iter().any(|(name, value)| {
            *name == named.name
                && match &named.value {
                    Text::Exact(exact) => exact == value,
                    Text::Regex(text) => whole(text).unwrap().is_match(value),
                }
        })
    });
    path && headers && one.method.as_ref().is_none_or(|one| one == method)
}

fn path() -> impl Strategy<Value = Path> {
    let text = prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/b", "/ab"]);
    let regex = prop::sample::select(vec!["/a/.*", "/b.*", "/a/[bc]", ".*"]);
    prop_oneof![
        3 => text.clone().prop_map(Path::prefix),
        2 => text.prop_map(|text| Path::Exact(text.to_owned())),
        1 => regex.prop_map(|text| Path::Regex(text.to_owned())),
    ]
}

fn one() -> impl Strategy<Value = Match> {
    let method = prop::option::of(prop::sample::select(vec!["GET", "PUT"]));
    let value = prop_oneof![
        prop::sample::select(vec!["1", "2"]).prop_map(|text| Text::Exact(text.to_owned())),
        Just(Text::Regex(".*".to_owned())),
    ];
    let header = (prop::sample::select(vec!["x", "y"]), value);
    (path(), method, prop::option::of(header)).prop_map(|(path, method, header)| Match {
        path,
        method: method.map(str::to_owned),
        headers: header.into_iter().map(|(name, value)| Named { name: name.to_owned(), value }).collect(),
        query: vec![],
    })
}

fn request() -> impl Strategy<Value = (String, String, Vec<(String, String)>)> {
    let path = prop::sample::select(vec!["/", "/a", "/a/b", "/a/c", "/a/b/c", "/b", "/bc", "/ab", "/ab/c"]);
    let method = prop::sample::select(vec!["GET", "PUT", "POST"]);
    let value = || prop::option::of(prop::sample::select(vec!["1", "2", "3"]));
    (path, method, value(), value()).prop_map(|(path, method, x, y)| {
        let headers = [("x", x), ("y", y)];
        let headers =
            headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        (path.to_owned(), method.to_owned(), headers.collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn the_first_rule_that_fits_is_the_one_that_wins(
        rules in prop::collection::vec(prop::collection::vec(one(), 1..3), 1..5),
        requests in prop::collection::vec(request(), 1..8),
    ) {
        let mut ordered = rules.clone();
        let upsets = most_specific_first(&mut ordered, |_, _| true);
        for request in &requests {
            let first = rules.iter().position(|rule| rule.iter().any(|one| fits(one, request)));
            let entries = ordered.iter().enumerate().flat_map(|(at, rule)| rule.iter().map(move |one| (at, one)));
            let wins = entries
                .filter(|(_, one)| fits(one, request))
                .max_by_key(|(at, one)| (one.rank(), std::cmp::Reverse(*at)))
                .map(|(at, _)| at);
            let told = upsets.iter().any(|upset| Some(upset.earlier) == first);
            prop_assert!(first == wins || told, "{request:?}: {first:?}, not {wins:?}\n{rules:?}\n{ordered:?}");
        }
    }
}

#[test]
fn an_earlier_rule_by_header_stays_before_a_later_one_by_path() {
    let tester = Match {
        headers: vec![Named { name: "x".into(), value: Text::Exact("1".into()) }],
        ..Match::default()
    };
    let api = Match { path: Path::prefix("/api"), ..Match::default() };
    let mut rules = vec![vec![tester.clone()], vec![api.clone()], vec![Match::default()]];
    assert_eq!(most_specific_first(&mut rules, |_, _| true), []);
    let both = Match { path: Path::prefix("/api"), ..tester.clone() };
    assert_eq!(rules, [vec![tester, both], vec![api], vec![Match::default()]]);
}

#[test]
fn what_cannot_be_written_is_told() {
    let regex = |text: &str| Match { path: Path::Regex(text.to_owned()), ..Match::default() };
    let mut rules = vec![vec![regex("/a.*")], vec![regex("/a[0-9]+/x")]];
    assert_eq!(most_specific_first(&mut rules, |_, _| true), [Upset { earlier: 0, later: 1 }]);
    assert_eq!(literal_start("/ab?c"), "/a");
    assert_eq!(literal_start("/a|/b"), "");
}
