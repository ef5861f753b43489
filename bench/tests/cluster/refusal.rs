//! What is wrong is said in one line, and nothing is attached; a running director keeps what it has.

use std::fs;
use std::time::Duration;

use super::config::{CHECK, Service, config};
use lb_bench::lab::{Host, OneArm, Signal};

const WEB: Service<'_> = Service {
    address: "10.0.0.50:80",
    protocol: "tcp",
    scheduler: "rr",
    real_servers: &[("10.0.0.11:80", 1), ("10.0.0.12:80", 1)],
    check: CHECK,
};

/// A config that is wrong in one way, and what its line says.
fn wrong() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let of = |service: Service<'_>| config("", &[service]).into_bytes();
    vec![
        ("unknown key", config("colour = \"red\"", &[WEB]).into_bytes(), &["lb.toml:3:", "colour"]),
        ("duplicate service", config("", &[WEB, WEB]).into_bytes(), &["lb.toml:", "10.0.0.50:80"]),
        (
            "address family mismatch",
            of(Service { real_servers: &[("[fd00:10::11]:80", 1)], ..WEB }),
            &["lb.toml:", "real_server[0].address", "fd00:10::11"],
        ),
        (
            "weight out of range",
            of(Service { real_servers: &[("10.0.0.11:80", 70_000)], ..WEB }),
            &["lb.toml:", "real_server[0].weight", "70000"],
        ),
        (
            "interface that does not exist",
            String::from_utf8(of(WEB)).unwrap().replace("eth0", "eth7").into_bytes(),
            &["lb.toml:", "eth7"],
        ),
        (
            "direct routing to an address off the link",
            of(Service { real_servers: &[("10.9.9.9:80", 1)], ..WEB }),
            &["lb.toml:", "10.9.9.9", "TCP 10.0.0.50:80"],
        ),
        ("not UTF-8", b"[director]\ninterfaces = [\"eth\xff0\"]\n".to_vec(), &["lb.toml:2:", "UTF-8"]),
    ]
}

/// The program on an interface, as ip-link(8) shows it.
fn xdp(host: &Host) -> Option<String> {
    let link = host.run("ip", ["link", "show", "dev", "eth0"]).unwrap();
    link.lines().find(|line| line.contains("prog/xdp")).map(|line| line.trim().to_owned())
}

fn assert_nothing_is_left(host: &Host) {
    assert_eq!(xdp(host), None);
    // Whoever mounts a bpf file system sees its two files for looking into it.
    let pins: Vec<_> = fs::read_dir(host.bpffs())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !matches!(name.as_str(), "maps.debug" | "progs.debug"))
        .collect();
    assert_eq!(pins, [] as [&str; 0]);
    let addresses = host.run("ip", ["address", "show"]).unwrap();
    assert!(!addresses.contains("10.0.0.50"), "{addresses}");
    let neighbours = host.run("ip", ["neighbour", "show"]).unwrap();
    assert!(!neighbours.contains("managed"), "{neighbours}");
}

#[test]
fn each_wrong_config_is_one_clear_line_and_nothing_attached() {
    let lab = OneArm::new("refusal", 2).unwrap();
    lab.director.add_route("10.9.0.0/16", [10, 0, 0, 11].into()).unwrap();
    let path = lab.director.directory().join("lb.toml");
    for (what, text, words) in wrong() {
        fs::write(&path, text).unwrap();
        let output = lab.director.lb(&["run", "--config", path.to_str().unwrap()]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<_> = said.lines().filter(|line| line.starts_with("lb: ")).collect();
        assert!(!output.status.success(), "{what}: accepted");
        assert_eq!(lines.len(), 1, "{what}: {said}");
        for word in words {
            assert!(lines[0].contains(word), "{what}: `{word}` is not in: {said}");
        }
        println!("{what}: {}", lines[0]);
        assert_nothing_is_left(&lab.director);
    }
}

#[test]
fn a_reload_with_a_wrong_config_keeps_the_running_state() {
    let lab = OneArm::new("kept", 2).unwrap();
    lab.director.add_route("10.9.0.0/16", [10, 0, 0, 11].into()).unwrap();
    let _servers = lab.http_servers(80).unwrap();
    let mut director = lab.director.director(&config("", &[WEB])).unwrap();
    let program = xdp(&lab.director);
    assert!(program.is_some());
    for (what, text, words) in wrong() {
        fs::write(director.config(), text).unwrap();
        director.daemon().signal(Signal::HUP).unwrap();
        let said = director.daemon().wait_for_line("not reloaded", Duration::from_secs(10)).unwrap();
        for word in words {
            assert!(said.contains(word), "{what}: `{word}` is not in: {said}");
        }
        let answers = lab.client.curl("http://10.0.0.50/", 20).unwrap();
        assert_eq!((answers.failed(), answers.tally().len()), (0, 2), "{what}");
    }
    assert_eq!(xdp(&lab.director), program);
}

#[test]
fn a_reload_that_was_refused_is_taken_up_once_its_cause_is_gone() {
    let lab = OneArm::new("mended", 2).unwrap();
    lab.director.add_route("10.9.0.0/16", [10, 0, 0, 11].into()).unwrap();
    let mut director = lab.director.director(&config("", &[WEB])).unwrap();
    let more = Service { real_servers: &[("10.0.0.11:80", 1), ("10.9.9.9:80", 1)], ..WEB };
    let said = director.reload(&config("", &[more])).unwrap();
    assert!(said.contains("not reloaded") && said.contains("10.9.9.9"), "{said}");
    lab.director.run("ip", ["route", "replace", "10.9.0.0/16", "dev", "eth0"]).unwrap();
    let said = director.reload(&config("", &[more])).unwrap();
    assert!(!said.contains("not reloaded"), "{said}");
}

#[test]
fn a_reload_that_cannot_be_attached_changes_nothing() {
    let lab = OneArm::new("unattached", 2).unwrap();
    let _servers = lab.http_servers(80).unwrap();
    let native = "xdp_mode = \"native\"";
    let mut director = lab.director.director(&config(native, &[WEB])).unwrap();
    // A bridge has no native XDP.
    lab.director.run("ip", ["link", "add", "br7", "type", "bridge"]).unwrap();
    let fewer = Service { real_servers: &[("10.0.0.11:80", 1)], ..WEB };
    let text = config(native, &[fewer]).replace("\"eth0\"", "\"eth0\", \"br7\"");
    let said = director.reload(&text).unwrap();
    assert!(said.contains("not reloaded") && said.contains("br7"), "{said}");
    let answers = lab.client.curl("http://10.0.0.50/", 20).unwrap();
    assert_eq!((answers.failed(), answers.tally().len()), (0, 2), "both real servers are still there");
}

#[test]
fn a_start_without_a_bpf_file_system_leaves_nothing() {
    let lab = OneArm::new("pins", 2).unwrap();
    let path = lab.director.directory().join("lb.toml");
    fs::write(&path, config("", &[WEB])).unwrap();
    let pins = lab.director.directory().join("pins");
    let arguments = ["run", "--config", path.to_str().unwrap(), "--pins", pins.to_str().unwrap()];
    let output = lab.director.lb(&arguments).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("not on a bpf file system"), "{said}");
    assert!(!pins.exists());
    assert_nothing_is_left(&lab.director);
}

#[test]
fn stop_leaves_nothing_whether_a_daemon_runs_or_not() {
    let lab = OneArm::new("stop", 2).unwrap();
    let mut director = lab.director.director(&config("", &[WEB])).unwrap();
    assert!(xdp(&lab.director).is_some());
    let output = lab.director.lb(&["stop"]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("detached from eth0"), "{said}");
    assert!(director.daemon().wait(Duration::from_secs(5)).unwrap().success());
    assert_nothing_is_left(&lab.director);

    let mut director = lab.director.director(&config("", &[WEB])).unwrap();
    director.daemon().kill().unwrap();
    assert!(xdp(&lab.director).is_some(), "the data plane goes on without its daemon");
    let output = lab.director.lb(&["stop"]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("no daemon was running"), "{said}");
    assert_nothing_is_left(&lab.director);

    let output = lab.director.lb(&["stop"]).unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("nothing to stop"));
}

#[test]
fn ctrl_c_ends_all_and_sigterm_leaves_the_data_plane() {
    let lab = OneArm::new("signals", 2).unwrap();
    let _servers = lab.http_servers(80).unwrap();
    let mut director = lab.director.director(&config("", &[WEB])).unwrap();
    director.daemon().signal(Signal::TERM).unwrap();
    assert!(director.daemon().wait(Duration::from_secs(5)).unwrap().success());
    let answers = lab.client.curl("http://10.0.0.50/", 20).unwrap();
    assert_eq!(answers.failed(), 0, "no daemon, and no packet missed it");
    drop(director);

    let mut director = lab.director.director(&config("", &[WEB])).unwrap();
    director.daemon().signal(Signal::INT).unwrap();
    assert!(director.daemon().wait(Duration::from_secs(5)).unwrap().success());
    assert_nothing_is_left(&lab.director);
}

#[test]
fn a_second_director_and_a_foreign_program_are_refused_by_name() {
    let lab = OneArm::new("second", 2).unwrap();
    let director = lab.director.director(&config("", &[WEB])).unwrap();
    let path = director.config().to_str().unwrap();
    let output = lab.director.lb(&["run", "--config", path]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("runs already"), "{said}");

    // Other pins are another director; the interface is taken all the same.
    let output = lab.director.lb(&["run", "--config", path, "--pins", "/sys/fs/bpf/other"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("eth0") && said.contains("(director)"), "{said}");
    assert!(xdp(&lab.director).is_some());
    assert!(!lab.director.bpffs().join("other").exists());
}
