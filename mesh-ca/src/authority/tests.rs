//! Facts about the authority and what it signs.

use super::*;
use crate::rotation::{Act, Step};
use mesh_identity::MemberKey;

const NOW: u64 = 1_800_000_000;
const TTL: Duration = Duration::from_mins(1);
const DAY: u64 = 86_400;

fn domain() -> TrustDomain {
    TrustDomain::new("mesh.test").unwrap()
}

fn mint() -> Mint {
    let lives = Lives { root: Duration::from_hours(87_600), issuer: Duration::from_hours(8760) };
    Mint { trust_domain: domain(), keys: KeyStore::Text, lives, least_issuer: Duration::from_mins(4) }
}

fn vault() -> Vault {
    Vault::begin(mint().root(NOW).unwrap(), 60, NOW)
}

fn authority(vault: &Vault) -> Result<Authority, BadKeys> {
    Authority::new(domain(), KeyStore::Text, vault, NOW)
}

fn csr() -> Csr {
    Csr::parse(&MemberKey::generate().unwrap().certificate_request().unwrap()).unwrap()
}

fn cart() -> SpiffeId {
    SpiffeId::new(domain(), "shop", "cart").unwrap()
}

#[test]
fn a_member_gets_an_svid_of_the_template() {
    let signed = authority(&vault()).unwrap().sign(&csr(), &cart(), TTL, NOW).unwrap().svid;
    assert_eq!(signed.spiffe_id, cart());
    assert_eq!((signed.not_before, signed.not_after), (NOW - 60, NOW + 60));
    assert_eq!(signed.chain.len(), 2);
}

#[test]
fn serial_numbers_are_random_and_long() {
    let authority = authority(&vault()).unwrap();
    let serials: std::collections::HashSet<_> =
        (0..20).map(|_| authority.sign(&csr(), &cart(), TTL, NOW).unwrap().svid.serial).collect();
    assert_eq!(serials.len(), 20);
    assert!(serials.iter().all(|serial| serial.len() > 16), "{serials:?}");
    // The generator itself, as often as a large mesh asks in a day.
    let serials: std::collections::HashSet<_> =
        (0..1_000_000).map(|_| Serial::random().unwrap().significant().to_vec()).collect();
    assert_eq!(serials.len(), 1_000_000);
}

#[test]
fn a_certificate_never_outlives_its_issuer_and_nothing_is_signed_after_that() {
    let mint = Mint { lives: Lives { issuer: Duration::from_secs(90), ..mint().lives }, ..mint() };
    let vault = Vault::begin(mint.root(NOW).unwrap(), 60, NOW);
    let authority = authority(&vault).unwrap();
    let end = |now: u64| authority.sign(&csr(), &cart(), TTL, now).map(|signed| signed.svid.not_after);
    assert_eq!(end(NOW).unwrap(), NOW + 60);
    assert_eq!(end(NOW + 50).unwrap(), NOW + 90, "the issuer's end");
    assert!(matches!(end(NOW + 90), Err(AuthorityError::Validation("it has no lifetime"))));
}

#[test]
fn root_and_issuer_are_due_in_time() {
    let due = authority(&vault()).unwrap().due();
    assert!(due.issuer > NOW + 240 * DAY && due.issuer < NOW + 250 * DAY);
    assert!(due.root > NOW + 2900 * DAY && due.root < NOW + 2930 * DAY);
}

#[test]
fn a_vault_is_taken_over_whole_and_the_bundle_grows_before_the_issuer_moves() {
    let first = vault();
    let authority = authority(&first).unwrap();
    let mut bundles = authority.watch_bundle();
    let prepared = first.after(Act::Prepare, Some(mint().root(NOW).unwrap()), 60, NOW);
    assert!(authority.can_follow(&prepared) && authority.adopt(&prepared).unwrap());
    assert!(!bundles.has_changed().unwrap(), "nobody learns of a root that is only prepared");
    let issuer =
        |authority: &Authority| authority.sign(&csr(), &cart(), TTL, NOW).unwrap().svid.chain[1].clone();
    let old = issuer(&authority);
    let published = prepared.after(Act::Publish, None, 60, NOW);
    assert!(authority.adopt(&published).unwrap());
    assert_eq!((bundles.borrow_and_update().roots().len(), authority.bundle().generation()), (2, 2));
    assert_eq!(issuer(&authority), old);
    let moved = published.after(Act::Move, None, 60, NOW);
    assert!(authority.adopt(&moved).unwrap());
    assert_ne!(issuer(&authority), old);
    assert!(!bundles.has_changed().unwrap());
    let dropped = moved.after(Act::Drop, None, 60, NOW);
    assert!(authority.adopt(&dropped).unwrap());
    assert_eq!((authority.bundle().roots().len(), authority.point()), (1, (3, Step::Steady)));
    assert!(!authority.adopt(&dropped).unwrap(), "nothing is new");
    assert!(!authority.can_follow(&first), "it would be a step back");
    assert!(!authority.can_follow(&vault()), "another mesh's");
}

#[test]
fn another_issuer_of_the_same_root_changes_no_bundle() {
    let first = vault();
    let authority = authority(&first).unwrap();
    let bundles = authority.watch_bundle();
    let next = first.after(Act::RenewIssuer, Some(mint().issuer(&first.current, NOW).unwrap()), 60, NOW);
    assert!(authority.adopt(&next).unwrap());
    assert!(!bundles.has_changed().unwrap());
    authority.sign(&csr(), &cart(), TTL, NOW).unwrap();
}

#[test]
fn keys_that_do_not_fit_together_are_refused() {
    let (good, other) = (vault(), vault());
    let says = |vault: Vault| authority(&vault).unwrap_err().to_string();
    let mut vault = good.clone();
    vault.current.root_key.clone_from(&other.current.root_key);
    assert!(says(vault).contains("its key is another one's"));
    let mut vault = good.clone();
    vault.current.issuer.clone_from(&other.current.issuer);
    assert!(says(vault).contains("not signed by the root"));
    let mut vault = good.clone();
    vault.current.issuer = "half".to_owned();
    assert!(says(vault).contains("the issuer cannot be used"));
    let wrong = TrustDomain::new("other.test").unwrap();
    let error = Authority::new(wrong, KeyStore::Text, &good, NOW).unwrap_err();
    assert!(matches!(error, BadKeys::TrustDomain { .. }), "{error}");
    let error = Authority::new(domain(), KeyStore::Text, &good, NOW + 4000 * DAY).unwrap_err();
    assert!(matches!(error, BadKeys::Expired(_)), "{error}");
    // What comes next is looked at before it is published.
    let mut vault = good.after(Act::Prepare, Some(other.current), 60, NOW);
    vault.next.as_mut().unwrap().issuer.clone_from(&good.current.issuer);
    assert!(says(vault).contains("not signed by the root"));
}

#[test]
fn what_is_not_as_meant_is_not_handed_out() {
    let authority = authority(&vault()).unwrap();
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
