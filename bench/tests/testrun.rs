//! The benchmark works: every case runs, does what its name says, and yields a row. How fast, it does not ask.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lb_bench::testrun::{Plan, measure};

#[test]
fn every_case_yields_a_row() {
    let report = measure(Plan::SMOKE).unwrap();
    for case in ["floor/tx", "pass/tcp4/other", "direct/tcp4/established", "direct/tcp6/established"] {
        let row = report.row(case, 1).unwrap_or_else(|| panic!("no row of {case}"));
        assert!(row.min > 0.0 && row.min <= row.median && row.median <= row.max, "{row:?}");
        assert_eq!(row.net.is_none(), case == "floor/tx", "{row:?}");
    }
    assert!(report.table().contains("direct/tcp4/established"));
    assert!(report.machine.contains_key("kernel"));
}
