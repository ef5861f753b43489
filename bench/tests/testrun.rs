//! The benchmark works: every case runs, does what its name says, and yields a row. How fast, it does not ask.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aya::{Ebpf, programs::Xdp};
use lb_bench::{
    figures::{Plan, Report},
    lab::Lab,
    testrun,
};

static HARNESS: &[u8] = aya::include_bytes_aligned!(env!("LB_HARNESS_OBJECT"));

#[test]
fn every_case_yields_a_row_beside_its_floor() {
    // Somebody else's program: one that does nothing, in a BPF file system of the test's own.
    let lab = Lab::new("peer").unwrap();
    let host = lab.host("peer").unwrap();
    let pin = host.bpffs().join("peer");
    let mut object = Ebpf::load(HARNESS).unwrap();
    let program: &mut Xdp = object.program_mut("floor_tx").unwrap().try_into().unwrap();
    program.load().unwrap();
    program.pin(&pin).unwrap();

    let report = Report::new(testrun::run(Plan::SMOKE, Some(&pin)).unwrap());
    for (case, subject, flows) in [
        ("floor/tx", "floor:tx", 1),
        ("pass/tcp4/other", "lb:rr", 1),
        ("direct/tcp4/established", "lb:rr", 1_024),
        ("direct/tcp6/established", "lb:rr", 1),
        ("tunnel/tcp4/established", "lb:rr", 1),
        ("masquerade/tcp4/in", "lb:rr", 1_024),
        ("masquerade/tcp4/out", "lb:rr", 1_024),
        ("masquerade/tcp6/out", "lb:rr", 1),
        ("direct/udp4/fragment", "lb:rr", 1),
        ("direct/icmp6/error", "lb:rr", 1),
        ("direct/tcp4/new", "lb:wlc", 1_024),
        ("direct/tcp4/flood", "lb:rr", 1_024),
        ("peer/tcp4/established", "peer", 1_024),
    ] {
        let row = report.row(case, subject, flows).unwrap_or_else(|| panic!("no row of {case}"));
        assert!(row.min > 0.0 && row.min <= row.median && row.median <= row.max, "{row:?}");
        assert_eq!(row.net.is_none(), case == "floor/tx", "{row:?}");
    }
    assert!(report.table().contains("tunnel/gue/tcp4/established"));
    assert!(report.machine.contains_key("kernel"));
}

#[test]
fn growth_is_measured_and_told() {
    let report = Report::new(testrun::growth(Plan { most: 64, ..Plan::SMOKE }).unwrap());
    let row = report.row("direct/tcp4/established/services-10", "lb:rr", 1).unwrap();
    assert!(row.net.is_some(), "{row:?}");
    assert!(report.table().contains("direct/tcp4/new by lb:maglev"), "{}", report.table());
    let page = report.html();
    assert!(page.contains("<polyline") && page.ends_with("</html>\n"));
    assert!(!page.contains("src=") && !page.contains("href="), "the page needs another file");
}
