//! What values mean together, and a file as a whole.

use std::{fmt::Write as _, fs, path::Path};

use super::super::{Errors, FILE_MAX, load, read};
use super::{SERVICE, check, check_director, parse};

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

    // Nothing is laid out ahead there, so a packet has to look at all of them: it can.
    assert!(parse("lb.toml", &services("wlc", &[&vec![1; 4_096]])).is_ok());
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
fn all_errors_are_reported_in_the_order_of_the_file() {
    check(
        "[[virtual_service]]\nscheduler = 'lblcr'\naddress = '10.0.0.50'\nprotocol = 'tcp'\n[director]\nmetrics = 'x'\n",
        &[
            "lb.toml:2: virtual_service[0].scheduler: \
             scheduler \"lblcr\" is not supported yet; there is: \"rr\", \"wrr\", \"lc\", \"wlc\", \"sed\", \"nq\", \"fo\", \"ovf\", \"twos\", \"lblc\", \"sh\", \"dh\", \"mh\", \"maglev\"",
            "lb.toml:3: virtual_service[0].address: \
             \"10.0.0.50\" has no port: name one, or port 0 for all that no other service has",
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
