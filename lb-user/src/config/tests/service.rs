//! What virtual services and real servers may be.

use super::{SERVICE, check, check_real_server, check_service, parse};
use crate::model::Thresholds;

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
        ("10.0.0.50", "\"10.0.0.50\" has no port: name one, or port 0 for all that no other service has"),
        ("[fd00::50]", "\"[fd00::50]\" has no port: name one, or port 0 for all that no other service has"),
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
fn a_real_server_has_thresholds_in_their_order() {
    for (thresholds, upper, lower) in [
        ("", 0, 0),
        (", upper_threshold = 10", 10, 0),
        (", upper_threshold = 10, lower_threshold = 10", 10, 10),
        (", upper_threshold = 2147483647, lower_threshold = 1", 2_147_483_647, 1),
        (", upper_threshold = 0, lower_threshold = 0", 0, 0),
    ] {
        let text = format!("{}\nreal_server = [{{ address = '10.0.0.11'{thresholds} }}]", SERVICE.join("\n"));
        let expected = Thresholds { upper, lower };
        assert_eq!(parse("lb.toml", &text).unwrap().services[0].real_servers[0].thresholds, expected);
    }
    for key in ["upper_threshold", "lower_threshold"] {
        for value in ["-1", "2147483648"] {
            check_real_server(
                &format!("{key} = {value}\naddress = '10.0.0.11'"),
                &format!("{key}: {value} is out of range: 0 to 2147483647"),
            );
        }
    }
    for (upper, lower) in [(0, 1), (10, 11)] {
        check_real_server(
            &format!("lower_threshold = {lower}\nupper_threshold = {upper}\naddress = '10.0.0.11'"),
            &format!(
                "lower_threshold: {lower} is above the upper threshold, {upper}: \
                 a real server is overloaded from that one down to this"
            ),
        );
    }
}

#[test]
fn a_long_ring_of_wrr_has_no_thresholds() {
    let text = |weight, upper| {
        let first = format!("{{ address = '10.0.0.11', weight = {weight}, upper_threshold = {upper} }}");
        format!("{}\nreal_server = [{first}, {{ address = '10.0.0.12' }}]", SERVICE.join("\n"))
    };
    assert!(parse("lb.toml", &text(4_095, 1)).is_ok());
    assert!(parse("lb.toml", &text(4_096, 0)).is_ok());
    check(
        &text(4_096, 1),
        &[
            "lb.toml:1: virtual_service[0]: where real servers have thresholds, 4096 slots of a ring can be looked at, \
           and the weights need 4097: use smaller weights, or such that share a divisor",
        ],
    );
    assert!(parse("lb.toml", &text(4_096, 1).replace("wrr", "wlc")).is_ok());
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
fn sctp_is_not_masqueraded() {
    let text = format!(
        "{}\nreal_server = [{{ address = '10.0.0.11', forward = 'masquerade' }}]",
        SERVICE.join("\n").replace("tcp", "sctp")
    );
    check(
        &text,
        &["lb.toml:5: virtual_service[0].real_server[0].forward: \
           SCTP can't be masqueraded: its checksum would have to be computed anew over the whole packet"],
    );
}

#[test]
fn an_sctp_service_is_checked_on_a_port_that_answers_tcp() {
    let service = |check: &str| {
        format!(
            "[[virtual_service]]\nprotocol = 'sctp'\naddress = '10.0.0.50:9899'\nscheduler = 'rr'\n{check}"
        )
    };
    for check in ["", "check = { type = 'tcp', port = 22 }"] {
        let model = parse("lb.toml", &service(check)).unwrap();
        assert_eq!(model.services[0].id.to_string(), "SCTP 10.0.0.50:9899");
    }
    check(
        &service("check = { type = 'tcp' }"),
        &[
            "lb.toml:5: virtual_service[0].check.type: nothing answers TCP on an SCTP port: give the check the `port` \
           of something there that answers TCP, or leave the check out",
        ],
    );
}
