//! What `meshctl error` says.

use super::*;

#[test]
fn every_failure_has_a_page_of_80_columns() {
    let pages: Vec<String> = Failure::ALL.iter().map(|failure| page(*failure, Paint::Plain)).collect();
    for line in pages.iter().flat_map(|page| page.lines()) {
        assert!(line.chars().count() <= WIDTH, "{line}");
        assert_eq!(line, line.trim_end());
    }
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn the_table_lists_all() {
    insta::assert_snapshot!(table(&Failure::ALL).render(Paint::Plain));
}

#[test]
fn json_has_every_field() {
    insta::assert_json_snapshot!(json(Failure::RequestTimeout));
}

#[test]
fn a_failure_is_found_by_code_flag_and_status() {
    for failure in Failure::ALL {
        for text in
            [failure.code(), failure.flag(), &failure.flag().to_lowercase(), &failure.code().to_uppercase()]
        {
            assert_eq!(find(text).unwrap(), [failure], "{text}");
        }
        assert!(find(&failure.http_status().to_string()).unwrap().contains(&failure));
    }
    assert_eq!(find("no-endpoints").unwrap(), [Failure::NoEndpoints]);
}

#[test]
fn a_code_that_is_none_is_answered_with_those_that_are_near() {
    let error = find("request_timout").unwrap_err().to_string();
    assert!(error.contains("did you mean") && error.contains("request_timeout"), "{error}");
    let error = find("UFOX").unwrap_err().to_string();
    assert!(error.contains("`meshctl error` lists all"), "{error}");
    assert!(find("200").is_err() && find("").is_err());
}
