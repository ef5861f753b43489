//! Real servers behind tunnels.

use super::{SERVICE, check, check_real_server, parse};
use crate::model::{ForwardMethod, Tunnel};

#[test]
fn a_tunnel_is_of_one_type() {
    let head = SERVICE.join("\n");
    for (lines, tunnel) in [
        ("", Tunnel::Ipip),
        (", tunnel = {}", Tunnel::Ipip),
        (", tunnel = { type = 'ipip' }", Tunnel::Ipip),
        (", tunnel = { type = 'gue', port = 6080 }", Tunnel::Gue { port: 6_080, checksum: false }),
        (", tunnel = { type = 'gue', port = 1, checksum = true }", Tunnel::Gue { port: 1, checksum: true }),
        (", tunnel = { type = 'gre' }", Tunnel::Gre { checksum: false }),
        (", tunnel = { type = 'gre', checksum = true }", Tunnel::Gre { checksum: true }),
        (", interface = 'eth0'", Tunnel::Ipip),
    ] {
        // Of the other family than the service too.
        for address in ["192.168.7.11", "192.168.7.11:80", "fd00::11"] {
            let text =
                format!("{head}\nreal_server = [{{ address = '{address}', forward = 'tunnel'{lines} }}]");
            let model = parse("lb.toml", &text).unwrap();
            assert_eq!(model.services[0].real_servers[0].forward, ForwardMethod::Tunnel(tunnel), "{lines}");
        }
    }
}

#[test]
fn only_what_a_tunnel_has_is_said_of_it() {
    let rest = "\nforward = 'tunnel'\naddress = '192.168.7.11'";
    for (tunnel, key, problem) in [
        ("type = 'gue'", "", "a gue tunnel needs `port`, the real server's UDP port, 1 to 65535"),
        ("type = 'gue', port = 0", ".port", "0 is out of range: 1 to 65535"),
        ("type = 'gue', port = 65536", ".port", "65536 is out of range: 1 to 65535"),
        ("type = 'ipip', port = 6080", ".port", "a tunnel of type ipip has no port: leave it out"),
        ("type = 'gre', port = 0", ".port", "a tunnel of type gre has no port: leave it out"),
        ("checksum = false", ".checksum", "a tunnel of type ipip has no checksum: leave it out"),
        ("type = 'GUE', port = 6080", ".type", "tunnel \"GUE\" is written \"gue\" here"),
        (
            "type = 'vxlan', port = 4789",
            ".type",
            "unknown tunnel \"vxlan\"; known: \"ipip\", \"gue\", \"gre\"",
        ),
        ("kind = 'gue'", ".kind", "unknown key; known here: type, port, checksum"),
    ] {
        check_real_server(&format!("tunnel = {{ {tunnel} }}{rest}"), &format!("tunnel{key}: {problem}"));
    }
    check_real_server(
        &format!("tunnel = 'gue'{rest}"),
        "tunnel: expected a table such as { type = \"ipip\" }, found string \"gue\"",
    );
    for forward in ["", "\nforward = 'direct-routing'", "\nforward = 'local'"] {
        check_real_server(
            &format!("tunnel = {{ type = 'ipip' }}\naddress = '10.0.0.11'{forward}"),
            "tunnel: only a real server with `forward = \"tunnel\"` has a tunnel: write that, or leave this out",
        );
    }
}

#[test]
fn a_tunnel_ends_at_another_host() {
    for (address, problem) in [
        (
            "10.0.0.50",
            "10.0.0.50 is the service's own address: a packet sent there by a tunnel comes back; this host is `forward = \"local\"`",
        ),
        ("127.0.0.1", "127.0.0.1 is a loopback address: a unicast address is needed"),
        ("::1", "::1 is a loopback address: a unicast address is needed"),
        ("::ffff:10.0.0.11", "::ffff:10.0.0.11 is an IPv4 address in IPv6 notation: write 10.0.0.11"),
        ("fe80::1", "fe80::1 is link-local: name the `interface` that it is reached by"),
        (
            "10.0.0.11:8080",
            "a tunnel does not change the port: 8080 must be 80, the service's (ipvsadm rewrites it silently)",
        ),
    ] {
        check_real_server(
            &format!("address = '{address}'\nforward = 'tunnel'"),
            &format!("address: {problem}"),
        );
    }
    let text =
        format!("{}\nreal_server = [{{ address = 'fd00::11', forward = 'local' }}]", SERVICE.join("\n"));
    check(
        &text,
        &["lb.toml:5: virtual_service[0].real_server[0].address: \
           fd00::11 cannot serve TCP 10.0.0.50:80: the address families differ"],
    );
}
