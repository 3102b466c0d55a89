//! Arbitrary expressions over arbitrary calls: no panic, no answer that changes, and the order between readings.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::call::{Call, Json};
use crate::{Program, Readings, Trouble, Variable};

fn text() -> impl Strategy<Value = String> {
    let texts = ["''", "'a'", "'admin'", "'/admin'", "'GET'", "'ann'", "\"x'y\"", "r'\\d'", "'\\u00e9'"];
    prop_oneof![
        select(texts.map(str::to_owned).to_vec()),
        select(Variable::ALL.map(|variable| variable.name().to_owned()).to_vec()),
        select(vec![
            "request.headers['a']".to_owned(),
            "request.headerLines['b']".into(),
            "jwt.claims.sub".into()
        ]),
    ]
}

/// From the grammar, well typed or not.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        text(),
        select(
            ["true", "false", "null", "0", "-1", "9223372036854775807", "1.5", "1e300", "x", "y"]
                .map(str::to_owned)
                .to_vec()
        ),
        select(
            ["jwt.claims", "jwt.claims.roles", "jwt.claims.deep.deep", "'a' in request.headers"]
                .map(str::to_owned)
                .to_vec()
        ),
    ];
    leaf.prop_recursive(6, 48, 4, |inner| {
        let operators = vec!["&&", "||", "==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%"];
        prop_oneof![
            4 => (inner.clone(), select(operators), inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            1 => inner.clone().prop_map(|a| format!("({a})")),
            1 => inner.clone().prop_map(|a| format!("!{a}")),
            1 => inner.clone().prop_map(|a| format!("-{a}")),
            1 => vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(", "))),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{a} ? {b} : {c}")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            1 => (inner.clone(), select(vec!["size", "int", "string", "double", "has"])).prop_map(|(a, f)| format!("{f}({a})")),
            1 => (inner.clone(), select(vec!["startsWith", "endsWith", "contains", "matches"]), inner.clone())
                .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
            1 => (inner.clone(), select(vec!["all", "exists", "exists_one"]), inner)
                .prop_map(|(a, f, b)| format!("{a}.{f}(x, {b})")),
        ]
    })
}

/// Well typed in most cases, so that much is evaluated.
fn truth() -> impl Strategy<Value = String> {
    let test = prop_oneof![
        (text(), select(vec!["==", "!=", "<", ">="]), text()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (text(), select(vec!["startsWith", "contains"]), text())
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        (text(), vec(text(), 0..3)).prop_map(|(a, all)| format!("{a} in [{}]", all.join(", "))),
        text().prop_map(|a| format!("{a} in jwt.claims.roles")),
        text().prop_map(|a| format!("jwt.claims.roles.exists(x, x == {a})")),
        select(vec![
            "'a' in request.headers".to_owned(),
            "destination.port > 80".into(),
            "has(jwt.claims.sub)".into()
        ]),
    ];
    test.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Int),
        any::<f64>().prop_map(Json::Double),
        select(vec!["a", "admin", "ann", ""]).prop_map(|text| Json::Text(text.into())),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let names = select(vec!["sub", "roles", "deep"]);
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Json::List),
            vec((names.prop_map(str::to_owned), inner), 0..3).prop_map(Json::Map),
        ]
    })
}

fn call() -> impl Strategy<Value = Call> {
    let value =
        select(vec![&b"a"[..], b"admin", b"a, admin", b"", b"\xff", b",", b"GET"]).prop_map(<[u8]>::to_vec);
    let claims = proptest::option::of(vec((select(vec!["sub", "roles", "deep"]), json()), 0..4));
    let paths = select(vec![("/admin", vec![]), ("/admin;a", vec!["/admin", "/admin;a"]), ("/a", vec![])]);
    (any::<bool>(), any::<bool>(), paths, vec(value.clone(), 0..3), vec(value, 0..3), claims).prop_map(
        |(request, peer, (path, other_paths), a, b, claims)| Call {
            request,
            path,
            other_paths,
            headers: vec![("a", a), ("b", b)],
            claims: claims.map(|all| {
                Json::Map(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
            peer,
        },
    )
}

/// Whatever is asked, the answer is the same again, and what holds in every reading holds in some.
fn is_sound(text: &str, call: &Call) -> Result<(), TestCaseError> {
    let Ok(program) = Program::compile(text) else { return Ok(()) };
    let (any, every) = (program.evaluate(call, Readings::Any), program.evaluate(call, Readings::Every));
    prop_assert_eq!(&any, &program.evaluate(call, Readings::Any));
    if every == Ok(true) {
        prop_assert_eq!(&any, &Ok(true));
    }
    if any == Ok(false) {
        prop_assert_eq!(&every, &Ok(false));
    }
    if !program.needs_request() || call.request {
        prop_assert!(any != Err(Trouble::Later) && every != Err(Trouble::Later), "{}", text);
    }
    // Denying what does not hold and allowing what does leave no gap: the opposite of an answer is the answer to the opposite.
    if let Ok(opposite) = Program::compile(&format!("!({text})")) {
        let turned = |answer: Result<bool, Trouble>| answer.map(|answer| !answer).ok();
        prop_assert_eq!(turned(every), opposite.evaluate(call, Readings::Any).ok(), "{}", text);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_compiles_or_does_not(text in "\\PC{0,40}") {
        let _ = Program::compile(&text).is_ok();
    }

    #[test]
    fn any_words_compile_or_do_not(words in vec(select(vec![
        "(", ")", "[", "]", ".", ",", "?", ":", "&&", "||", "!", "-", "==", "in", "has", "all", "x", "request", "headers",
        "'a'", "1", "1.", "0x", "'", "\"\"\"", "\\", "r'", "//", "\n", "true", "jwt.claims", "{", "b'",
    ]), 0..24)) {
        let _ = Program::compile(&words.concat()).is_ok();
        let _ = Program::compile(&words.join(" ")).is_ok();
    }

    #[test]
    fn no_expression_of_the_grammar_over_any_call_panics_or_contradicts_itself(text in expression(), call in call()) {
        is_sound(&text, &call)?;
    }

    #[test]
    fn no_expression_that_is_well_typed_does_either(text in truth(), call in call()) {
        is_sound(&text, &call)?;
    }
}
