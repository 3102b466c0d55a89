//! Facts about the audit log.

use super::*;

fn decision(reason: &str) -> Decision<'_> {
    Decision {
        time: 1_800_000_000,
        decision: "issued",
        kind: "renewal",
        spiffe_id: Some("spiffe://mesh.test/ns/shop/sa/cart".into()),
        instance: "cart.a",
        caller: Some("127.0.0.1:1".into()),
        caller_id: None,
        serial: Some("0a"),
        key_sha256: Some("ff".into()),
        not_after: Some(1_800_000_060),
        reason: Some(reason.into()),
    }
}

fn read(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn check(lines: &[String]) -> Result<Verified, BadChain> {
    verify(lines.iter().cloned().map(Ok), Beginnings::One)
}

#[test]
fn a_chain_goes_on_over_restarts_and_holds() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("audit.log");
    for _ in 0..2 {
        let audit = Audit::file(&path).unwrap();
        audit.write(&decision("a")).unwrap();
        audit.write(&decision(r#"},"hash":"x"#)).unwrap();
    }
    let verified = check(&read(&path)).unwrap();
    assert_eq!((verified.lines, verified.first, verified.last, verified.issued), (4, 1, 4, 4));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_was_changed_taken_out_or_put_in_shows() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("audit.log");
    let audit = Audit::file(&path).unwrap();
    (0..4).for_each(|_| audit.write(&decision("a")).unwrap());
    let good = read(&path);
    let mut changed = good.clone();
    changed[1] = changed[1].replace("cart", "root");
    assert!(matches!(check(&changed), Err(BadChain::Changed { line: 2, .. })));
    let mut missing = good.clone();
    missing.remove(1);
    assert!(matches!(check(&missing), Err(BadChain::Gap { line: 2, sequence: 3, before: 1 })));
    let mut doubled = good.clone();
    doubled.insert(1, good[0].clone());
    assert!(matches!(check(&doubled), Err(BadChain::Gap { line: 2, sequence: 1, before: 1 })));
    let collected = doubled.into_iter().take(2).map(Ok);
    assert_eq!(verify(collected, Beginnings::Many).unwrap().lines, 2, "two processes");
    let mut swapped = good.clone();
    swapped.swap(1, 2);
    assert!(matches!(check(&swapped), Err(BadChain::Gap { .. })));
    assert!(matches!(check(&["{}".into()]), Err(BadChain::NoDecision { line: 1 })));
    assert!(matches!(check(&[]), Err(BadChain::Empty)));
    assert_eq!(check(&good[2..]).unwrap().first, 3, "a chain whose beginning is in another file");
}

#[test]
fn half_a_line_of_a_crash_is_removed_and_a_foreign_file_is_not_touched() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("audit.log");
    Audit::file(&path).unwrap().write(&decision("a")).unwrap();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"sequence\":2,").unwrap();
    Audit::file(&path).unwrap().write(&decision("b")).unwrap();
    assert_eq!(check(&read(&path)).unwrap().lines, 2);
    let foreign = temp.path().join("notes");
    fs::write(&foreign, "hello\n").unwrap();
    assert!(Audit::file(&foreign).is_err());
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "hello\n");
}

#[test]
fn a_full_file_is_turned_over_and_the_chain_goes_on_in_the_next_one() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("audit.log");
    let audit = Audit::file(&path).unwrap();
    audit.write(&decision("a")).unwrap();
    if let To::File { bytes, .. } = &mut audit.sink.lock().unwrap().to {
        *bytes = MAX_BYTES;
    }
    audit.write(&decision("b")).unwrap();
    let mut all = read(&temp.path().join("audit.log.1"));
    all.extend(read(&path));
    assert_eq!(check(&all).unwrap().lines, 2);
    let next = Audit::file(&path).unwrap();
    next.write(&decision("c")).unwrap();
    assert_eq!(check(&read(&path)).unwrap().last, 3);
}
