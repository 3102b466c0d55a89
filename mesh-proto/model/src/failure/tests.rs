//! Codes, flags and statuses are unique and fit where they are written, and the table of failures is the contract with users.

use std::collections::BTreeSet;

use super::*;

#[test]
fn codes_and_flags_are_unique_and_fit_for_labels_and_headers() {
    let codes: BTreeSet<_> = Failure::ALL.iter().map(|f| f.code()).collect();
    assert_eq!(codes.len(), Failure::ALL.len());
    for code in codes {
        assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
    }
    let flags: BTreeSet<_> = Failure::ALL.iter().map(|f| f.flag()).collect();
    assert_eq!(flags.len(), Failure::ALL.len());
    for flag in flags {
        assert!((2..=4).contains(&flag.len()) && flag.bytes().all(|b| b.is_ascii_uppercase()), "{flag}");
    }
}

#[test]
fn all_lists_every_failure_in_order() {
    assert!(Failure::ALL.is_sorted());
    assert_eq!(Failure::ALL.map(|f| f as usize), std::array::from_fn(|i| i));
    assert_eq!(Failure::ALL.last().map(|f| *f as usize), Some(Failure::BadRequest as usize));
}

#[test]
fn statuses_are_errors_and_texts_are_sentences() {
    for failure in Failure::ALL {
        assert!((400..600).contains(&failure.http_status()), "{failure:?}");
        assert!((1..=16).contains(&failure.grpc_status()), "{failure:?}");
        assert!(!failure.meaning().is_empty() && !failure.meaning().ends_with('.'), "{failure:?}");
        for text in [failure.cause(), failure.remedy()] {
            assert!(text.ends_with('.') && !text.contains("  "), "{failure:?}: {text}");
        }
    }
}

#[test]
fn a_failure_is_found_by_code_and_by_flag() {
    for failure in Failure::ALL {
        assert_eq!(Failure::find(failure.code()), Some(failure));
        assert_eq!(Failure::find(failure.flag()), Some(failure));
    }
    assert_eq!(Failure::find("ut"), Some(Failure::RequestTimeout));
    assert_eq!(Failure::find("nothing"), None);
}

#[test]
fn a_reason_is_found_by_its_code() {
    use reason::Reason;
    let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Reason::ALL.len());
    assert_eq!(Reason::ALL.map(|reason| reason as usize), std::array::from_fn(|i| i));
    assert_eq!(Reason::ALL.last().map(|reason| *reason as usize), Some(Reason::ClientGone as usize));
    for reason in Reason::ALL {
        assert_eq!(Reason::find(reason.code()), Some(reason));
    }
    assert_eq!(Reason::find(""), None);
}

/// The contract with users: changing a line here is a breaking change.
#[test]
fn the_table_is_the_contract() {
    let table: Vec<_> =
        Failure::ALL.iter().map(|f| (f.code(), f.flag(), f.http_status(), f.grpc_status())).collect();
    assert_eq!(
        table,
        [
            ("no_route", "NR", 404, 12),
            ("backend_invalid", "NC", 500, 14),
            ("no_backend", "NB", 500, 14),
            ("no_endpoints", "NH", 503, 14),
            ("connect_failed", "UF", 503, 14),
            ("connect_timeout", "UFT", 504, 14),
            ("tls_failed", "UTF", 503, 14),
            ("request_timeout", "UT", 504, 4),
            ("attempt_timeout", "UAT", 504, 4),
            ("idle_timeout", "SI", 504, 4),
            ("stream_timeout", "DT", 504, 4),
            ("upstream_reset", "UC", 502, 14),
            ("upstream_protocol", "UPE", 502, 13),
            ("unknown_destination", "UD", 502, 14),
            ("config_unavailable", "CU", 503, 14),
            ("overload", "OM", 503, 8),
            ("circuit_open", "UO", 503, 14),
            ("rate_limited", "RL", 429, 8),
            ("shed", "LS", 503, 14),
            ("fault_injected", "FI", 503, 14),
            ("request_too_large", "RTL", 413, 8),
            ("response_too_large", "STL", 502, 8),
            ("plaintext_refused", "PR", 403, 7),
            ("policy_denied", "PD", 403, 7),
            ("policy_undecided", "PU", 403, 7),
            ("token_missing", "TM", 401, 16),
            ("token_invalid", "TI", 401, 16),
            ("authz_denied", "AD", 403, 7),
            ("authz_unavailable", "AU", 403, 7),
            ("rate_limit_unavailable", "RLU", 503, 14),
            ("bad_request", "DPE", 400, 13),
        ]
    );
}
