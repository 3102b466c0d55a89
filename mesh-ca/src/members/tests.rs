//! Facts about the table of members.

use super::*;

const NOW: u64 = 1_000;

fn it(instance: &str, not_after: u64, generation: u64) -> Issuance<'_> {
    Issuance { id: "spiffe://mesh.test/ns/shop/sa/cart", instance, not_after, generation }
}

fn late(members: &Members, bundle: u64) -> Vec<String> {
    let late = members.living(NOW).filter(|member| member.generation < bundle);
    late.map(|member| member.instance).collect()
}

#[test]
fn a_first_certificate_comes_with_the_bundle_and_a_renewal_proves_nothing_by_itself() {
    let mut members = Members::new(10);
    members.issued(it("a", 2_000, 0), true, 1, NOW);
    assert!(late(&members, 1).is_empty());
    members.issued(it("a", 3_000, 1), false, 2, NOW);
    assert_eq!(late(&members, 2), ["a"], "the answer may not have come to it");
    members.acknowledged(it("a", 3_000, 2), 2, NOW);
    assert!(late(&members, 2).is_empty());
}

#[test]
fn nobody_trusts_what_is_not_published_yet() {
    let mut members = Members::new(10);
    members.acknowledged(it("a", 2_000, 99), 1, NOW);
    assert_eq!(late(&members, 2), ["a"]);
}

#[test]
fn a_process_that_does_not_say_which_it_is_is_waited_for_until_its_certificate_ends() {
    let mut members = Members::new(10);
    members.issued(it("", 2_000, 0), true, 1, NOW);
    members.issued(it("", 2_500, 2), false, 2, NOW);
    assert_eq!(late(&members, 2), [""]);
    members.expire(2_500);
    assert_eq!(members.living(NOW).count(), 0);
}

#[test]
fn beyond_its_bound_the_table_remembers_one_time() {
    let mut members = Members::new(1);
    assert!(members.issued(it("a", 2_000, 0), true, 1, NOW));
    assert!(!members.issued(it("b", 3_000, 0), true, 1, NOW), "there is no place");
    let view = members.view("ca", (1, Step::Steady), NOW, NOW);
    assert_eq!((view.unknown_until(1), view.unknown_until(2)), (0, 3_000));
    let view = members.view("ca", (2, Step::RootPublished), NOW, NOW);
    assert_eq!(view.unknown_until(2), 3_000);
    // Its renewals say that it trusts the bundle: the time does not grow.
    members.issued(it("b", 9_000, 2), false, 2, NOW);
    assert_eq!(members.view("ca", (2, Step::RootPublished), NOW, NOW).unknown_until(2), 3_000);
    assert!(
        members.issued(it("b", 9_000, 2), false, 2, 2_000),
        "there is place when another one's has ended"
    );
}

#[test]
fn replicas_know_together_what_each_knows_alone() {
    let (mut one, mut two) = (Members::new(10), Members::new(10));
    one.issued(it("a", 2_000, 1), false, 2, NOW);
    two.acknowledged(it("a", 1_500, 2), 2, NOW);
    let point = (2, Step::RootPublished);
    let merged = Members::merged(&[one.view("1", point, NOW, NOW), two.view("2", point, NOW, NOW)]);
    let all: Vec<_> = merged.living(NOW).collect();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].not_after, all[0].generation), (2_000, 2));
}

#[test]
fn a_view_is_bounded_and_what_it_leaves_out_is_a_time() {
    let mut members = Members::new(CAPACITY);
    for index in 0..=SHARED as u64 {
        members.issued(it(&index.to_string(), 2_000 + index, 1), false, 2, NOW);
    }
    let view = members.view("ca", (2, Step::RootPublished), NOW, NOW);
    assert_eq!(view.members.len(), SHARED);
    assert!(view.unknown_until(2) >= 2_000);
    assert!(serde_json::to_string(&view).unwrap().len() < 200_000);
}

#[test]
fn a_replica_that_was_killed_comes_back_and_knows_what_it_does_not_know() {
    let mut members = Members::new(10);
    members.issued(it("a", 2_000, 0), true, 1, NOW);
    let view = members.view("ca", (1, Step::Steady), NOW, NOW);
    let mut back = Members::new(10);
    back.resume(&view, 60, NOW + 10);
    assert_eq!(back.view("ca", (1, Step::Steady), NOW, NOW).unknown_until(1), NOW + 70);
    let mut back = Members::new(10);
    back.resume(&View { has_ended: true, ..view }, 60, NOW + 10);
    assert_eq!(back.view("ca", (1, Step::Steady), NOW, NOW).unknown_until(1), 0);
    assert_eq!(back.living(NOW).count(), 1);
}
