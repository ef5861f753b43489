//! Classes, services by mark, and services on all ports.

use std::fmt::Write as _;

use super::{SERVICE, check, check_service, parse};
use crate::model::{Class, Family, Ports, Prefix, Protocol, ServiceId};

/// A class, with these lines from line 4 on, and a service of its mark.
fn with(lines: &str) -> String {
    format!(
        "[[class]]\nmark = 7\naddress = '10.0.0.50'\n{lines}\n[[virtual_service]]\nmark = 7\nscheduler = 'rr'\n"
    )
}

/// The class with this key, line 4 or the line that has it, is refused.
#[track_caller]
fn check_class(key: &str, value: &str, error: &str) {
    let line = match key {
        "mark" => 2,
        "address" => 3,
        _ => 4,
    };
    let mut lines = with("").lines().map(str::to_owned).collect::<Vec<_>>();
    lines[line - 1] = format!("{key} = {value}");
    check(&lines.join("\n"), &[&format!("lb.toml:{line}: class[0].{error}")]);
}

#[test]
fn a_class_says_what_belongs_to_it() {
    let text = "[[class]]\nmark = 4294967295\naddress = ['10.0.0.50', 'fd00::50']\nprotocol = 'udp'\n\
                ports = ['80', '8000-8100', '65535']\ninterface = 'eth0'\n\
                source = ['192.0.2.0/24', '0.0.0.0/0', '2001:db8::1', '198.51.100.7']\n\
                not_source_mac = ['02:00:00:00:00:0A']\n\
                [[class]]\nmark = 1\naddress = '10.0.0.50'\n";
    let ports = [(80, 80), (8_000, 8_100), (65_535, 65_535)].map(|(first, last)| Ports { first, last });
    let sources = [("192.0.2.0", 24), ("0.0.0.0", 0), ("2001:db8::1", 128), ("198.51.100.7", 32)];
    let class = Class {
        mark: u32::MAX,
        addresses: ["10.0.0.50", "fd00::50"].map(|address| address.parse().unwrap()).to_vec(),
        protocol: Some(Protocol::Udp),
        ports: ports.to_vec(),
        interface: Some("eth0".to_owned()),
        sources: sources
            .map(|(address, length)| Prefix { address: address.parse().unwrap(), length })
            .to_vec(),
        not_source_macs: vec![[2, 0, 0, 0, 0, 10]],
    };
    let model = parse("lb.toml", text).unwrap();
    assert_eq!(model.classes[0], class);
    assert_eq!((model.classes[1].mark, model.classes[1].ports.len()), (1, 0));
    assert_eq!(model.service_addresses().len(), 0, "no mark has a service");
}

#[test]
fn what_a_class_cannot_be() {
    for (key, value, problem) in [
        ("mark", "0", "mark: 0 is out of range: 1 to 4294967295"),
        ("mark", "4294967296", "mark: 4294967296 is out of range: 1 to 4294967295"),
        ("mark", "'7'", "mark: expected a whole number, found string \"7\""),
        ("address", "[]", "address: a class has an address: name one, or several"),
        ("address", "5", "address: expected a string, or an array of strings, found integer `5`"),
        (
            "address",
            "'10.0.0.50:80'",
            "address: \"10.0.0.50:80\" has a port: write it as `ports` of the class",
        ),
        ("address", "'224.0.0.1'", "address: 224.0.0.1 is a multicast address: a unicast address is needed"),
        (
            "address",
            "['10.0.0.50', 'web']",
            "address[1]: \"web\" is not an address, such as 10.0.0.50 or fd00::50 (names are not looked up)",
        ),
        ("address", "['10.0.0.50', '10.0.0.50']", "address[1]: the address 10.0.0.50 is already at line 3"),
        ("protocol", "'TCP'", "protocol: protocol \"TCP\" is written \"tcp\" here"),
        ("ports", "['80', '80']", "ports[1]: the port 80 is already at line 4"),
        ("ports", "[80]", "ports[0]: expected a string, found integer `80`"),
        (
            "interface",
            "'a/b'",
            "interface: \"a/b\" cannot be an interface's name: 1 to 15 bytes without blanks, `/` and `:`",
        ),
        ("source", "['192.0.2.1/24']", "source[0]: there are bits behind the prefix: write 192.0.2.0/24"),
        (
            "source",
            "['192.0.2.0/24', '192.0.2.0/24']",
            "source[1]: the source 192.0.2.0/24 is already at line 4",
        ),
        (
            "source",
            "['::ffff:10.0.0.0/104']",
            "source[0]: ::ffff:10.0.0.0 is an IPv4 address in IPv6 notation: write 10.0.0.0",
        ),
        (
            "not_source_mac",
            "['02:00']",
            "not_source_mac[0]: \"02:00\" is not an Ethernet address such as 02:00:00:00:00:12",
        ),
        (
            "not_source_mac",
            "['01:00:5e:00:00:01']",
            "not_source_mac[0]: 01:00:5e:00:00:01 is a group's: a unicast address is needed",
        ),
        ("port", "80", "port: unknown key; did you mean `ports`?"),
    ] {
        check_class(key, value, problem);
    }
    for ports in ["0", "0-80", "81-80", "65536", "+80", "80-", "-80", "http", "80,443", ""] {
        let problem =
            "is neither a port such as 80 nor a range such as 8000-8100; 1 to 65535, the lower one first";
        check_class("ports", &format!("['{ports}']"), &format!("ports[0]: {ports:?} {problem}"));
    }
    for prefix in ["192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "192.0.2", "fd00::/129", "", "eth0"] {
        let problem =
            "is not a prefix, such as 192.0.2.0/24, 2001:db8::/32 or an address (names are not looked up)";
        check_class("source", &format!("['{prefix}']"), &format!("source[0]: {prefix:?} {problem}"));
    }
}

#[test]
fn sources_and_addresses_are_of_the_same_families() {
    check(
        &with("source = ['fd00::/8']"),
        &[
            "lb.toml:3: class[0].address: no `source` is of the family of 10.0.0.50: nothing for it would belong to the class",
            "lb.toml:4: class[0].source[0]: no `address` is of the family of fd00::/8: nothing from there would belong to the class",
        ],
    );
    let both =
        with("source = ['fd00::/8', '10.0.0.0/8']").replace("'10.0.0.50'", "['10.0.0.50', 'fd00::50']");
    assert!(parse("lb.toml", &both).is_ok());
}

#[test]
fn a_service_is_for_a_mark_or_for_an_address() {
    let services = |lines: &str| format!("{}{lines}", with(""));
    let id = |text: &str| parse("lb.toml", text).unwrap().services[0].id;
    assert_eq!(id(&with("")), ServiceId::Mark { mark: 7, family: Family::V4 });
    let v6 = with("").replace("10.0.0.50", "fd00::50").replace("scheduler", "family = 'ipv6'\nscheduler");
    assert_eq!(id(&v6), ServiceId::Mark { mark: 7, family: Family::V6 });
    // The same mark may have both.
    let both = with("").replace("'10.0.0.50'", "['10.0.0.50', 'fd00::50']");
    let both = format!("{both}[[virtual_service]]\nmark = 7\nfamily = 'ipv6'\nscheduler = 'rr'\n");
    assert_eq!(parse("lb.toml", &both).unwrap().services.len(), 2);

    check(
        &services("[[virtual_service]]\nscheduler = 'rr'"),
        &[
            "lb.toml:8: virtual_service[1].protocol: missing: a service has `protocol` and `address`, or a `mark`",
            "lb.toml:8: virtual_service[1].address: missing: a service has `protocol` and `address`, or a `mark`",
        ],
    );
    check(
        &services(
            "[[virtual_service]]\nmark = 9\nprotocol = 'tcp'\naddress = '10.0.0.50:80'\nscheduler = 'rr'",
        ),
        &[
            "lb.toml:10: virtual_service[1].protocol: \
             a service by mark is for what a [[class]] with this mark says: leave `protocol` out",
            "lb.toml:11: virtual_service[1].address: \
             a service by mark is for what a [[class]] with this mark says: leave `address` out",
        ],
    );
    check_service(
        "family",
        "'ipv6'",
        "family: the family of a service is its address's: leave this out, only a service by `mark` says it",
    );
    for (line, error) in [
        ("mark = 0", "mark: 0 is out of range: 1 to 4294967295"),
        ("mark = 7\nfamily = 'inet6'", "family: family \"inet6\" is written \"ipv6\" here"),
        (
            "mark = 8",
            "mark: no [[class]] with this mark has an IPv4 address: nothing would reach the service",
        ),
        (
            "family = 'ipv6'\nmark = 7",
            "mark: no [[class]] with this mark has an IPv6 address: nothing would reach the service",
        ),
        ("mark = 7", "mark: FWM 7 is already at line 6"),
    ] {
        let at = if line.contains('\n') { 10 } else { 9 };
        check(
            &services(&format!("[[virtual_service]]\n{line}\nscheduler = 'rr'")),
            &[&format!("lb.toml:{at}: virtual_service[1].{error}")],
        );
    }
}

#[test]
fn a_real_server_of_a_mark_needs_no_port_but_its_check_does() {
    let with = |lines: &str| format!("{}{lines}\n", with(""));
    let text = with("real_server = [{ address = '10.0.0.11' }, { address = '10.0.0.11:81' }]");
    let ports: Vec<_> =
        parse("lb.toml", &text).unwrap().services[0].real_servers.iter().map(|it| it.port).collect();
    assert_eq!(ports, [0, 81]);
    let needed = "check.port: real server 10.0.0.11 has no port that this check could ask: write `port` here";
    for (address, check_line, is_right) in [
        ("10.0.0.11", "{ type = 'tcp' }", false),
        ("10.0.0.11", "{ type = 'tcp', port = 80 }", true),
        ("10.0.0.11:80", "{ type = 'tcp' }", true),
    ] {
        let text = with(&format!("check = {check_line}\nreal_server = [{{ address = '{address}' }}]"));
        if is_right {
            assert!(parse("lb.toml", &text).is_ok(), "{text}");
        } else {
            check(&text, &[&format!("lb.toml:8: virtual_service[0].{needed}")]);
        }
    }
    check(
        &with("real_server = [{ address = '10.0.0.50' }]"),
        &["lb.toml:8: virtual_service[0].real_server[0].address: 10.0.0.50 is the service's own address: \
           a packet sent there by direct routing comes back; this host is `forward = \"local\"`"],
    );
    check(
        &with("real_server = [{ address = 'fd00::11' }]"),
        &["lb.toml:8: virtual_service[0].real_server[0].address: \
           fd00::11 cannot serve FWM 7: the address families differ"],
    );
    let masqueraded = with("real_server = [{ address = '10.0.0.11:81', forward = 'masquerade' }]");
    check(
        &masqueraded,
        &["lb.toml:1: class[0]: a real server of FWM 7 is masqueraded, and SCTP can't be: \
           name the `protocol`, tcp or udp (both: a class for each)"],
    );
    assert!(
        parse("lb.toml", &masqueraded.replace("mark = 7\naddress", "mark = 7\nprotocol = 'udp'\naddress"))
            .is_ok()
    );
    // TCP beside UDP has connections all the same.
    assert!(parse("lb.toml", &with("one_packet = true")).unwrap().services[0].one_packet);
}

#[test]
fn port_0_is_all_that_no_other_service_has() {
    let text = SERVICE.join("\n").replace(":80", ":0");
    let real_servers = |text: &str| format!("{text}\nreal_server = [{{ address = '10.0.0.11' }}]");
    let model = parse("lb.toml", &real_servers(&text)).unwrap();
    assert_eq!((model.services[0].id.port(), model.services[0].real_servers[0].port), (0, 0));
    assert_eq!(model.services[0].id.to_string(), "TCP 10.0.0.50:0");
    assert!(parse("lb.toml", &format!("{text}\n{}", SERVICE.join("\n"))).is_ok());
    check(
        &format!("{text}\nreal_server = [{{ address = '10.0.0.11:80' }}]"),
        &[
            "lb.toml:5: virtual_service[0].real_server[0].address: the service is for all ports, and direct routing \
           does not change them: leave :80 out (ipvsadm rewrites it silently)",
        ],
    );
    check(
        &real_servers(&format!("{text}\ncheck = {{ type = 'tcp' }}")),
        &["lb.toml:5: virtual_service[0].check.port: \
           real server 10.0.0.11 has no port that this check could ask: write `port` here"],
    );
}

#[test]
fn rules_have_room() {
    let ports = |from: u16, count: u16| {
        let list: Vec<_> = (from..from + count).map(|port| format!("'{port}'")).collect();
        format!("ports = [{}]", list.join(", "))
    };
    // The most that one address can have.
    assert!(parse("lb.toml", &with(&ports(1, 256))).is_ok());
    let more = "[[class]]\nmark = 8\naddress = '10.0.0.50'";
    check(
        &format!("{}{more}", with(&ports(1, 256))),
        &[
            "lb.toml:8: class[1]: with this class 10.0.0.50 has 257 rules, 256 is the most: name fewer ports, \
           sources and Ethernet addresses, or join them to ranges and shorter prefixes",
        ],
    );
    // What has the same rules shares them.
    let mut many = String::from("tables.class_addresses = 20\ntables.class_rules = 9\n");
    for address in 0..20 {
        writeln!(many, "[[class]]\nmark = 7\naddress = '10.1.0.{address}'\n{}", ports(80, 8)).unwrap();
    }
    let service = "[[virtual_service]]\nmark = 7\nscheduler = 'rr'\n";
    assert!(parse("lb.toml", &format!("{many}{service}")).is_ok());
    check(
        &format!("{}{service}", many.replace("= 20", "= 19")),
        &["lb.toml:79: class[19]: more than 19 addresses of classes: raise `tables.class_addresses`"],
    );
    let other = many.replacen("'80'", "'79'", 1);
    check(
        &format!("{other}{service}"),
        &["lb.toml:7: class[1]: more than 9 rules of classes: raise `tables.class_rules`"],
    );
    // Nobody's addresses need no rules.
    assert!(parse("lb.toml", &other).is_ok());
}
