//! `persistent` and `netmask`.

use std::time::Duration;

use super::parse;
use crate::model::{Netmask, Persistence};

fn read(address: &str, lines: &str) -> Option<Persistence> {
    let text =
        format!("[[virtual_service]]\nprotocol = 'udp'\naddress = '{address}'\nscheduler = 'rr'\n{lines}\n");
    parse("lb.toml", &text).unwrap().services[0].persistence
}

#[test]
fn a_client_is_remembered_for_a_duration_and_by_a_netmask_of_its_family() {
    const V4: &str = "10.0.0.50:53";
    const V6: &str = "[fd00::50]:53";
    let v4 = |mask: [u8; 4]| Netmask::V4(mask.into());
    for (address, lines, expected) in [
        (V4, "", None),
        (V4, "persistent = false", None),
        (V4, "persistent = true", Some((360, v4([255; 4])))),
        (V4, "persistent = '5m'", Some((300, v4([255; 4])))),
        (V4, "persistent = 1", Some((1, v4([255; 4])))),
        (V4, "persistent = '31d'\nnetmask = '255.255.0.0'", Some((31 * 86_400, v4([255, 255, 0, 0])))),
        (V4, "persistent = 60\nnetmask = '0.0.0.255'", Some((60, v4([0, 0, 0, 255])))),
        (V4, "persistent = 60\nnetmask = 20", Some((60, v4([255, 255, 240, 0])))),
        (V4, "persistent = 60\nnetmask = 32\none_packet = false", Some((60, v4([255; 4])))),
        (V6, "persistent = true", Some((360, Netmask::V6(128)))),
        (V6, "persistent = 60\nnetmask = 64", Some((60, Netmask::V6(64)))),
    ] {
        let expected =
            expected.map(|(seconds, netmask)| Persistence { timeout: Duration::from_secs(seconds), netmask });
        assert_eq!(read(address, lines), expected, "{address} {lines}");
    }
}

#[test]
fn what_can_not_be_is_told() {
    for (lines, error) in [
        ("persistent = 0", "persistent: 0 s is out of range: 1 s to 31 days"),
        ("persistent = '32d'", "persistent: \"32d\" is out of range: 1 s to 31 days"),
        ("persistent = '1500ms'", "persistent: \"1500ms\" is not a whole number of seconds"),
        (
            "persistent = 60\nnetmask = 33",
            "netmask: 33 is out of range: a netmask leaves 1 to 32 bits of a client's address",
        ),
        (
            "persistent = 60\nnetmask = '0.0.0.0'",
            "netmask: 0 is out of range: a netmask leaves 1 to 32 bits of a client's address",
        ),
        (
            "persistent = 60\nnetmask = '/24'",
            "netmask: \"/24\" is not a netmask such as \"255.255.255.0\", or a number of bits such as 24",
        ),
        (
            "netmask = 24",
            "netmask: only a persistent service has a netmask: write `persistent`, or leave this out",
        ),
        (
            "persistent = 60\none_packet = true",
            "one_packet: a service with `one_packet` keeps no connections, and a persistent one keeps even its \
             clients: leave one of the two out",
        ),
        ("persistence_timeout = 60", "persistence_timeout: unknown key; did you mean `persistent`?"),
        ("persistence_granularity = 60", "persistence_granularity: unknown key; did you mean `netmask`?"),
    ] {
        let text = format!(
            "[[virtual_service]]\nprotocol = 'udp'\naddress = '10.0.0.50:53'\nscheduler = 'rr'\n{lines}\n"
        );
        let errors = parse("lb.toml", &text).unwrap_err().to_string();
        let key = errors.split_once("virtual_service[0].").map(|(_, error)| error);
        assert_eq!(key, Some(error), "{lines}: {errors}");
    }
    let v6 = "[[virtual_service]]\nprotocol = 'tcp'\naddress = '[fd00::50]:53'\nscheduler = 'rr'\npersistent = 1\n\
              netmask = '255.0.0.0'\n";
    let errors = parse("lb.toml", v6).unwrap_err().to_string();
    assert!(
        errors.ends_with("is not a number of bits, 1 to 128, which a netmask of IPv6 addresses is"),
        "{errors}"
    );
}
