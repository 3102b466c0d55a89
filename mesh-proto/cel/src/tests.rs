//! Expressions as somebody could write them, and arbitrary ones over arbitrary calls.

mod arbitrary;
mod call;
mod faults;

use call::Call;

use super::*;

fn program(text: &str) -> Program {
    Program::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Whether it holds in some reading; `None` where there is no answer.
fn any(text: &str, call: &Call) -> Option<bool> {
    program(text).evaluate(call, Readings::Any).ok()
}

/// Whether it holds in every reading; `None` where there is no answer.
fn every(text: &str, call: &Call) -> Option<bool> {
    program(text).evaluate(call, Readings::Every).ok()
}

#[test]
fn expressions_of_every_kind_have_the_answer_that_cel_gives_them() {
    let call = Call::example();
    for (text, answer) in [
        ("true", Some(true)),
        ("request.method == 'GET'", Some(true)),
        ("request.method in ['POST', \"PUT\",]", Some(false)),
        ("request.path.startsWith('/orders/') && !request.path.endsWith('/')", Some(true)),
        ("request.path.matches('^/orders/[0-9]+$')", Some(true)),
        ("matches(request.path, '[a-z]{20}')", Some(false)),
        ("request.query.contains('a=1')", Some(true)),
        ("request.host == 'web.shop'", Some(true)),
        ("source.namespace == 'shop' && source.serviceAccount == 'web'", Some(true)),
        ("source.identity == 'spiffe://mesh.test/ns/shop/sa/web'", Some(true)),
        ("source.trustDomain.startsWith('mesh')", Some(true)),
        ("source.address == '10.0.0.1'", Some(true)),
        ("destination.port >= 8000 && destination.port < 9000", Some(true)),
        ("destination.port % 2 == 0 ? connection.mtls : false", Some(true)),
        ("request.headers['X-Role'] == 'admin'", Some(true)),
        ("request.headers.accept == 'a'", None),
        ("'x-role' in request.headers", Some(true)),
        ("has(request.headers.accept)", Some(false)),
        ("has(connection.sni)", Some(false)),
        ("connection.sni == 'x'", None),
        ("has(connection.sni) && connection.sni == 'x'", Some(false)),
        ("jwt.claims.sub == 'ann'", Some(true)),
        ("jwt.claims['sub'] == 'ann'", Some(true)),
        ("'admin' in jwt.claims.realm.roles", Some(true)),
        ("jwt.claims.realm.roles.exists(role, role.startsWith('adm'))", Some(true)),
        ("jwt.claims.realm.roles.all(role, role.size() > 4)", Some(false)),
        ("jwt.claims.realm.roles.exists_one(role, role == 'dev')", Some(true)),
        ("jwt.claims.realm.roles[1] == 'dev'", Some(true)),
        ("jwt.claims.realm.roles[7] == 'dev'", None),
        ("jwt.claims.realm.roles == ['admin', 'dev']", Some(true)),
        ("size(jwt.claims.realm.roles) == 2", Some(true)),
        ("has(jwt.claims.email)", Some(false)),
        ("'email' in jwt.claims", Some(false)),
        ("jwt.claims.email == 'a'", None),
        ("jwt.claims.level > 2 && jwt.claims.level < 3.5", Some(true)),
        ("jwt.claims.level == 3.0", Some(true)),
        ("jwt.claims.sub == 3", None),
        ("jwt.claims.nothing == null && jwt.claims.sub != null", Some(true)),
        ("jwt.claims.sub", None),
        ("jwt.claims.ok", Some(true)),
        ("jwt.claims.sub.lowerAscii() == 'ann'", Some(true)),
        ("int('42') == 42 && string(42) == '42' && double(1) == 1.0", Some(true)),
        ("int('x') == 42", None),
        ("-9223372036854775808 < 0 && 0x10 == 16 && 1e3 == 1000.0", Some(true)),
        ("9223372036854775807 + destination.port > 0", None),
        ("destination.port / 0 == 1", None),
        ("9007199254740993 == 9007199254740992.0", Some(false)),
        ("request.method + '!' == 'GET!' // a comment", Some(true)),
        ("r'\\d' == '\\\\d' && '\\u0041\\x42\\103' == 'ABC' && '''a'b''' == \"a'b\"", Some(true)),
    ] {
        assert_eq!(every(text, &call), answer, "{text}");
        assert_eq!(any(text, &call), answer, "{text}");
    }
}

/// CEL lets either side decide; what does not depend on the missing part has its answer.
#[test]
fn what_has_no_answer_is_no_answer_unless_something_else_decides() {
    let call = Call::example();
    for (text, answer) in [
        ("request.headers['no'] == 'a' && false", Some(false)),
        ("false && request.headers['no'] == 'a'", Some(false)),
        ("request.headers['no'] == 'a' || true", Some(true)),
        ("request.headers['no'] == 'a' && true", None),
        ("request.headers['no'] == 'a' || false", None),
        ("!(request.headers['no'] == 'a')", None),
        ("['x'].exists(x, x == 'x' || request.headers['no'] == x)", Some(true)),
        ("['y', 'x'].exists(x, x == 'x' || request.headers['no'] == x)", Some(true)),
        ("['x', 'y'].all(x, x == 'x' && request.headers['no'] == x)", Some(false)),
        ("['x'].all(x, request.headers['no'] == x)", None),
        ("request.headers['no'] == 'a' ? true : true", None),
    ] {
        assert_eq!((every(text, &call), any(text, &call)), (answer, answer), "{text}");
    }
}

#[test]
fn without_a_request_only_what_needs_none_has_an_answer() {
    let call = Call { request: false, ..Call::example() };
    for (text, answer) in [
        ("source.namespace == 'shop'", Ok(true)),
        ("source.namespace == 'bank' && request.method == 'GET'", Ok(false)),
        ("source.namespace == 'shop' || jwt.claims.sub == 'ann'", Ok(true)),
        ("source.namespace == 'shop' && request.method == 'GET'", Err(Trouble::Later)),
        ("'x-role' in request.headers", Err(Trouble::Later)),
        ("request.headers['x-role'] == 'admin'", Err(Trouble::Later)),
        ("has(jwt.claims)", Err(Trouble::Later)),
        ("connection.sni == 'x' && request.path == '/'", Err(Trouble::Later)),
        ("request.path == '/' && connection.sni == 'x'", Err(Trouble::Later)),
    ] {
        assert_eq!(program(text).evaluate(&call, Readings::Any), answer, "{text}");
        assert_eq!(program(text).evaluate(&call, Readings::Every), answer, "{text}");
    }
    let needs = ["request.path == '/'", "has(jwt.claims)", "'a' in request.headers", "jwt.claims.x == 1"];
    assert!(needs.iter().all(|text| program(text).needs_request()));
    assert!(!program("connection.sni == 'x' && source.namespace == 'y'").needs_request());
    assert!(program("connection.sni == 'x'").needs_sni());
}

#[test]
fn a_header_is_read_in_every_way_that_a_server_may_read_it() {
    let is_admin = "request.headers['x-role'] == 'admin'";
    let is_not = "request.headers['x-role'] != 'admin'";
    let line = "request.headerLines['x-role'] == 'admin'";
    for (values, some, all, none) in [
        (&["admin"][..], true, true, false),
        (&["user"], false, false, true),
        (&["user", "admin"], true, false, false),
        (&["admin", "admin"], true, false, false),
        (&["user, admin"], true, false, false),
        (&["user,admin"], true, false, false),
    ] {
        let call = Call {
            headers: vec![("x-role", values.iter().map(|v| v.as_bytes().to_vec()).collect())],
            ..Call::example()
        };
        assert_eq!((any(is_admin, &call), every(is_admin, &call)), (Some(some), Some(all)), "{values:?}");
        assert_eq!(every(is_not, &call), Some(none), "{values:?}");
        let lines = values.contains(&"admin");
        assert_eq!(any(line, &call), Some(lines), "{values:?}");
    }
    let joined = Call { headers: vec![("x-role", vec![b"ad".to_vec(), b"min".to_vec()])], ..Call::example() };
    assert_eq!(any("request.headers['x-role'] == 'ad,min'", &joined), Some(true));
}

#[test]
fn a_header_that_is_no_text_has_no_answer() {
    let call = Call { headers: vec![("x-role", vec![b"admin".to_vec(), vec![0xff]])], ..Call::example() };
    assert_eq!(every("request.headers['x-role'] == 'admin'", &call), None);
    assert_eq!(any("request.headers['x-role'] == 'admin'", &call), Some(true));
    assert_eq!(any("request.headers['x-role'] == 'user'", &call), None);
}

#[test]
fn a_path_with_parameters_is_read_with_and_without_them() {
    let call = Call { path: "/admin;x=1", other_paths: vec!["/admin"], ..Call::example() };
    let admin = "request.path == '/admin'";
    assert_eq!((any(admin, &call), every(admin, &call)), (Some(true), Some(false)));
    assert_eq!(every("request.path != '/admin'", &call), Some(false));
}

#[test]
fn too_many_readings_are_no_answer_and_neither_is_too_much_work() {
    let many: Vec<Vec<u8>> = vec![(0..200).map(|n| n.to_string()).collect::<Vec<_>>().join(",").into_bytes()];
    let call = Call { headers: vec![("a", many.clone()), ("b", many)], ..Call::example() };
    assert_eq!(any("request.headers['a'] == 'x'", &call), Some(false));
    let both = program("request.headers['a'] == 'x' && request.headers['b'] == 'x'");
    let told = both.evaluate(&call, Readings::Every).unwrap_err().to_string();
    assert!(told.contains("256 ways"), "{told}");

    let numbers = (0..200).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let work = program(&format!("[{numbers}].all(a, [{numbers}].all(b, a + b >= 0))"));
    let told = work.evaluate(&call, Readings::Any).unwrap_err().to_string();
    assert!(told.contains("50000 steps"), "{told}");
    let long =
        Call { path: Box::leak(format!("/{}", "a".repeat(250_000)).into_boxed_str()), ..Call::example() };
    assert_eq!(any("request.path.matches('(a|b)*c')", &long), None);
}

#[test]
fn functions_that_documents_list_are_those_that_there_are() {
    let call = Call::example();
    for name in FUNCTIONS {
        let text = match *name {
            "size" => "size('a') == 1",
            "startsWith" => "'ab'.startsWith('a')",
            "endsWith" => "'ab'.endsWith('b')",
            "contains" => "'ab'.contains('b')",
            "matches" => "'ab'.matches('b')",
            "lowerAscii" => "'A'.lowerAscii() == 'a'",
            "int" => "int(1.9) == 1",
            "double" => "double('1.5') == 1.5",
            "string" => "string(true) == 'true'",
            "has" => "has(source.identity)",
            "all" => "[1].all(x, x == 1)",
            "exists" => "[1].exists(x, x == 1)",
            "exists_one" => "[1].exists_one(x, x == 1)",
            other => panic!("{other} is not tried"),
        };
        assert_eq!(every(text, &call), Some(true), "{text}");
    }
}

#[test]
fn programs_are_equal_if_they_are_written_alike() {
    assert_eq!(program("true"), program("true"));
    assert_ne!(program("true"), program("true "));
    assert_eq!(format!("{:?}", program("true")), "Program(\"true\")");
    assert_eq!(program(" true").text(), " true");
}

#[test]
fn an_access_log_asks_for_what_has_ended_and_a_policy_does_not() {
    let call = Call::example();
    for (text, answer) in [
        ("response.code >= 500 && response.failure == 'no_endpoints'", Some(true)),
        ("response.headers['retry-after'] == '1' && request.headers['x-role'] == 'admin'", Some(true)),
        ("'x-role' in response.headers", Some(false)),
        ("response.headerLines['x-other'] == 'a'", None),
    ] {
        let program = Program::compile_in(Scope::Log, text).unwrap();
        assert_eq!(program.evaluate(&call, Readings::Any).ok(), answer, "{text}");
        let refused = Program::compile(text).unwrap_err();
        assert!(refused.why.contains("there is no variable `response."), "{refused}");
    }
    let refused = |text| Program::compile_in(Scope::Log, text).unwrap_err().why;
    assert!(refused("jwt.claims.sub == 'a'").contains("begin with request, response, source"));
    assert!(refused("response.status == 1").contains("there are response.code, response.grpcStatus"));
    let program = "'a' in request.headers && response.headers.b == 'c' && request.query == ''";
    let program = Program::compile_in(Scope::Log, program).unwrap();
    assert_eq!(program.request_headers().collect::<Vec<_>>(), ["a"]);
    assert_eq!(program.response_headers().collect::<Vec<_>>(), ["b"]);
    assert!(program.asks_for(Variable::RequestQuery) && !program.asks_for(Variable::RequestPath));
}
