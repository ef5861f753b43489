//! The oldest kernel that we promise to run on, 6.1: the shipped program and command in Debian's user-mode Linux.
//!
//! The test runs itself once more in the guest, where the lab is the same as on any other kernel.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, time::Duration};

use lb_bench::{lab::OneArm, uml::GuestTest};

const TEST: GuestTest<'_> = GuestTest {
    program: "old_kernel",
    name: "the_shipped_program_loads_and_forwards_on_6_1",
    directory: env!("CARGO_TARGET_TMPDIR"),
    modules: &["veth", "bridge"],
    programs: &[],
    // The boot takes 3 s and the lab 10; machines are busy.
    deadline: Duration::from_secs(150),
};

const CONFIG: &str = r#"
[director]
interfaces = ["eth0"]
xdp_mode = "native"

[tables]
flows = 4096
services = 16
destinations = 16
ring_slots = 1024

[[virtual_service]]
protocol = "tcp"
address = "10.0.0.50:80"
scheduler = "rr"
real_server = [{ address = "10.0.0.11" }, { address = "10.0.0.12" }]

[[virtual_service]]
protocol = "tcp"
address = "[fd00:10::50]:80"
scheduler = "rr"
real_server = [{ address = "fd00:10::11" }, { address = "fd00:10::12" }]
"#;

#[test]
fn the_shipped_program_loads_and_forwards_on_6_1() {
    if TEST.is_in_guest().unwrap() {
        forward();
    }
}

/// The guest's part.
fn forward() {
    let lab = OneArm::new("old", 2).unwrap();
    let _servers = lab.http_servers(80).unwrap();
    let interface = || lab.director.run("ip", ["-details", "link", "show", "eth0"]).unwrap();
    let director = lab.director.director(CONFIG).unwrap();
    assert!(interface().contains("prog/xdp"), "{}", interface());

    for url in ["http://10.0.0.50/", "http://[fd00:10::50]/"] {
        let answers = lab.client.curl(url, 20).unwrap();
        assert_eq!(answers.failures().collect::<Vec<_>>(), [""; 0], "{url}");
        assert_eq!(answers.tally(), BTreeMap::from([("rs1", 10), ("rs2", 10)]), "{url}");
    }

    let stopped = lab.director.lb(&["stop"]).unwrap();
    let said = String::from_utf8_lossy(&stopped.stdout).into_owned();
    assert!(stopped.status.success() && said.contains("detached from eth0"), "{said}");
    assert!(!interface().contains("prog/xdp"), "{}", interface());
    drop(director);
}
