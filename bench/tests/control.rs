//! The benchmark of memory and control plane works. How much and how fast, it does not ask.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lb_bench::{
    control,
    figures::{Plan, Report},
    memory,
};

#[test]
fn memory_and_control_yield_their_rows() {
    let plan = Plan { most: 100, ..Plan::SMOKE };
    let mut rows = memory::run(plan).unwrap();
    rows.extend(control::run(plan).unwrap());
    let report = Report::new(rows);
    let value = |case: &str| report.row(case, "lb", 0).unwrap_or_else(|| panic!("no row of {case}")).median;

    // A line of the flow table is 64 bytes with five entries, of which there are 2.6 for each flow.
    let (hot, all) = (value("flow/tables"), value("flow"));
    assert!((31.0..36.0).contains(&hot) && all >= hot, "{hot} of {all} bytes a flow");
    assert!(value("service") > 64.0 && value("real-server") > 512.0 && value("ring-slot") >= 4.0);
    for case in [
        "load",
        "tables/first/services-100",
        "tables/reload-all/services-100",
        "ring/maglev-131071",
        "daemon/start/services-1",
        "daemon/reload-one/services-100",
        "death/check-200ms-fall-2",
    ] {
        assert!(value(case) > 0.0, "{case}");
    }
}
