//! Schedulers, and what they are told besides.

use super::{SERVICE, check, check_service, parse};
use crate::model::{RingSize, Scheduler, SchedulerFlags};

/// `[[virtual_service]]` with this scheduler, and these lines from line 5 on.
fn with(scheduler: &str, lines: &str) -> String {
    let head = SERVICE.join("\n").replace("wrr", scheduler);
    format!("{head}\n{lines}\n")
}

#[test]
fn a_scheduler_is_named_as_ipvsadm_does() {
    for scheduler in Scheduler::ALL {
        let model = parse("lb.toml", &with(scheduler.label(), ""));
        let supported = !matches!(scheduler, Scheduler::Lblcr);
        assert_eq!(model.is_ok(), supported, "{scheduler:?}");
        if let Ok(model) = model {
            assert_eq!(model.services[0].scheduler, scheduler);
        }
    }
}

#[test]
fn flags_are_those_of_the_scheduler() {
    for (scheduler, flags, port, fallback) in [
        ("sh", "", false, false),
        ("sh", "'sh-port'", true, false),
        ("sh", "'sh-fallback', 'sh-port'", true, true),
        ("mh", "'mh-fallback'", false, true),
        ("wrr", "", false, false),
    ] {
        let model = parse("lb.toml", &with(scheduler, &format!("scheduler_flags = [{flags}]"))).unwrap();
        assert_eq!(model.services[0].scheduler_flags, SchedulerFlags { port, fallback }, "{flags}");
    }
    for (scheduler, flags, place, problem) in [
        ("sh", "'mh-port'", 0, "\"mh-port\" is a flag of mh, and the scheduler is sh: leave it out"),
        ("maglev", "'mh-port'", 0, "\"mh-port\" is a flag of mh, and the scheduler is maglev: leave it out"),
        ("rr", "'sh-fallback'", 0, "\"sh-fallback\" is a flag of sh, and the scheduler is rr: leave it out"),
        ("sh", "'sh-port', 'sh-fallback', 'sh-port'", 2, "the flag sh-port is already at line 5"),
        (
            "sh",
            "'sh-fallback', 'port'",
            1,
            "unknown scheduler flag \"port\"; known: \"sh-port\", \"sh-fallback\", \"mh-port\", \"mh-fallback\"",
        ),
        ("mh", "'MH_PORT'", 0, "scheduler flag \"MH_PORT\" is written \"mh-port\" here"),
    ] {
        check(
            &with(scheduler, &format!("scheduler_flags = [{flags}]")),
            &[&format!("lb.toml:5: virtual_service[0].scheduler_flags[{place}]: {problem}")],
        );
    }
    check_service(
        "scheduler_flags",
        "'sh-port'",
        "scheduler_flags: expected an array, `[..]`, or `[[..]]` for tables, found string \"sh-port\"",
    );
}

#[test]
fn the_ring_of_a_hash_has_one_of_a_few_sizes() {
    for scheduler in ["mh", "maglev"] {
        for slots in RingSize::PRIMES {
            let model = parse("lb.toml", &with(scheduler, &format!("ring_size = {slots}"))).unwrap();
            assert_eq!(model.services[0].ring_size.slots(), slots);
        }
        for (value, nearest) in
            [("0", 251), ("-1", 251), ("4094", 4_093), ("6143", 8_191), ("9999999999", 131_071)]
        {
            check(
                &with(scheduler, &format!("ring_size = {value}")),
                &[&format!(
                    "lb.toml:5: virtual_service[0].ring_size: {value} is no size of a ring, the nearest is \
                     {nearest}; there is: 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071"
                )],
            );
        }
    }
    for scheduler in ["sh", "dh", "wrr"] {
        check(
            &with(scheduler, "ring_size = 4093"),
            &[&format!(
                "lb.toml:5: virtual_service[0].ring_size: the ring of {scheduler} has no size to choose, \
                 only those of mh and maglev have: leave it out"
            )],
        );
    }
}

#[test]
fn a_wrong_scheduler_is_the_only_error() {
    let lines = "scheduler_flags = ['mh-port']\nring_size = 251";
    let errors = parse("lb.toml", &with("mhh", lines)).unwrap_err();
    assert_eq!(errors.iter().count(), 1, "{errors}");
}

#[test]
fn rings_of_hashes_take_room() {
    let text = with("mh", "real_server = [{ address = '10.0.0.11', weight = 0 }]");
    check(
        &format!("tables.ring_slots = 4092\n{text}"),
        &["lb.toml:2: virtual_service[0]: more than 4092 slots in the rings of all services: \
           raise `tables.ring_slots`"],
    );
    assert!(parse("lb.toml", &format!("tables.ring_slots = 4093\n{text}")).is_ok());
}

#[test]
fn one_packet_scheduling_is_for_udp() {
    let udp = with("rr", "one_packet = true").replace("'tcp'", "'udp'").replace("\"tcp\"", "\"udp\"");
    assert!(parse("lb.toml", &udp).unwrap().services[0].one_packet);
    assert!(!parse("lb.toml", &with("rr", "one_packet = false")).unwrap().services[0].one_packet);
    check(
        &with("rr", "one_packet = true"),
        &["lb.toml:5: virtual_service[0].one_packet: \
           one-packet scheduling is for udp services: TCP and SCTP need their connections. Leave this out"],
    );
    let masqueraded = format!("{udp}\nreal_server = [{{ address = '10.0.0.11', forward = 'masquerade' }}]");
    check(
        &masqueraded,
        &[
            "lb.toml:5: virtual_service[0].one_packet: a masqueraded real server's answers find their client by the \
           connection, and one-packet scheduling keeps none: leave this out, or forward otherwise",
        ],
    );
}
