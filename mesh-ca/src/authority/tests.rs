//! Facts about the authority and what it signs.

use super::*;
use mesh_identity::MemberKey;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const NOW: u64 = 1_800_000_000;
const TTL: Duration = Duration::from_mins(1);

fn domain() -> TrustDomain {
    TrustDomain::new("mesh.test").unwrap()
}

fn in_memory() -> Authority {
    Authority::open(domain(), None, NOW).unwrap()
}

fn in_dir(path: &Path, now: u64) -> Result<Authority, AuthorityError> {
    Authority::open(domain(), Some(Arc::new(StateDir::open(path).unwrap())), now)
}

fn csr() -> Csr {
    Csr::parse(&MemberKey::generate().unwrap().certificate_request().unwrap()).unwrap()
}

fn cart() -> SpiffeId {
    SpiffeId::new(domain(), "shop", "cart").unwrap()
}

#[test]
fn a_member_gets_an_svid_of_the_template() {
    let signed = in_memory().sign(&csr(), &cart(), TTL, NOW).unwrap().svid;
    assert_eq!(signed.spiffe_id, cart());
    assert_eq!((signed.not_before, signed.not_after), (NOW - 30, NOW + 60));
    assert_eq!(signed.chain.len(), 2);
}

#[test]
fn serial_numbers_are_random_and_long() {
    let authority = in_memory();
    let serials: std::collections::HashSet<_> =
        (0..20).map(|_| authority.sign(&csr(), &cart(), TTL, NOW).unwrap().svid.serial).collect();
    assert_eq!(serials.len(), 20);
    assert!(serials.iter().all(|serial| serial.len() > 16), "{serials:?}");
}

#[test]
fn a_restart_keeps_root_and_issuer() {
    let temp = tempfile::tempdir().unwrap();
    let first = in_dir(temp.path(), NOW).unwrap();
    let (root, issuer) = (first.root_pem().to_owned(), first.issuer().pem.clone());
    drop(first);
    let second = in_dir(temp.path(), NOW + 60).unwrap();
    assert_eq!(second.root_pem(), root);
    assert!(second.issuer().pem.contains(&issuer));
    second.sign(&csr(), &cart(), TTL, NOW + 60).unwrap();
}

#[test]
fn key_files_are_for_this_user_alone() {
    let temp = tempfile::tempdir().unwrap();
    drop(in_dir(temp.path(), NOW).unwrap());
    let mode = |name: &str| fs::metadata(temp.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(ROOT_KEY), mode(ISSUER), mode(".")), (0o600, 0o600, 0o700));
}

#[test]
fn an_interrupted_first_start_begins_anew() {
    let temp = tempfile::tempdir().unwrap();
    drop(in_dir(temp.path(), NOW).unwrap());
    // Killed after the key and before the certificate.
    fs::remove_file(temp.path().join(ROOT_CERT)).unwrap();
    let authority = in_dir(temp.path(), NOW).unwrap();
    authority.sign(&csr(), &cart(), TTL, NOW).unwrap();
}

#[test]
fn an_issuer_is_replaced_in_time_and_when_it_is_broken() {
    let temp = tempfile::tempdir().unwrap();
    let authority = in_dir(temp.path(), NOW).unwrap();
    let (root, old) = (authority.root_pem().to_owned(), authority.issuer_not_after());
    authority.renew_issuer(NOW + 100 * DAY).unwrap();
    assert_eq!(authority.issuer_not_after(), old);
    authority.renew_issuer(NOW + 300 * DAY).unwrap();
    assert!(authority.issuer_not_after() > old);
    drop(authority);
    fs::write(temp.path().join(ISSUER), "half").unwrap();
    let authority = in_dir(temp.path(), NOW).unwrap();
    assert_eq!(authority.root_pem(), root);
    authority.sign(&csr(), &cart(), TTL, NOW).unwrap();
}

#[test]
fn a_root_without_its_key_is_an_error_that_says_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    drop(in_dir(temp.path(), NOW).unwrap());
    fs::remove_file(temp.path().join(ROOT_KEY)).unwrap();
    let text = in_dir(temp.path(), NOW).unwrap_err().to_string();
    assert!(
        text.contains("its key root.key is missing") && text.contains("restore it from a backup"),
        "{text}"
    );
}

#[test]
fn the_state_of_another_trust_domain_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    drop(in_dir(temp.path(), NOW).unwrap());
    let other = TrustDomain::new("other.test").unwrap();
    let error =
        Authority::open(other, Some(Arc::new(StateDir::open(temp.path()).unwrap())), NOW).unwrap_err();
    assert!(matches!(error, AuthorityError::TrustDomain { .. }), "{error}");
}

#[test]
fn an_expired_root_is_refused_at_start() {
    let temp = tempfile::tempdir().unwrap();
    drop(in_dir(temp.path(), NOW).unwrap());
    assert!(matches!(in_dir(temp.path(), NOW + 4000 * DAY), Err(AuthorityError::RootExpired(_))));
}

#[test]
fn what_is_not_as_meant_is_not_handed_out() {
    let authority = in_memory();
    let csr = csr();
    let svid = authority.sign(&csr, &cart(), TTL, NOW).unwrap().svid;
    let id = SpiffeId::new(domain(), "shop", "orders").unwrap();
    let wanted = template::Leaf { id: &id, serial: Serial::random().unwrap(), now: NOW, not_after: NOW + 60 };
    let error = validate::leaf(&svid, &wanted, &csr.key_der, &authority.bundle()).unwrap_err();
    assert!(error.to_string().contains("another identity"), "{error}");
    let same = cart();
    let wanted = template::Leaf { id: &same, ..wanted };
    let error = validate::leaf(&svid, &wanted, &csr.key_der, &authority.bundle()).unwrap_err();
    assert!(error.to_string().contains("serial"), "{error}");
}
