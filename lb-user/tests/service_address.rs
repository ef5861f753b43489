//! Service addresses put on a real interface of a network namespace and taken away again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod namespace;

use std::collections::BTreeSet;
use std::net::IpAddr;

use lb_user::service_address::{Changes, Placed, ServiceAddressError, open, ours, reconcile, remove_all};

use namespace::{in_namespace, ip};

fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn names(placed: &[Placed]) -> Vec<String> {
    placed.iter().map(ToString::to_string).collect()
}

/// Added, kept, foreign, removed; nothing may have failed.
fn done(changes: &Changes) -> [Vec<String>; 4] {
    assert!(changes.failed.is_empty(), "{:?}", changes.failed);
    [&changes.added, &changes.kept, &changes.foreign, &changes.removed].map(|placed| names(placed))
}

fn all(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|address| (*address).to_owned()).collect()
}

fn nothing() -> [Vec<String>; 4] {
    Default::default()
}

fn ports() {
    ip("link add port0 type veth peer name port1");
    ip("link set port0 up");
    ip("link set port1 up");
}

#[test]
fn they_are_added_adopted_and_removed() {
    in_namespace(async || {
        ports();
        ip("address add 192.0.2.1/24 dev port0");
        let before = ip("-o address show dev port0 scope global");
        let handle = open().unwrap();

        let changes = reconcile(&handle, "port0", &set(&["192.0.2.80", "2001:db8::80"])).await.unwrap();
        let two = all(&["192.0.2.80 on interface port0", "2001:db8::80 on interface port0"]);
        assert_eq!(done(&changes), [two.clone(), vec![], vec![], vec![]]);
        let shown = ip("-o address show dev port0 scope global");
        assert!(shown.contains("192.0.2.80/32"), "{shown}");
        let shown = ip("-o -6 address show dev port0 scope global");
        assert!(shown.contains("2001:db8::80/128") && shown.contains("nodad"), "{shown}");
        assert!(shown.contains("deprecated") && shown.contains("valid_lft forever"), "{shown}");
        assert!(!shown.contains("tentative"), "{shown}");
        assert!(!ip("-6 route show").contains("2001:db8::80"));

        // Another daemon, after this one was killed.
        let handle = open().unwrap();
        assert_eq!(names(&ours(&handle).await.unwrap()), two);
        let changes = reconcile(&handle, "port0", &set(&["2001:db8::80", "192.0.2.81"])).await.unwrap();
        let expected =
            ["192.0.2.81", "2001:db8::80", "192.0.2.80"].map(|a| all(&[&format!("{a} on interface port0")]));
        let [added, kept, removed] = expected;
        assert_eq!(done(&changes), [added, kept, vec![], removed]);

        let changes = remove_all(&handle).await.unwrap();
        let gone = all(&["192.0.2.81 on interface port0", "2001:db8::80 on interface port0"]);
        assert_eq!(done(&changes), [vec![], vec![], vec![], gone]);
        assert_eq!(ip("-o address show dev port0 scope global"), before);
    });
}

#[test]
fn what_the_operator_added_is_left_alone() {
    in_namespace(async || {
        ports();
        ip("address add 192.0.2.80/24 dev port0");
        ip("address add 192.0.2.81/32 dev port0");
        ip("address add 2001:db8::80/64 dev port0 nodad");
        let before = ip("-o address show dev port0 scope global");
        let handle = open().unwrap();

        let changes =
            reconcile(&handle, "port0", &set(&["192.0.2.80", "192.0.2.81", "2001:db8::80"])).await.unwrap();
        let theirs = ["192.0.2.80", "192.0.2.81", "2001:db8::80"].map(|a| format!("{a} on interface port0"));
        assert_eq!(done(&changes), [vec![], vec![], theirs.to_vec(), vec![]]);
        assert_eq!(done(&reconcile(&handle, "port0", &set(&[])).await.unwrap()), nothing());
        assert_eq!(done(&remove_all(&handle).await.unwrap()), nothing());
        assert_eq!(ip("-o address show dev port0 scope global"), before);
    });
}

#[test]
fn each_interface_is_reconciled_for_itself_and_all_are_cleared() {
    in_namespace(async || {
        ports();
        let handle = open().unwrap();
        let wanted = set(&["192.0.2.80", "2001:db8::80"]);
        for interface in ["port0", "port1"] {
            assert_eq!(reconcile(&handle, interface, &wanted).await.unwrap().added.len(), 2);
        }
        assert_eq!(reconcile(&handle, "port0", &set(&[])).await.unwrap().removed.len(), 2);
        let left = all(&["192.0.2.80 on interface port1", "2001:db8::80 on interface port1"]);
        assert_eq!(names(&ours(&handle).await.unwrap()), left);
        assert_eq!(names(&remove_all(&handle).await.unwrap().removed), left);
        assert_eq!(ours(&handle).await.unwrap(), []);
    });
}

#[test]
fn what_the_kernel_refuses_is_told_with_its_place_and_the_rest_is_done() {
    in_namespace(async || {
        ports();
        let handle = open().unwrap();
        let error = reconcile(&handle, "nowhere", &set(&["192.0.2.80"])).await.unwrap_err();
        assert!(matches!(error, ServiceAddressError::NoInterface { .. }), "{error:?}");
        assert!(error.to_string().contains("no interface nowhere"), "{error}");

        let changes = reconcile(&handle, "port0", &set(&["192.0.2.80", "ff02::80"])).await.unwrap();
        assert_eq!(names(&changes.added), ["192.0.2.80 on interface port0"]);
        let [error] = changes.failed.as_slice() else { panic!("{changes:?}") };
        assert!(
            error.to_string().contains("can't add service address ff02::80 on interface port0"),
            "{error}"
        );
    });
}
