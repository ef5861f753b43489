//! The oldest kernel that we promise to run on, 6.1: the shipped program and command in Debian's user-mode Linux.
//!
//! The test runs itself once more in the guest, where the lab is the same as on any other kernel.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use lb_bench::{
    lab::OneArm,
    uml::{Uml, UmlError, any_alignment},
};

/// The boot takes 3 s and the lab 10; machines are busy.
const DEADLINE: Duration = Duration::from_secs(150);

/// A boot that does nothing.
const BOOT: Duration = Duration::from_secs(60);

/// Tells this test binary that it is in the guest.
const GUEST: &str = "LB_OLD_KERNEL_GUEST";

const NAME: &str = "the_shipped_program_loads_and_forwards_on_6_1";

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
    if env::var_os(GUEST).is_some() {
        return forward();
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("user-mode-linux");
    let uml = match Uml::fetched(&directory) {
        Ok(uml) => uml,
        Err(error @ UmlError::NoPackage(_)) => return skip(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    let kernel = match uml.run("uname -r", BOOT) {
        Ok(ran) => ran.output,
        Err(error @ UmlError::NoBoot { .. }) => return skip(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    println!("kernel {}", kernel.trim_end());

    let mut command = String::from("modprobe -a veth bridge || exit\n");
    let this = env::current_exe().unwrap();
    writeln!(command, "export {GUEST}=1 LB_BIN={}", quoted(&lb(&this))).unwrap();
    let library = any_alignment(&directory).unwrap();
    writeln!(command, "export LD_PRELOAD={}", quoted(&library)).unwrap();
    writeln!(command, "exec {} --exact {NAME} --nocapture", quoted(&this)).unwrap();
    let ran = uml.run(&command, DEADLINE).unwrap();
    // Indented: whoever counts this program's tests doesn't count the guest's.
    ran.output.lines().for_each(|line| println!("    {line}"));
    // A filter that fits no test is a success too.
    assert!(ran.status == 0 && ran.output.contains("1 passed"), "in the guest: status {}", ran.status);
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

/// The binary under test, by its whole path: what the environment names, or what was built beside this program.
fn lb(this: &Path) -> PathBuf {
    let named = env::var_os("LB_BIN").map(PathBuf::from);
    let path = named.unwrap_or_else(|| this.ancestors().nth(2).unwrap().join("lb"));
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask build`", path.display()))
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_str().unwrap().replace('\'', r"'\''"))
}

/// Says that this machine can't run the test, and why.
fn skip(why: &str) {
    let line = format!("old_kernel::{NAME}: {}", why.replace('\n', " "));
    println!("skipped: {line}");
    if let Some(path) = env::var_os("LB_SKIPPED") {
        let mut reports = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(reports, "{line}").unwrap();
    }
}
