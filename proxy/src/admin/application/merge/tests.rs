//! What both become, in tables, and what must hold whatever the application serves.

use proptest::prelude::*;

use super::super::text;
use super::*;

const OWN: &str = "# HELP mesh_requests Requests.\n# TYPE mesh_requests counter\nmesh_requests_total{side=\"inbound\"} 7\n\
    # HELP http_server_request_duration_seconds Time.\n# TYPE http_server_request_duration_seconds histogram\n\
    http_server_request_duration_seconds_bucket{le=\"+Inf\",who=\"mesh\",none=\"\"} 1\n\
    # HELP mesh_build_info What.\n# TYPE mesh_build_info gauge\nmesh_build_info{version=\"1\"} 1\n# EOF\n";

fn merged(theirs: &str, format: Exposition) -> Merged {
    let own = if format == Exposition::Plain { mesh_lifecycle::admin::plain(OWN) } else { OWN.to_owned() };
    merge(&own, text::read(theirs, format).unwrap(), format)
}

#[test]
fn families_follow_ours_and_the_end_is_there_once() {
    let theirs = "# HELP app_x What \"x\" is.\n# TYPE app_x gauge\napp_x{a=\"1\"} 5 12.5\n# TYPE app_y counter\n# UNIT app_y bytes\n\
        app_y_total 1 # {trace_id=\"0f\"} 1\n# EOF\n";
    let Merged { body, left_out } = merged(theirs, Exposition::OpenMetrics);
    let (own, rest) = body.split_at(OWN.len() - 6);
    assert_eq!((format!("{own}# EOF\n").as_str(), left_out), (OWN, 0));
    assert_eq!(
        rest,
        "# HELP app_x What \"x\" is.\n# TYPE app_x gauge\napp_x{a=\"1\"} 5 12.5\n# TYPE app_y counter\n\
         app_y_total 1 # {trace_id=\"0f\"} 1\n# EOF\n"
    );
}

#[test]
fn a_family_that_both_have_is_there_once_and_a_series_of_ours_is_ours() {
    let family = "http_server_request_duration_seconds";
    let theirs = format!(
        "# HELP {family} Other words.\n# TYPE {family} histogram\n{family}_bucket{{le=\"+Inf\",http_route=\"/a\"}} 3\n\
         {family}_bucket{{who=\"mesh\",le=\"+Inf\"}} 99\n"
    );
    let Merged { body, left_out } = merged(&theirs, Exposition::Plain);
    assert_eq!(left_out, 1, "{body}");
    assert_eq!(body.matches("# TYPE http_server").count(), 1, "{body}");
    assert!(!body.contains("99") && !body.contains("Other words"), "{body}");
    let (of_family, after) = body.split_once("# HELP mesh_build_info").unwrap();
    assert!(of_family.ends_with(&format!("{family}_bucket{{le=\"+Inf\",http_route=\"/a\"}} 3\n")), "{body}");
    assert!(!after.contains(family), "{body}");
}

#[test]
fn what_is_ours_by_name_or_kind_is_not_theirs() {
    for theirs in [
        "mesh_requests_total{side=\"inbound\"} 1000000\n",
        "mesh_of_the_app 1\n",
        "# TYPE http_server_request_duration_seconds gauge\nhttp_server_request_duration_seconds 1\n",
        "# TYPE http_server_request_duration_seconds_bucket counter\nhttp_server_request_duration_seconds_bucket 1\n",
    ] {
        let Merged { body, left_out } = merged(theirs, Exposition::Plain);
        assert_eq!((body, left_out), (mesh_lifecycle::admin::plain(OWN), 1), "{theirs}");
    }
}

#[test]
fn a_series_that_is_there_twice_is_told_once() {
    let Merged { body, left_out } =
        merged("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\na{z=\"\"} 3\na 4\n", Exposition::Plain);
    assert!(body.ends_with("# TYPE a untyped\na{x=\"1\",y=\"2\"} 1\na{z=\"\"} 3\n"), "{body}");
    assert_eq!(left_out, 2);
}

#[test]
fn help_stays_one_line_and_its_escapes_are_whole() {
    let theirs = "# HELP a C:\\dir \\n \\\\ \\\"x\\\" end\\\n# TYPE a gauge\na 1\n";
    let Merged { body, .. } = merged(theirs, Exposition::Plain);
    assert!(body.contains("# HELP a C:\\\\dir \\n \\\\ \"x\" end\\\\\n"), "{body}");
}

/// Texts of an application, good, bad and with names of ours.
fn texts() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("app_a"),
        Just("app_a_total"),
        Just("app_a_bucket"),
        Just("mesh_requests_total"),
        Just("mesh_x"),
        Just("http_server_request_duration_seconds_bucket"),
        Just("http_server_request_duration_seconds"),
        Just("mesh_build_info"),
    ];
    let labels =
        prop_oneof![Just(""), Just("{le=\"+Inf\"}"), Just("{le=\"+Inf\",who=\"mesh\"}"), Just("{a=\"\\q\"}")];
    let sample = (name.clone(), labels, -5..5i32)
        .prop_map(|(name, labels, value)| format!("{name}{labels} {value}\n"));
    let kind = prop_oneof![Just("counter"), Just("gauge"), Just("histogram"), Just("untyped"), Just("odd")];
    let declared = (name, kind).prop_map(|(name, kind)| format!("# TYPE {name} {kind}\n"));
    prop::collection::vec(prop_oneof![3 => sample, 1 => declared], 0..20).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn ours_stay_and_the_whole_can_be_read(theirs in texts(), open in any::<bool>()) {
        let format = if open { Exposition::OpenMetrics } else { Exposition::Plain };
        let theirs = if open { format!("{theirs}# EOF\n") } else { theirs };
        let own = if open { OWN.to_owned() } else { mesh_lifecycle::admin::plain(OWN) };
        let merged = merged(&theirs, format);
        // Every line of ours, in its order.
        let mut lines = merged.body.lines();
        for line in own.lines() {
            prop_assert!(lines.any(|there| there == line), "{line} is gone from\n{}", merged.body);
        }
        let families = text::read(&merged.body, format);
        prop_assert!(families.is_ok(), "{families:?}\n{}", merged.body);
        let mut types: Vec<_> = merged.body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let count = types.len();
        types.sort_unstable();
        types.dedup();
        prop_assert_eq!(types.len(), count, "a family is there twice in\n{}", &merged.body);
        let mut series: Vec<_> = merged.body.lines().filter(|line| !line.starts_with('#')).filter_map(series).collect();
        let count = series.len();
        series.sort_unstable();
        series.dedup();
        prop_assert_eq!(series.len(), count, "a series is there twice in\n{}", &merged.body);
        prop_assert_eq!(merged.body.matches("# EOF").count(), usize::from(open));
    }
}
