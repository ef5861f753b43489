//! The benchmark over the lab's wires works: everybody forwards what is sent. How much, it does not ask.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lb_bench::{
    figures::{Plan, Report},
    veth,
};

#[test]
fn everybody_forwards_what_is_sent() {
    let report = Report::new(veth::run(Plan::SMOKE).unwrap());
    for flows in [1, u64::from(Plan::SMOKE.most)] {
        for (case, subject) in [
            ("floor/tx", "floor:tx"),
            ("direct/udp4", "lb:maglev"),
            ("tunnel/udp4", "lb:rr"),
            ("masquerade/udp4", "lb:rr"),
            ("forward/udp4", "kernel"),
            ("masquerade/udp4", "nftables:numgen"),
            ("masquerade/udp4", "nftables:jhash"),
        ] {
            let row = report.row(case, subject, flows).unwrap_or_else(|| panic!("no row of {case}"));
            assert!(row.median > 0.0, "{row:?}");
        }
    }
}
