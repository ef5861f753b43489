//! The benchmark with real programs works: everybody's requests are answered. How soon, it does not ask.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lb_bench::{
    figures::{Plan, Report},
    requests,
};

#[test]
fn everybody_answers_requests() {
    let report = Report::new(requests::run(Plan::SMOKE).unwrap());
    for subject in ["without", "lb:rr", "haproxy", "nginx-stream", "nftables"] {
        for case in ["http/keepalive", "http/close", "http/keepalive/p99", "http/close/cpu"] {
            let row = report.row(case, subject, 32).unwrap_or_else(|| panic!("no row of {case}"));
            assert!(row.median > 0.0, "{row:?}");
        }
        let has_balancing = report.row("http/close/balancing", subject, 32).is_some();
        assert_eq!(has_balancing, subject != "without");
    }
}
