//! The lab against the real kernel. Needs root, as [`LabError::NotRoot`] says where it is missing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, UdpSocket},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{self, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use lb_bench::lab::{self, Host, Lab, LabError, OneArm, Signal, TwoDirectors};
use rustix::process::Pid;

/// Generous: machines are busy. Nothing here waits that long when it works.
const DEADLINE: Duration = Duration::from_secs(20);

/// Tells this test binary, run again as a child, to make a lab and wait to be ended.
const VICTIM: &str = "LB_LAB_TEST_VICTIM";

#[test]
fn hosts_reach_each_other_and_nobody_else() {
    let one_arm = OneArm::new("ping", 2).unwrap();
    for address in [v4(1), v4(11), v4(12), v6("fd00:10::1"), v6("fd00:10::11"), v6("fd00:10::12")] {
        one_arm.client.ping(address, DEADLINE).unwrap();
    }
    // Without an address of its own on that network there is no way out.
    let out = one_arm.client.ping(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), Duration::from_millis(200));
    assert!(matches!(out, Err(LabError::NotSeen { .. })), "{out:?}");
}

#[test]
fn nobody_answers_for_the_service_address_until_a_director_does() {
    let two = TwoDirectors::new("arp").unwrap();
    let service = TwoDirectors::SERVICE_V4;
    for address in [service.into(), TwoDirectors::SERVICE_V6.into()] {
        let silence = two.client.ping(address, Duration::from_millis(500));
        assert!(matches!(silence, Err(LabError::NotSeen { .. })), "{silence:?}");
    }
    // The client has learned by now that there is no such neighbour.
    two.ds1().add_address("eth0", &format!("{service}/32")).unwrap();
    two.client.ping(service.into(), DEADLINE).unwrap();
    let neighbours = two.client.run("ip", ["neighbour", "show", "10.0.0.50"]).unwrap();
    let mac = two.ds1().mac_address("eth0").unwrap().map(|octet| format!("{octet:02x}")).join(":");
    assert!(neighbours.contains(&mac), "{neighbours} is not {mac}");
}

#[test]
fn every_real_server_answers_curl_with_its_name() {
    let one_arm = OneArm::new("http", 3).unwrap();
    let _servers = one_arm.http_servers(80).unwrap();
    for index in 0..3 {
        let name = one_arm.real_servers[index].short_name();
        let (v4, v6) = (OneArm::real_server_v4(index), OneArm::real_server_v6(index));
        for url in [format!("http://{v4}/"), format!("http://[{v6}]/a?b=c")] {
            let answers = one_arm.client.curl(&url, 5).unwrap();
            assert_eq!(answers.each, vec![Ok(name.to_owned()); 5], "{url}");
        }
    }
}

#[test]
fn thousands_of_requests_are_as_many_connections_and_take_seconds() {
    let one_arm = OneArm::new("many", 1).unwrap();
    let _servers = one_arm.http_servers(8080).unwrap();
    let before = passive_opens(&one_arm.real_servers[0]);
    let start = Instant::now();
    let answers = one_arm.client.curl("http://10.0.0.11:8080/", 3000).unwrap();
    let took = start.elapsed();
    assert_eq!(answers.failures().collect::<Vec<_>>(), [""; 0]);
    assert_eq!(answers.tally(), BTreeMap::from([("rs1", 3000)]));
    assert_eq!(passive_opens(&one_arm.real_servers[0]) - before, 3000);
    assert!(took < Duration::from_secs(15), "took {took:?}");
}

#[test]
fn a_request_that_fails_is_counted_and_says_why() {
    let one_arm = OneArm::new("refused", 1).unwrap();
    let answers = one_arm.client.curl("http://10.0.0.11/", 3).unwrap();
    assert_eq!((answers.each.len(), answers.failed()), (3, 3));
    let why = answers.failures().next().unwrap();
    assert!(why.starts_with("curl error 7: "), "{why}");
    assert!(matches!(one_arm.client.curl("http://[nonsense/", 2), Err(LabError::Command { .. })));
}

#[test]
fn a_big_body_arrives_whole_in_frames_that_fit_the_wire() {
    let one_arm = OneArm::new("big", 1).unwrap();
    let body = "0123456789abcdef".repeat(20_000);
    let server = one_arm.real_servers[0].http_server(80, &body).unwrap();
    let client = &one_arm.client;
    // One byte more than a full Ethernet frame: what GRO joined would show here.
    let mut capture = client.command("tcpdump");
    capture.args(["-i", "eth0", "-n", "-l", "-Q", "in", "greater", "1515"]);
    let mut capture = client.spawn(capture).unwrap();
    capture.wait_for_line("listening on", DEADLINE).unwrap();
    assert_eq!(client.curl("http://10.0.0.11/", 3).unwrap().each, vec![Ok(body); 3]);
    capture.signal(Signal::INT).unwrap();
    capture.wait_for_line("0 packets captured", DEADLINE).unwrap();
    drop(server);
}

#[test]
fn senders_finish_their_checksums() {
    let one_arm = OneArm::new("checksum", 0).unwrap();
    let sender = one_arm.client.within(|| UdpSocket::bind("10.0.0.100:0")).unwrap().unwrap();
    // Where the frame leaves the client, and where the director's program would see it.
    for (host, interface) in [(one_arm.lan.host(), "client.eth0"), (&one_arm.director, "eth0")] {
        let mut capture = host.command("tcpdump");
        capture.args(["-i", interface, "-n", "-l", "-vv", "-c", "1", "udp", "port", "9"]);
        let mut capture = host.spawn(capture).unwrap();
        capture.wait_for_line("listening on", DEADLINE).unwrap();
        sender.send_to(b"to be summed", (OneArm::DIRECTOR_V4, 9)).unwrap();
        let line = capture.wait_for_line("> 10.0.0.1.9", DEADLINE).unwrap();
        assert!(line.contains("[udp sum ok]"), "at {interface}: {line}");
    }
}

#[test]
fn labs_side_by_side_do_not_meet() {
    let (first, second) = (OneArm::new("left", 1).unwrap(), OneArm::new("right", 1).unwrap());
    assert_ne!(first.lab.id(), second.lab.id());
    // The same addresses in both.
    let _left = first.real_servers[0].http_server(80, "left").unwrap();
    let _right = second.real_servers[0].http_server(80, "right").unwrap();
    let ask = |lab: &OneArm| lab.client.curl("http://10.0.0.11/", 1).unwrap().each;
    assert_eq!((ask(&first), ask(&second)), (vec![Ok("left".to_owned())], vec![Ok("right".to_owned())]));
    let id = first.lab.id();
    first.lab.close().unwrap();
    assert_eq!(leftovers(&id), [""; 0]);
    assert_eq!(ask(&second), vec![Ok("right".to_owned())]);
}

#[test]
fn addresses_of_interfaces_are_the_same_in_every_run() {
    let (first, second) = (OneArm::new("mac-1", 1).unwrap(), OneArm::new("mac-2", 1).unwrap());
    assert_eq!(first.director.mac_address("eth0").unwrap(), [2, 0, 0, 0, 2, 0]);
    assert_eq!(first.director.mac_address("eth0").unwrap(), second.director.mac_address("eth0").unwrap());
}

#[test]
fn a_host_can_be_on_two_switches_and_route() {
    let lab = Lab::new("router").unwrap();
    let (inside, outside) = (lab.switch("inside").unwrap(), lab.switch("outside").unwrap());
    let [client, router, server] = ["client", "router", "server"].map(|name| lab.host(name).unwrap());
    client.connect(&outside, "eth0", &["192.0.2.2/24", "fd00:1::2/64"]).unwrap();
    router.connect(&outside, "eth0", &["192.0.2.1/24", "fd00:1::1/64"]).unwrap();
    router.connect(&inside, "eth1", &["198.51.100.1/24", "fd00:2::1/64"]).unwrap();
    server.connect(&inside, "eth0", &["198.51.100.2/24", "fd00:2::2/64"]).unwrap();
    router.sysctl("net.ipv4.ip_forward", "1").unwrap();
    router.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
    client.add_route("0.0.0.0/0", "192.0.2.1".parse().unwrap()).unwrap();
    server.add_route("0.0.0.0/0", "198.51.100.1".parse().unwrap()).unwrap();
    client.add_route("::/0", v6("fd00:1::1")).unwrap();
    server.add_route("::/0", v6("fd00:2::1")).unwrap();
    client.ping("198.51.100.2".parse().unwrap(), DEADLINE).unwrap();
    client.ping(v6("fd00:2::2"), DEADLINE).unwrap();
}

#[test]
fn the_bpf_file_system_outlives_the_process_that_used_it() {
    let lab = Lab::new("bpffs").unwrap();
    let [director, other] = ["director", "other"].map(|name| lab.host(name).unwrap());
    // Directories there are made like pins: only a BPF file system keeps them, and nothing else shows them.
    let mut daemon = director.command("sh");
    daemon.args(["-c", "mkdir /sys/fs/bpf/lb && echo pinned && exec sleep 60"]);
    let mut daemon = director.spawn(daemon).unwrap();
    daemon.wait_for_line("pinned", DEADLINE).unwrap();
    daemon.signal(Signal::KILL).unwrap();
    assert_eq!(daemon.wait(DEADLINE).unwrap().signal(), Some(9));

    director.run("ls", ["/sys/fs/bpf/lb"]).unwrap();
    assert!(director.bpffs().join("lb").is_dir());
    assert!(director.within(|| Path::new("/sys/fs/bpf/lb").is_dir()).unwrap());
    // BPF_FS_MAGIC of linux/magic.h.
    assert_eq!(rustix::fs::statfs(director.bpffs()).unwrap().f_type, 0xcafe_4a11);
    assert!(!other.run("ls", ["/sys/fs/bpf"]).unwrap().lines().any(|name| name == "lb"));
}

#[test]
fn a_host_sees_its_own_interfaces_in_sys() {
    let one_arm = OneArm::new("sys", 0).unwrap();
    assert_eq!(one_arm.director.run("ls", ["/sys/class/net"]).unwrap(), "eth0\nlo\n");
}

#[test]
fn the_log_is_waited_for_line_by_line() {
    let lab = Lab::new("log").unwrap();
    let host = lab.host("host").unwrap();
    let mut shell = host.command("sh");
    shell.args(["-c", "echo ready 1; echo noise >&2; echo ready 2; exit 3"]);
    let mut shell = host.spawn(shell).unwrap();
    assert_eq!(shell.wait_for_line("ready", DEADLINE).unwrap(), "ready 1");
    assert_eq!(shell.wait_for_line("ready", DEADLINE).unwrap(), "ready 2");
    let error = shell.wait_for_line("ready", DEADLINE).unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.ends_with("ready 1\nnoise\nready 2"), "{error}");
    assert!(!shell.is_running().unwrap());
}

#[test]
fn a_line_that_never_comes_is_not_waited_for_longer_than_asked() {
    let lab = Lab::new("deadline").unwrap();
    let host = lab.host("host").unwrap();
    let mut sleeper = host.command("sleep");
    sleeper.arg("60");
    let mut sleeper = host.spawn(sleeper).unwrap();
    let start = Instant::now();
    let error = sleeper.wait_for_line("never", Duration::from_millis(100)).unwrap_err();
    assert!(matches!(error, LabError::NotSeen { .. }), "{error}");
    let error =
        sleeper.wait_for_listener(([127, 0, 0, 1], 80).into(), Duration::from_millis(100)).unwrap_err();
    assert!(matches!(error, LabError::NotSeen { .. }), "{error}");
    assert!(start.elapsed() < DEADLINE);
}

#[test]
fn a_failed_command_says_where_what_and_why() {
    let lab = Lab::new("errors").unwrap();
    let host = lab.host("host").unwrap();
    let error = host.run("ip", ["link", "set", "eth7", "up"]).unwrap_err().to_string();
    for part in [&host.name(), "ip link set eth7 up", "exit status: 1", "Cannot find device"] {
        assert!(error.contains(part), "`{part}` is missing: {error}");
    }
    let error = host.run("no-such-program", [""; 0]).unwrap_err().to_string();
    assert!(error.contains("`no-such-program` is not installed: run `cargo xtask setup`"), "{error}");
    let error = lab.host("Client 1").unwrap_err().to_string();
    assert!(error.contains("`Client 1` can't be the name of a host"), "{error}");
    let switch = lab.switch("lan").unwrap();
    let error = lab.host("real-server-1").unwrap().connect(&switch, "eth0", &[]).unwrap_err().to_string();
    assert!(error.contains("shorten the host's name"), "{error}");
}

#[test]
fn a_process_outlives_the_thread_that_started_it() {
    let lab = Lab::new("threads").unwrap();
    let host = lab.host("host").unwrap();
    let mut sleeper = thread::scope(|scope| {
        let start = || {
            let mut sleeper = host.command("sleep");
            sleeper.arg("60");
            host.spawn(sleeper).unwrap()
        };
        scope.spawn(start).join().unwrap()
    });
    let error = sleeper.wait(Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, LabError::NotSeen { .. }), "{error}");
}

#[test]
fn a_lab_leaves_nothing_behind() {
    let one_arm = OneArm::new("gone", 2).unwrap();
    let servers = one_arm.http_servers(80).unwrap();
    // One that leaves its process group, and that nobody holds a handle of.
    let script = "setsid sh -c 'echo $$; exec sleep 600' & wait";
    let mut stray = one_arm.client.command("sh");
    stray.args(["-c", script]);
    let mut stray = one_arm.client.spawn(stray).unwrap();
    let pid: i32 = stray.wait_for_line("", DEADLINE).unwrap().parse().unwrap();
    let id = one_arm.lab.id();
    assert!(leftovers(&id).len() >= 10, "{:?}", leftovers(&id));
    drop(one_arm);
    assert_eq!(leftovers(&id), [""; 0]);
    assert!(!runs(pid));
    drop((servers, stray));
}

#[test]
fn a_panic_leaves_nothing_behind() {
    let (send, receive) = mpsc::channel();
    let test = thread::spawn(move || {
        let one_arm = OneArm::new("panic", 1).unwrap();
        let _servers = one_arm.http_servers(80).unwrap();
        send.send(one_arm.lab.id()).unwrap();
        panic!("this panic is part of the test");
    });
    assert!(test.join().is_err());
    assert_eq!(leftovers(&receive.recv().unwrap()), [""; 0]);
}

#[test]
fn ctrl_c_leaves_nothing_behind_and_ends_the_process_as_ever() {
    if env::var_os(VICTIM).is_some() {
        be_the_victim();
    }
    for signal in [Signal::INT, Signal::TERM] {
        let (mut victim, id, child) =
            start_victim("ctrl_c_leaves_nothing_behind_and_ends_the_process_as_ever");
        rustix::process::kill_process(Pid::from_child(&victim), signal).unwrap();
        assert_eq!(victim.wait().unwrap().signal(), Some(signal.as_raw()));
        assert_eq!(leftovers(&id), [""; 0]);
        assert!(!runs(child));
    }
}

#[test]
fn what_a_killed_process_left_is_swept() {
    if env::var_os(VICTIM).is_some() {
        be_the_victim();
    }
    let (mut victim, id, child) = start_victim("what_a_killed_process_left_is_swept");
    // Its owner lives: not to be touched.
    assert!(!lab::sweep().unwrap().contains(&id));
    assert!(leftovers(&id).len() >= 5, "{:?}", leftovers(&id));
    victim.kill().unwrap();
    victim.wait().unwrap();
    // What the kernel does by itself. Tests beside this one sweep as well: to see it alone, run it alone.
    let until = Instant::now() + DEADLINE;
    while runs(child) {
        assert!(Instant::now() < until, "{child} outlived its parent");
        thread::sleep(Duration::from_millis(1));
    }
    lab::sweep().unwrap();
    assert_eq!(leftovers(&id), [""; 0]);
    assert!(!runs(child));
}

#[test]
fn a_lab_of_an_earlier_process_with_our_number_is_swept() {
    Lab::new("root-check").unwrap();
    // Counted so high that no lab of this process meets it; signed by a process that started at boot.
    let id = format!("lb{}.{}", process::id(), u32::MAX);
    let directory = Path::new("/run/lb-lab").join(&id);
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("owner"), "0").unwrap();
    lab::sweep().unwrap();
    assert_eq!(leftovers(&id), [""; 0]);
}

#[test]
fn a_lab_that_is_gone_says_so() {
    let lab = Lab::new("closed").unwrap();
    let host = lab.host("host").unwrap();
    lab.close().unwrap();
    let error = host.run("ip", ["link"]).unwrap_err().to_string();
    assert!(error.contains("whose lab is gone"), "{error}");
}

#[test]
fn who_is_not_root_is_told_so() {
    // Linux keeps user ids by thread.
    let told = thread::spawn(|| {
        let nobody = rustix::process::Uid::from_raw(65_534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        Lab::new("unprivileged").map(drop)
    });
    let error = told.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("run this as root"), "{error}");
}

/// Makes a lab with a process in it, says both names, and waits for its end.
fn be_the_victim() -> ! {
    let one_arm = OneArm::new("victim", 1).unwrap();
    let mut sleeper = one_arm.client.command("sleep");
    sleeper.arg("600");
    let sleeper = one_arm.client.spawn(sleeper).unwrap();
    println!("\nvictim {} {}", one_arm.lab.id(), sleeper.pid());
    thread::sleep(Duration::from_secs(60));
    process::exit(1);
}

/// This test binary once more, playing the victim in the test of that name; its lab, and its lab's process.
fn start_victim(test: &str) -> (process::Child, String, i32) {
    // A shell's background jobs are started to ignore Ctrl-C, and so would the victim.
    let mut victim = Command::new("env")
        .arg("--default-signal=INT,TERM")
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().strip_prefix("victim ").map(str::to_owned)).unwrap();
    let (id, child) = line.split_once(' ').unwrap();
    (victim, id.to_owned(), child.parse().unwrap())
}

/// Namespaces, mounts and directories that carry the lab's name.
fn leftovers(id: &str) -> Vec<String> {
    let mut found = Vec::new();
    for directory in ["/run/netns", "/run/lb-lab"] {
        for entry in fs::read_dir(directory).unwrap() {
            found.push(entry.unwrap().path().display().to_string());
        }
    }
    found.extend(fs::read_to_string("/proc/self/mounts").unwrap().lines().map(str::to_owned));
    let (as_prefix, as_directory) = (format!("/{id}-"), format!("/run/lb-lab/{id}"));
    found.retain(|what| {
        what.contains(&as_prefix)
            || what.split([' ', '/']).any(|part| part == id)
            || what.ends_with(&as_directory)
    });
    found
}

/// Whether the process is there and not a zombie.
fn runs(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// TCP connections that the host has accepted since it was made.
fn passive_opens(host: &Host) -> u64 {
    let snmp = host.run("cat", ["/proc/net/snmp"]).unwrap();
    let mut tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: ")).map(|line| line.split(' '));
    let (mut names, mut values) = (tcp.next().unwrap(), tcp.next().unwrap());
    values.nth(names.position(|name| name == "PassiveOpens").unwrap()).unwrap().parse().unwrap()
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn v6(text: &str) -> IpAddr {
    text.parse().unwrap()
}
