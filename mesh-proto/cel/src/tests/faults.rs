//! What is no expression, with the place and the reason.

use crate::{MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_PATTERNS, Program};

fn fault(text: &str) -> String {
    Program::compile(text).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, told) in [
        ("", "line 1, column 1: it is empty"),
        ("true &&", "line 1, column 8: a value is expected, and here is the end"),
        ("true\n  && nope", "line 2, column 6: there is no variable `nope`; variables begin with request"),
        (
            "request.verb == 'GET'",
            "line 1, column 1: there is no variable `request.verb`; there are request.method,",
        ),
        ("request == 1", "line 1, column 1: there is no variable `request`"),
        ("request.headers == 1", "is a map of headers: write `request.headers['name']`"),
        ("size(request.headers) == 1", "is a map of headers"),
        ("request.headers[request.method] == 'a'", "the name of a header is a string that is written here"),
        ("request.headers['a b'] == 'a'", "this is no name of a header"),
        ("request.headers['Host'] == 'a'", "the host is `request.host`"),
        ("has(request.headers.host)", "the host is `request.host`"),
        ("request.method", "an expression must answer yes or no, and this is a string"),
        ("1 + 1", "must answer yes or no, and this is an int"),
        ("destination.port == '80'", "there is no `==` between an int and a string"),
        ("request.method < 1", "there is no `<` between a string and an int"),
        ("request.method in 'GET'", "a string is never in a string"),
        ("1 in ['a']", "an int is never in a list"),
        ("!request.method", "`!` is for a bool, and this is a string"),
        ("true && 1", "`&&` is for bools, and this is an int"),
        ("-'a' == 'a'", "`-` is for a number, and this is a string"),
        ("1 ? true : false", "before `?` stands a bool, and this is an int"),
        ("upper('a') == 'A'", "there is no function `upper`; there are size, startsWith"),
        ("'a'.startsWith() == true", "`startsWith` is not called like this"),
        ("'a'.startsWith(1)", "a string is expected, and this is an int"),
        ("'a'.matches('(')", "this is no pattern: error: unclosed group"),
        ("'a'.matches(request.path)", "a pattern is a string that is written here"),
        ("'a'.matches('a{1000}{1000}')", "the pattern is too large once compiled"),
        ("has(request.method == 'a')", "`has` is for a field"),
        ("request.method.x == 'a'", "`.x` is for a map, and this is a string"),
        ("request.method[0] == 'a'", "a string has no entry by an int"),
        ("request.method.all(x, true)", "this is for a list, and here is a string"),
        ("[1].all(1, true)", "a name for the entry is expected first"),
        ("[1].all(x, x)", "the condition of a macro is a bool, and this is an int"),
        ("[1].all(x, true) && x == 1", "there is no variable `x`"),
        ("[1].all(a, [1].all(b, [1].all(c, true)))", "macros are nested more than 2 deep"),
        ("'a", "line 1, column 1: this string has no end"),
        ("'a\n'", "this string has no end on its line"),
        ("'\\d' == 'a'", "line 1, column 2: this is no escape"),
        ("'\\ud800' == 'a'", "this escape is no character"),
        ("b'a' == 'a'", "bytes are not supported"),
        ("1u == 1", "unsigned numbers are not supported"),
        ("9223372036854775808 == 1", "no whole number of 64 bits"),
        ("99999999999999999999 == 1", "no whole number of 64 bits"),
        ("{'a': 1} == 1", "maps are not supported"),
        ("true true", "an operator or the end is expected, and here is `true`"),
        ("(true", "`)` is expected, and here is the end"),
        ("true # b", "`#` means nothing here"),
        ("if == 1", "`if` is a word that CEL keeps for itself"),
        ("int([1]) == 1", "a list does not become an int"),
    ] {
        let found = fault(text);
        assert!(found.contains(told), "{text}: {found}");
    }
}

#[test]
fn bounds_hold_and_are_told() {
    let deep = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(fault(&deep(MAX_DEPTH - 1)), "");
    for text in [
        deep(MAX_DEPTH),
        deep(2_000),
        format!("{}true", "!".repeat(4_000)),
        format!("{}1 == 1", "-".repeat(4_000)),
        format!("{}1{} == 1", "[".repeat(2_000), "]".repeat(2_000)),
        format!("{}true", "true ? true : ".repeat(290)),
        format!("{} == 2", vec!["1"; 100].join(" + ")),
        format!("jwt.claims{} == 2", ".a".repeat(100)),
        format!("{}a{}", "size(".repeat(600), ")".repeat(600)),
    ] {
        assert!(
            fault(&text).contains(&format!("nested more than {MAX_DEPTH} deep")),
            "{text}: {}",
            fault(&text)
        );
    }
    let chain = |parts: usize| vec!["true"; parts].join("&&");
    assert_eq!(fault(&chain(MAX_NODES - 1)), "");
    assert!(fault(&chain(MAX_NODES)).contains("more than 512 parts"));
    let long = |bytes: usize| format!("true{}", " ".repeat(bytes - 4));
    assert_eq!(fault(&long(MAX_BYTES)), "");
    assert!(fault(&long(MAX_BYTES + 1)).contains("4097 bytes"));
    let patterns = |count: usize| vec!["'a'.matches('a')"; count].join(" && ");
    assert_eq!(fault(&patterns(MAX_PATTERNS)), "");
    assert!(fault(&patterns(MAX_PATTERNS + 1)).contains("more than 4 patterns"));
}
