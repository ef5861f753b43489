//! What the director may be, and the ranges of numbers and durations.

use std::time::Duration;

use super::{check, check_director, check_service, parse};
use crate::model::Connections;

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
        ("flows", "1023", "1023 is out of range: 1024 to 15000000"),
        ("services", "0", "0 is out of range: 1 to 65536"),
        ("destinations", "1048575", "1048575 is out of range: 1 to 1048573"),
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
fn options_of_connections_have_the_values_of_their_sysctls() {
    let text = "[director.connections]\nconn_reuse_mode = 0\nexpire_nodest_conn = false\nsloppy_tcp = true\n\
                expire_quiescent_template = true";
    let connections = parse("lb.toml", text).unwrap().director.connections;
    let expected = Connections {
        conn_reuse_mode: 0,
        expire_nodest_conn: false,
        sloppy_tcp: true,
        sloppy_sctp: false,
        expire_quiescent_template: true,
    };
    assert_eq!(connections, expected);
    for (key, value, problem) in [
        ("conn_reuse_mode", "4", "4 is out of range: 0 to 3"),
        ("conn_reuse_mode", "-1", "-1 is out of range: 0 to 3"),
        ("sloppy_tcp", "1", "expected a boolean, found integer `1`"),
    ] {
        check_director(&format!("connections.{key} = {value}"), &format!("connections.{key}: {problem}"));
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

fn toml_string(text: &str) -> String {
    // JSON's strings are TOML's basic strings.
    serde_json::to_string(text).unwrap()
}
