//! One line for everything that can be wrong, and the model of the example.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fmt::Write as _, fs, net::IpAddr, path::Path, time::Duration};

use super::{Errors, FILE_MAX, load, parse, read};
use crate::model::{
    AddressOwner, Check, CheckKind, Director, ForwardMethod, Model, Peer, Protocol, RealServer, Scheduler,
    ServiceId, TableSizes, Timeouts, VirtualService, XdpMode,
};

/// The errors of `text` are these lines.
#[track_caller]
fn check(text: &str, lines: &[&str]) {
    let errors = parse("lb.toml", text).expect_err(text);
    assert_eq!(errors.to_string().lines().collect::<Vec<_>>(), lines, "of\n{text}");
}

/// A file whose `[director]` has this line as its second.
#[track_caller]
fn check_director(line: &str, error: &str) {
    check(&format!("[director]\n{line}\n"), &[&format!("lb.toml:2: director.{error}")]);
}

const SERVICE: [&str; 4] =
    ["[[virtual_service]]", "protocol = 'tcp'", "address = '10.0.0.50:80'", "scheduler = 'wrr'"];

/// A service whose line with this key, line 2 to 4, is replaced, or line 5 if it has none.
#[track_caller]
fn check_service(key: &str, value: &str, error: &str) {
    let replaced = SERVICE.iter().position(|line| line.starts_with(key)).unwrap_or(SERVICE.len());
    let mut lines = SERVICE.map(str::to_owned).to_vec();
    lines.truncate(replaced);
    lines.push(format!("{key} = {value}"));
    lines.extend(SERVICE.iter().skip(replaced + 1).map(|&line| line.to_owned()));
    check(&lines.join("\n"), &[&format!("lb.toml:{}: virtual_service[0].{error}", replaced + 1)]);
}

/// A real server of a service, with these lines from line 6 on; the error is in the first.
#[track_caller]
fn check_real_server(lines: &str, error: &str) {
    let text = format!("{}\n[[virtual_service.real_server]]\n{lines}\n", SERVICE.join("\n"));
    check(&text, &[&format!("lb.toml:6: virtual_service[0].real_server[0].{error}")]);
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_example_is_this_model() {
    let real_server = |address_: &str, port| RealServer {
        name: None,
        address: address(address_),
        port,
        weight: 1,
        forward: ForwardMethod::DirectRouting,
        interface: None,
    };
    let model = Model {
        director: Director {
            interfaces: vec!["eth0".to_owned()],
            xdp_mode: XdpMode::Auto,
            metrics: Some("127.0.0.1:9105".parse().unwrap()),
            peers: vec![Peer::Mac([2, 0, 0, 0, 0, 0x12]), Peer::Address(address("10.0.0.12"))],
            service_addresses: AddressOwner::Director,
            timeouts: Timeouts {
                tcp: Duration::from_secs(900),
                tcp_fin: Duration::from_secs(120),
                udp: Duration::from_secs(300),
            },
            tables: TableSizes {
                flows: 1_000_000,
                services: 1_024,
                destinations: 16_384,
                ring_slots: 1_048_576,
            },
        },
        services: vec![
            VirtualService {
                id: ServiceId { protocol: Protocol::Tcp, address: address("10.0.0.50"), port: 80 },
                scheduler: Scheduler::Wrr,
                check: Some(Check {
                    kind: CheckKind::Tcp { port: Some(80) },
                    interval: Duration::from_secs(2),
                    timeout: Duration::from_secs(1),
                    rise: 2,
                    fall: 3,
                }),
                real_servers: vec![
                    RealServer {
                        name: Some("web1".to_owned()),
                        weight: 5,
                        interface: Some("eth0".to_owned()),
                        ..real_server("10.0.0.11", 80)
                    },
                    RealServer {
                        name: Some("this-host".to_owned()),
                        forward: ForwardMethod::Local,
                        ..real_server("10.0.0.2", 80)
                    },
                ],
            },
            VirtualService {
                id: ServiceId { protocol: Protocol::Udp, address: address("fd00::50"), port: 53 },
                scheduler: Scheduler::Rr,
                check: Some(Check::new(CheckKind::Tcp { port: None })),
                real_servers: vec![
                    real_server("fd00::11", 53),
                    RealServer { weight: 0, ..real_server("fd00::12", 53) },
                ],
            },
        ],
    };
    assert_eq!(parse("example.toml", include_str!("example.toml")).unwrap(), model);
}

#[test]
fn the_example_says_what_the_defaults_are() {
    let example = parse("example.toml", include_str!("example.toml")).unwrap();
    let said = example.director;
    assert_eq!((said.timeouts, said.tables), (Timeouts::default(), TableSizes::default()));
    let check = example.services[0].check;
    assert_eq!(check, Some(Check::new(CheckKind::Tcp { port: Some(80) })));
    let empty = parse("lb.toml", "").unwrap();
    assert_eq!(empty, Model::default());
    assert_eq!((empty.director.interfaces.len(), empty.director.metrics), (0, None));
}

#[test]
fn syntax_errors_are_reported_together() {
    check("[director\n", &["lb.toml:1: director: unclosed table, expected `]`"]);
    check(
        "[director]\nmetrics = 127.0.0.1:9105\ninterfaces = ['eth0' 'eth1']\n[director]\n",
        &[
            "lb.toml:2: director.metrics: invalid float, expected nothing",
            "lb.toml:3: director.interfaces[1]: missing comma between array elements, expected `,`",
            "lb.toml:4: director: duplicate key",
        ],
    );
    check(
        "[tables]\nflows = many\n",
        &["lb.toml:2: tables.flows: string values must be quoted, expected literal string"],
    );
    // The first of each line, in the order of lines: the parser reports them otherwise.
    check(
        "[director]\nmetrics=\"a\nb\"",
        &[
            "lb.toml:2: director.metrics: invalid basic string, expected `\"`",
            "lb.toml:3: invalid unquoted key, expected letters, numbers, `-`, `_`",
        ],
    );
    // Where there is no key to name.
    check("= 5\n", &["lb.toml:1: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`"]);
}

#[test]
fn an_unknown_key_is_told_what_it_was_meant_to_be() {
    check("[directors]\n", &["lb.toml:1: directors: unknown key; did you mean `director`?"]);
    check_director("xdpmode = 'auto'", "xdpmode: unknown key; did you mean `xdp_mode`?");
    check_service("schedulers", "'rr'", "schedulers: unknown key; did you mean `scheduler`?");
    check_service(
        "fwmark",
        "1",
        "fwmark: unknown key; known here: protocol, address, scheduler, check, real_server",
    );
    check_real_server("weights = 5", "weights: unknown key; did you mean `weight`?");
    check(
        "[tables]\n'a\"b' = 1\n",
        &["lb.toml:2: tables.\"a\\\"b\": unknown key; known here: flows, services, destinations, ring_slots"],
    );
}

#[test]
fn a_missing_key_is_named() {
    check(
        "\n[[virtual_service]]\n",
        &["lb.toml:2: virtual_service[0].protocol: missing: this key is required"],
    );
    let text = format!("{}\nreal_server = [{{ address = '10.0.0.11' }}, {{}}]", SERVICE.join("\n"));
    check(&text, &["lb.toml:5: virtual_service[0].real_server[1].address: missing: this key is required"]);
}

#[test]
fn a_wrong_type_is_named_in_tomls_words() {
    check("tables = 5", &["lb.toml:1: tables: expected a table, found integer `5`"]);
    check_director(
        "interfaces = 'eth0'",
        "interfaces: expected an array, `[..]`, or `[[..]]` for tables, found string \"eth0\"",
    );
    check_director("interfaces = ['eth0', 5]", "interfaces[1]: expected a string, found integer `5`");
    check(
        "[virtual_service]\n",
        &["lb.toml:1: virtual_service: expected an array, `[..]`, or `[[..]]` for tables, found a table"],
    );
    check_real_server("weight = '5'", "weight: expected a whole number, found string \"5\"");
    check_real_server("weight = 1.5", "weight: expected a whole number, found floating point `1.5`");
    check_real_server(
        "weight = 99999999999999999999",
        "weight: expected a whole number, found integer `99999999999999999999`",
    );
    check_service(
        "check",
        "'tcp'",
        "check: expected a table such as { type = \"tcp\" }, found string \"tcp\"",
    );
    check_service(
        "check",
        "{ type = 'tcp', interval = true }",
        "check.interval: expected a duration such as \"90s\", \"15m\" or \"500ms\", or a whole number of seconds",
    );
}

#[test]
fn a_word_has_one_spelling_and_the_right_one_is_told() {
    check_service("protocol", "'icmp'", "protocol: unknown protocol \"icmp\"; known: \"tcp\", \"udp\"");
    check_service("protocol", "'TCP'", "protocol: protocol \"TCP\" is written \"tcp\" here");
    check_service(
        "protocol",
        "'sctp'",
        "protocol: protocol \"sctp\" is not supported yet; there is: \"tcp\", \"udp\"",
    );
    check_service("scheduler", "'wwr'", "scheduler: unknown scheduler \"wwr\"; known: \"rr\", \"wrr\"");
    for word in ["lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos", "maglev"] {
        check_service(
            "scheduler",
            &format!("'{word}'"),
            &format!("scheduler: scheduler \"{word}\" is not supported yet; there is: \"rr\", \"wrr\""),
        );
    }
    for word in ["gate", "DR", "Route", "g", "direct_routing", "Direct-Routing"] {
        check_real_server(
            &format!("forward = '{word}'\naddress = '10.0.0.11'"),
            &format!("forward: forward method \"{word}\" is written \"direct-routing\" here"),
        );
    }
    for word in ["TUN", "ipip", "masq", "NAT"] {
        check_real_server(
            &format!("forward = '{word}'\naddress = '10.0.0.11'"),
            &format!(
                "forward: forward method \"{word}\" is not supported yet; there is: \"direct-routing\", \"local\""
            ),
        );
    }
    check_director("xdp_mode = 'drv'", "xdp_mode: XDP mode \"drv\" is written \"native\" here");
    check_director(
        "service_addresses = 'me'",
        "service_addresses: unknown owner \"me\"; known: \"director\", \"operator\"",
    );
    check_service(
        "check",
        "{ type = 'HTTP_GET' }",
        "check.type: check \"HTTP_GET\" is not supported yet; there is: \"tcp\"",
    );
}

#[test]
fn a_service_has_a_unicast_address_and_a_port() {
    for (address, problem) in [
        (
            "web:http",
            "\"web:http\" is not an address with a port, such as 10.0.0.50:80 or [fd00::50]:80 (names are not looked up)",
        ),
        (
            "10.0.0.50:65536",
            "\"10.0.0.50:65536\" is not an address with a port, such as 10.0.0.50:80 or [fd00::50]:80 (names are not looked up)",
        ),
        (
            "[fe80::1%3]:80",
            "\"[fe80::1%3]:80\" is not an address with a port, such as 10.0.0.50:80 or [fd00::50]:80 (names are not looked up)",
        ),
        (
            "10.0.0.50",
            "\"10.0.0.50\" has no port: services on all ports are not supported yet, name one, 1 to 65535",
        ),
        (
            "[fd00::50]",
            "\"[fd00::50]\" has no port: services on all ports are not supported yet, name one, 1 to 65535",
        ),
        ("10.0.0.50:0", "port 0: services on all ports are not supported yet, name one, 1 to 65535"),
        ("224.0.0.1:80", "224.0.0.1 is a multicast address: a unicast address is needed"),
        ("[ff02::1]:80", "ff02::1 is a multicast address: a unicast address is needed"),
        ("0.0.0.0:80", "0.0.0.0 is the unspecified address: a unicast address is needed"),
        ("[::]:80", ":: is the unspecified address: a unicast address is needed"),
        ("127.0.0.1:80", "127.0.0.1 is a loopback address: a unicast address is needed"),
        ("[::1]:80", "::1 is a loopback address: a unicast address is needed"),
        ("255.255.255.255:80", "255.255.255.255 is the broadcast address: a unicast address is needed"),
        ("[::ffff:10.0.0.50]:80", "::ffff:10.0.0.50 is an IPv4 address in IPv6 notation: write 10.0.0.50"),
    ] {
        check_service("address", &format!("'{address}'"), &format!("address: {problem}"));
    }
}

#[test]
fn a_real_server_can_serve_its_service() {
    for (address, problem) in [
        (
            "web1:80",
            "\"web1:80\" is not an address, such as 10.0.0.11, 10.0.0.11:80 or [fd00::11]:80 (names are not looked up)",
        ),
        (
            "10.0.0.11:8080",
            "direct routing does not change the port: 8080 must be 80, the service's (ipvsadm rewrites it silently)",
        ),
        ("10.0.0.11:0", "port 0: leave the port out, it is the service's"),
        ("fd00::11", "fd00::11 cannot serve TCP 10.0.0.50:80: the address families differ"),
        ("127.0.0.1", "127.0.0.1 is a loopback address: a unicast address is needed"),
        ("239.0.0.1", "239.0.0.1 is a multicast address: a unicast address is needed"),
        ("::ffff:10.0.0.11", "::ffff:10.0.0.11 is an IPv4 address in IPv6 notation: write 10.0.0.11"),
        (
            "10.0.0.50",
            "10.0.0.50 is the service's own address: a packet sent there by direct routing comes back; this host is `forward = \"local\"`",
        ),
        ("169.254.0.1", "169.254.0.1 is link-local: name the `interface` that it is reached by"),
        (
            "fe80::1%eth0",
            "\"fe80::1%eth0\" names an interface after `%`: write it as `interface` of the real server",
        ),
    ] {
        check_real_server(&format!("address = '{address}'"), &format!("address: {problem}"));
    }
    check_real_server(
        "address = '10.0.0.2:81'\nforward = 'local'",
        "address: local delivery does not change the port: 81 must be 80, the service's (ipvsadm rewrites it silently)",
    );
    check_real_server(
        "interface = 'eth0'\nforward = 'local'\naddress = '10.0.0.2'",
        "interface: a real server with `forward = \"local\"` is this host: leave `interface` out",
    );
    check_real_server(
        "interface = 'a/b'\naddress = '10.0.0.11'",
        "interface: \"a/b\" cannot be an interface's name: 1 to 15 bytes without blanks, `/` and `:`",
    );
    for name in ["''".to_owned(), "\"a\\nb\"".to_owned(), format!("'{}'", "x".repeat(65))] {
        check_real_server(
            &format!("name = {name}\naddress = '10.0.0.11'"),
            "name: a name has 1 to 64 characters, none of them a control character",
        );
    }
    for weight in [-1, 65_536, 70_000] {
        check_real_server(
            &format!("weight = {weight}\naddress = '10.0.0.11'"),
            &format!("weight: {weight} is out of range: 0 to 65535 (0 drains)"),
        );
    }
}

#[test]
fn a_link_local_real_server_is_on_a_named_interface() {
    let text = format!("{}\nreal_server = [{{ address = 'fe80::1' }}]", SERVICE.join("\n"));
    let text = text.replace("10.0.0.50", "[fd00::50]");
    check(
        &text,
        &["lb.toml:5: virtual_service[0].real_server[0].address: \
           fe80::1 is link-local: name the `interface` that it is reached by"],
    );
    assert!(parse("lb.toml", &text.replace("'fe80::1'", "'fe80::1', interface = 'eth0'")).is_ok());
}

#[test]
fn what_a_real_server_may_be() {
    let head = SERVICE.join("\n");
    for real_server in [
        "address = '10.0.0.11:80', weight = 65535",
        "address = '10.0.0.11', weight = 0",
        "address = '127.0.0.1', forward = 'local'",
        "address = '10.0.0.50', forward = 'local'",
        "address = '169.254.0.1', interface = 'eth0'",
    ] {
        let text = format!("{head}\nreal_server = [{{ {real_server} }}]");
        assert_eq!(parse("lb.toml", &text).unwrap().services[0].real_servers.len(), 1, "{real_server}");
    }
}

#[test]
fn nothing_is_there_twice() {
    let service = SERVICE.join("\n");
    check(
        &format!("{service}\n{service}"),
        &["lb.toml:7: virtual_service[1].address: TCP 10.0.0.50:80 is already at line 3"],
    );
    // On one line too, where a line tells nothing apart.
    check(
        "virtual_service = [{ protocol = 'tcp', address = '10.0.0.50:80', scheduler = 'rr' }, \
                            { protocol = 'tcp', address = '10.0.0.50:80', scheduler = 'rr' }]",
        &["lb.toml:1: virtual_service[1].address: TCP 10.0.0.50:80 is already at line 1"],
    );
    check(
        &format!(
            "{service}\nreal_server = [\n{{ address = '10.0.0.11', name = 'a' }},\n{{ address = '10.0.0.11:80', name = 'a' }}]"
        ),
        &[
            "lb.toml:7: virtual_service[0].real_server[1].address: \
             real server 10.0.0.11:80 of TCP 10.0.0.50:80 is already at line 6",
            "lb.toml:7: virtual_service[0].real_server[1].name: \
             a real server of TCP 10.0.0.50:80 with this name is already at line 6",
        ],
    );
    check_director("interfaces = ['eth0', 'eth0']", "interfaces[1]: the interface eth0 is already at line 2");
    check_director(
        "peers = ['02:00:00:00:00:0a', '10.0.0.1', '02:00:00:00:00:0A']",
        "peers[2]: the peer 02:00:00:00:00:0A is already at line 2",
    );
    // The same address with another protocol or port is another service.
    let others = format!("{service}\n{}\n{}", service.replace("tcp", "udp"), service.replace(":80", ":81"));
    assert_eq!(parse("lb.toml", &others).unwrap().services.len(), 3);
}

#[test]
fn the_director_is_checked() {
    check_director(
        "metrics = '9105'",
        "metrics: \"9105\" is not an address with a port, such as 10.0.0.50:80 or [fd00::50]:80 (names are not looked up)",
    );
    for name in ["", ".", "..", "eth 0", "eth/0", "eth0:1", "sixteen-bytes-ab", "a\u{b}b"] {
        check_director(
            &format!("interfaces = [{}]", toml_string(name)),
            &format!(
                "interfaces[0]: {name:?} cannot be an interface's name: 1 to 15 bytes without blanks, `/` and `:`"
            ),
        );
    }
    for (peer, problem) in [
        (
            "02:00:00:00:00",
            "\"02:00:00:00:00\" is neither an Ethernet address such as 02:00:00:00:00:12 nor an IP address such as 10.0.0.12",
        ),
        (
            "02:00:00:00:00:+1",
            "\"02:00:00:00:00:+1\" is neither an Ethernet address such as 02:00:00:00:00:12 nor an IP address such as 10.0.0.12",
        ),
        (
            "2:0:0:0:0:12",
            "\"2:0:0:0:0:12\" is neither an Ethernet address such as 02:00:00:00:00:12 nor an IP address such as 10.0.0.12",
        ),
        ("01:00:5e:00:00:01", "01:00:5e:00:00:01 is a group's: a unicast address is needed"),
        ("00:00:00:00:00:00", "00:00:00:00:00:00 is nobody's: a unicast address is needed"),
        ("224.0.0.1", "224.0.0.1 is a multicast address: a unicast address is needed"),
    ] {
        check_director(&format!("peers = ['{peer}']"), &format!("peers[0]: {problem}"));
    }
    let peers: Vec<_> = (0..1_025).map(|i| format!("'10.1.{}.{}'", i / 256, i % 256)).collect();
    check_director(
        &format!("peers = [{}]", peers.join(",")),
        "peers[1024]: a director has at most 1024 peers, this is one more",
    );
}

#[test]
fn numbers_and_durations_have_ranges() {
    for (key, value, problem) in [
        ("flows", "1023", "1023 is out of range: 1024 to 134217728"),
        ("services", "0", "0 is out of range: 1 to 65536"),
        ("destinations", "1048575", "1048575 is out of range: 1 to 1048574"),
        ("ring_slots", "-1", "-1 is out of range: 1 to 67108864"),
    ] {
        check(&format!("[tables]\n{key} = {value}"), &[&format!("lb.toml:2: tables.{key}: {problem}")]);
    }
    for (value, problem) in [
        ("0", "0 s is out of range: 1 s to 31 days"),
        ("-5", "-5 s is out of range: 1 s to 31 days"),
        ("'999ms'", "\"999ms\" is out of range: 1 s to 31 days"),
        ("'1500ms'", "\"1500ms\" is not a whole number of seconds"),
        ("'31days 1s'", "\"31days 1s\" is out of range: 1 s to 31 days"),
        (
            "'900'",
            "\"900\" is not a duration such as \"90s\", \"15m\" or \"500ms\": time unit needed, for example 900sec or 900ms",
        ),
        ("'soon'", "\"soon\" is not a duration such as \"90s\", \"15m\" or \"500ms\": expected number at 0"),
    ] {
        check_director(&format!("timeouts.tcp_fin = {value}"), &format!("timeouts.tcp_fin: {problem}"));
    }
    for (value, key, problem) in [
        ("port = 0", "port", "0 is out of range: 1 to 65535"),
        ("port = 65536", "port", "65536 is out of range: 1 to 65535"),
        ("rise = 0", "rise", "0 is out of range: 1 to 1000"),
        ("fall = 1001", "fall", "1001 is out of range: 1 to 1000"),
        ("interval = '99ms'", "interval", "\"99ms\" is out of range: 100 ms to 1 day"),
        ("interval = '25h'", "interval", "\"25h\" is out of range: 100 ms to 1 day"),
        ("timeout = '9ms'", "timeout", "\"9ms\" is out of range: 10 ms to the interval"),
        (
            "timeout = 5",
            "timeout",
            "a probe may not take longer than the interval: timeout is 5s, interval is 2s",
        ),
        (
            "interval = '500ms'",
            "interval",
            "a probe may not take longer than the interval: timeout is 1s, interval is 500ms",
        ),
    ] {
        check_service("check", &format!("{{ type = 'tcp', {value} }}"), &format!("check.{key}: {problem}"));
    }
}

#[test]
fn a_duration_can_be_written_in_several_ways() {
    for (value, seconds) in
        [("90", 90), ("'90s'", 90), ("'1m 30s'", 90), ("'2h'", 7_200), ("'31days'", 2_678_400)]
    {
        let model = parse("lb.toml", &format!("[director.timeouts]\nudp = {value}")).unwrap();
        assert_eq!(model.director.timeouts.udp, Duration::from_secs(seconds), "{value}");
    }
}

/// Services with as many real servers each as `weights` has, one line a real server.
fn services(scheduler: &str, services: &[&[u32]]) -> String {
    let mut text = String::new();
    for (s, weights) in services.iter().enumerate() {
        writeln!(
            text,
            "[[virtual_service]]\nprotocol = 'tcp'\naddress = '10.0.0.{}:80'\nscheduler = '{scheduler}'",
            s + 1
        )
        .unwrap();
        writeln!(text, "real_server = [").unwrap();
        for (r, weight) in weights.iter().enumerate() {
            writeln!(text, "{{ address = '10.1.{}.{}', weight = {weight} }},", r / 256, r % 256).unwrap();
        }
        writeln!(text, "]").unwrap();
    }
    text
}

#[test]
fn everything_fits_the_tables() {
    check(
        &format!("tables.services = 1\n{}", services("rr", &[&[], &[]])),
        &["lb.toml:8: virtual_service[1]: more than 1 virtual services: raise `tables.services`"],
    );
    check(
        &format!("tables.destinations = 3\n{}", services("rr", &[&[1, 1], &[1, 0]])),
        &["lb.toml:16: virtual_service[1].real_server[1]: \
           more than 3 real servers of all services: raise `tables.destinations`"],
    );
    check(
        &format!("tables.ring_slots = 5\n{}", services("wrr", &[&[3, 0], &[2, 3]])),
        &[
            "lb.toml:10: virtual_service[1]: more than 5 slots in the rings of all services: raise `tables.ring_slots`",
        ],
    );
    // To the brim.
    let full = "tables.services = 2\ntables.destinations = 4\ntables.ring_slots = 6\n";
    assert!(parse("lb.toml", &format!("{full}{}", services("wrr", &[&[3, 0], &[2, 3]]))).is_ok());

    check(
        &services("wrr", &[&[65_535, 65_534, 4]]),
        &["lb.toml:1: virtual_service[0]: the weights need a ring of 131073 slots, 131072 is the most: \
           use smaller weights, or such that share a divisor"],
    );
    assert!(parse("lb.toml", &services("wrr", &[&[65_535, 65_534, 3]])).is_ok());
    assert!(parse("lb.toml", &services("rr", &[&[65_535, 65_534, 4]])).is_ok());

    check(
        &services("rr", &[&vec![1; 4_097]]),
        &["lb.toml:4102: virtual_service[0].real_server[4096]: \
           a service has at most 4096 real servers, this is one more"],
    );
    assert!(parse("lb.toml", &services("rr", &[&vec![1; 4_096]])).is_ok());
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_file() {
    check(
        "[[virtual_service]]\nscheduler = 'wlc'\naddress = '10.0.0.50:0'\nprotocol = 'tcp'\n[director]\nmetrics = 'x'\n",
        &[
            "lb.toml:2: virtual_service[0].scheduler: \
             scheduler \"wlc\" is not supported yet; there is: \"rr\", \"wrr\"",
            "lb.toml:3: virtual_service[0].address: \
             port 0: services on all ports are not supported yet, name one, 1 to 65535",
            "lb.toml:6: director.metrics: \"x\" is not an address with a port, \
             such as 10.0.0.50:80 or [fd00::50]:80 (names are not looked up)",
        ],
    );
    let many = format!("[director]\ninterfaces = [{}]", "'',\n".repeat(Errors::SHOWN + 2));
    let errors = parse("lb.toml", &many).unwrap_err();
    assert_eq!(errors.iter().count(), 52);
    let shown = errors.to_string();
    assert_eq!((shown.lines().count(), shown.lines().last()), (51, Some("and 2 more")));
}

#[test]
fn a_value_cannot_break_its_line() {
    check_service(
        "scheduler",
        "\"rr\\nlb.toml:1: fine\"",
        "scheduler: unknown scheduler \"rr\\nlb.toml:1: fine\"; known: \"rr\", \"wrr\"",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let told =
        |path: &Path| load(path).unwrap_err().to_string().replace(&dir.path().display().to_string(), "D");
    let path = dir.path().join("lb.toml");

    assert_eq!(told(&path), "D/lb.toml: cannot be read: No such file or directory (os error 2)");
    assert_eq!(told(dir.path()), "D: cannot be read: Is a directory (os error 21)");

    fs::write(&path, b"[director]\n# caf\xe9\n").unwrap();
    assert_eq!(told(&path), "D/lb.toml:2: byte 0xe9 is not UTF-8: save the file as UTF-8");

    fs::write(&path, [b'\n'].repeat(FILE_MAX + 1)).unwrap();
    assert_eq!(told(&path), "D/lb.toml: is larger than 16 MiB, which no configuration is");
    fs::write(&path, [b'\n'].repeat(FILE_MAX)).unwrap();
    assert_eq!(read(&path).unwrap().len(), FILE_MAX);

    fs::write(&path, "[director]\nmetrics = ''").unwrap();
    assert!(told(&path).starts_with("D/lb.toml:2: director.metrics: "));
}

fn toml_string(text: &str) -> String {
    // JSON's strings are TOML's basic strings.
    serde_json::to_string(text).unwrap()
}
