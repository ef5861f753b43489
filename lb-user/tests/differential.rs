//! The same random traffic through the host's data plane and the kernel's, under configs that keep changing.
//!
//! Both run the same functions; what may differ is everything beneath them: the compiler, the maps,
//! the atomics, the clock. `LB_SEED` repeats or varies a run, `LB_PACKETS` sets how many.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common {
    pub(crate) mod classes;
    pub(crate) mod configs;
    pub(crate) mod datagram;
    pub(crate) mod director;
    pub(crate) mod icmp;
    pub(crate) mod interfaces;
    pub(crate) mod journey;
    pub(crate) mod judge;
    pub(crate) mod judge_masquerade;
    pub(crate) mod miss;
    pub(crate) mod parameter;
    pub(crate) mod report;
    pub(crate) mod services;
    pub(crate) mod templates;
    pub(crate) mod traffic;
    pub(crate) mod twins;
}

use std::collections::BTreeMap;
use std::time::Instant;

use fastrand::Rng;
use lb_common::verdict::{Action, Verdict};
use lb_common::wire::{Line, State, entry_destination};
use lb_user::dataplane::Dataplane as _;
use lb_user::model::TableSizes;
use lb_user::plan::free;

use common::configs::{GUE_PORT, PEERS, config, endpoints};
use common::datagram::{DIRECTOR, ROUTER, TCP, UDP};
use common::journey::Journeys;
use common::judge::{Around, AroundKind, Told, answer, direct_routing, ip_offset, tunnel};
use common::judge_masquerade::{self, Rewritten, rewritten};
use common::parameter::number;
use common::report::say;
use common::services::{Endpoint, director_on, tunnels_from};
use common::templates::end_templates;
use common::traffic::Traffic;
use common::twins::{Fate, Twins};

const PACKETS_A_CONFIG: u64 = 2_000;

#[test]
fn a_million_packets_meet_the_same_fate_on_the_host_and_in_the_kernel() {
    let (seed, packets) = (number("LB_SEED", 1), number("LB_PACKETS", 1_000_000));
    common::interfaces::enter_namespace();
    let started = Instant::now();
    // In the second table there is hardly room: connections are displaced, and some find no place.
    let mut hits = [0; Verdict::COUNT];
    let mut evictions = [0; State::NUMBERS];
    let mut freed = 0;
    let mut outputs = BTreeMap::new();
    for (part, flows, templates) in [(0, 8_192, 1_024), (1, 1, 8)] {
        let sizes = TableSizes {
            flows,
            services: 32,
            destinations: 2_048,
            ring_slots: 65_536,
            templates,
            sources: 1_024,
            localities: 8,
            ..TableSizes::default()
        };
        let mut twins = Twins::new(&sizes);
        freed += run(&mut twins, seed + part, packets / 2, &mut outputs);
        for &verdict in Verdict::ALL {
            hits[verdict.index()] += twins.host.tables.verdicts(verdict);
        }
        for state in State::ALL {
            evictions[state as usize] += twins.host.tables.evictions(state);
        }
    }
    say(&format!(
        "{packets} packets in {:.1?}, {freed} numbers of destinations given back",
        started.elapsed()
    ));
    for &verdict in Verdict::ALL {
        say(&format!("  verdict {}: {}", verdict.label(), hits[verdict.index()]));
    }
    for (output, count) in &outputs {
        say(&format!("  {output}: {count}"));
    }
    for state in State::ALL {
        say(&format!("  evicted {}: {}", state.label(), evictions[state as usize]));
    }
    let reached: u64 =
        Verdict::ALL.iter().filter(|verdict| reaches_a_service(**verdict)).map(|v| hits[v.index()]).sum();
    say(&format!("  for a service: {reached}"));
    assert!(reached >= packets / 2, "of {packets} packets only {reached} were for a service");
    // Fewer packets need not meet everything.
    if packets >= 1_000_000 {
        for &verdict in Verdict::ALL {
            // Internal is what no packet can meet while the tables are right.
            let is_met = hits[verdict.index()] > 0;
            assert_eq!(is_met, verdict != Verdict::Internal, "verdict {}", verdict.label());
        }
        let missing: Vec<_> = OUTPUTS.iter().filter(|output| !outputs.contains_key(**output)).collect();
        assert_eq!(missing, [&""; 0], "outputs that no packet became");
        for proven in [State::Established, State::Udp, State::SctpEstablished, State::TemplateHeld] {
            assert_eq!(evictions[proven as usize], 0, "{} is never displaced", proven.label());
        }
        for state in [State::SynReceived, State::UdpNew, State::Close, State::SctpInit, State::Template] {
            assert!(evictions[state as usize] > 0, "no {} was displaced", state.label());
        }
    }
}

fn run(twins: &mut Twins, seed: u64, packets: u64, outputs: &mut BTreeMap<&str, u64>) -> usize {
    let mut random = Rng::with_seed(seed);
    let pool = endpoints();
    let addressed: Vec<_> = pool.iter().copied().filter(|service| service.protocol != 0).collect();
    let mut journeys = Journeys::new(Traffic::new(random.u64(..), addressed.clone(), (16, 64)));
    let (mut frame, mut freed) = (Vec::new(), 0);
    let mut configured = Vec::new();
    for packet in 0..packets {
        if packet % PACKETS_A_CONFIG == 0 {
            twins.assert_same_tables();
            if random.bool() {
                freed += free_destinations(twins);
            }
            if random.u8(..8) == 0 {
                end_templates(twins);
            }
            let wanted;
            (configured, wanted) = config(&mut random, &pool);
            twins.apply(&wanted);
        }
        // Services that are configured, mostly; and those that are or were.
        journeys.traffic.services.clone_from(if random.u8(..16) == 0 { &addressed } else { &configured });
        match random.u8(..10) {
            0..7 => {
                let mut datagram = journeys.next();
                if random.u8(..20) == 0 {
                    datagram.ethernet_source = PEERS[random.usize(..2)];
                }
                datagram.write(&mut frame);
            }
            7..9 => drop(journeys.traffic.near_miss(&mut frame)),
            _ => journeys.traffic.other(&mut frame),
        }
        let fate = twins.run(&frame);
        let output = check(&frame, &fate);
        if fate.verdict == Verdict::Masquerade && output != "masquerade of an ICMP error" {
            expect_answer(&mut journeys, &fate.frame);
        }
        *outputs.entry(output).or_default() += 1;
    }
    twins.assert_same_tables();
    freed
}

/// A masqueraded real server has got a frame.
fn expect_answer(journeys: &mut Journeys, out: &[u8]) {
    let (client, client_port, protocol) = rewritten(out, Rewritten::Source);
    let (real_server, port, _) = rewritten(out, Rewritten::Destination);
    // A part that is not the first has no ports.
    if client_port != 0 {
        journeys.will_answer(protocol, (real_server, port), (client, client_port));
    }
}

/// Gives back the numbers of destinations that were removed and that no entry names; how many.
fn free_destinations(twins: &mut Twins) -> usize {
    let names = |line: &Line, number| line.entries.iter().any(|&entry| entry_destination(entry) == number);
    let is_named = |number| twins.host.tables.lines().any(|line| names(&line, number));
    let changes = free(&twins.host.held().unwrap(), is_named);
    for change in &changes {
        twins.host.apply(change).unwrap();
        twins.kernel.apply(change).unwrap();
    }
    changes.len()
}

/// What a packet can become, but for what is written of it nothing: all of it is met.
const OUTPUTS: [&str; 20] = [
    "direct routing of IPv4",
    "direct routing of IPv6",
    "direct routing behind a tag",
    "IP in IP",
    "GUE",
    "GUE with a checksum",
    "GRE",
    "GRE with a checksum",
    "IPv4 in IPv6",
    "IPv6 in IPv4",
    "masquerade of IPv4",
    "masquerade of IPv6",
    "masquerade back of IPv4",
    "masquerade back of IPv6",
    "masquerade of an ICMP error",
    "told: too big",
    "told: time exceeded",
    "told: port unreachable",
    "dropped",
    "passed",
];

/// What must hold of any fate, whoever computed it; which of [`OUTPUTS`] it is.
fn check(frame: &[u8], Fate { verdict, action, frame: out }: &Fate) -> &'static str {
    if verdict.action() != Action::Forward {
        if *action != "tx" {
            assert!(frame == out, "{verdict:?} writes nothing");
            return if *action == "drop" { "dropped" } else { "passed" };
        }
        return match (verdict, answer(frame, out)) {
            (Verdict::TooBig, Told::TooBig(mtu)) => {
                assert!(frame.len() - 14 > mtu as usize, "a packet of {} bytes", frame.len() - 14);
                "told: too big"
            }
            (Verdict::TtlExceeded, Told::TimeExceeded) => "told: time exceeded",
            (Verdict::NoDestination, Told::PortUnreachable) => "told: port unreachable",
            (_, told) => panic!("{verdict:?} is told as {told:?}"),
        };
    }
    assert!(["tx", "redirect"].contains(action), "{verdict:?} ends in {action}");
    if matches!(verdict, Verdict::Masquerade | Verdict::MasqueradeReply) {
        return check_masquerade(frame, *verdict, out);
    }
    assert_eq!(out[..5], [2, 0, 0, 0, 1], "the real server's Ethernet address");
    assert!((1..=3).map(director_on).any(|address| out[6..12] == address), "the director's Ethernet address");
    let is_v4 = frame[ip_offset(frame)] >> 4 == 4;
    if *verdict == Verdict::DirectRouting {
        let expected = direct_routing(frame, &out[..12]);
        assert!(expected == *out, "{frame:02x?} is forwarded as\n{out:02x?} and not as\n{expected:02x?}");
        return match ip_offset(frame) {
            14 if is_v4 => "direct routing of IPv4",
            14 => "direct routing of IPv6",
            _ => "direct routing behind a tag",
        };
    }
    let Around { source, destination, kind, .. } = tunnel(frame, out);
    assert_eq!(source, tunnels_from(destination));
    match kind {
        AroundKind::Ipip if is_v4 == destination.is_ipv4() => "IP in IP",
        AroundKind::Ipip if is_v4 => "IPv4 in IPv6",
        AroundKind::Ipip => "IPv6 in IPv4",
        AroundKind::Gue(port, has_checksum) => {
            assert_eq!(port, GUE_PORT);
            if has_checksum { "GUE with a checksum" } else { "GUE" }
        }
        AroundKind::Gre(has_checksum) => {
            if has_checksum {
                "GRE with a checksum"
            } else {
                "GRE"
            }
        }
    }
}

fn check_masquerade(frame: &[u8], verdict: Verdict, out: &[u8]) -> &'static str {
    let is_reply = verdict == Verdict::MasqueradeReply;
    let end = if is_reply { Rewritten::Source } else { Rewritten::Destination };
    let (address, port, protocol) = rewritten(out, end);
    judge_masquerade::masquerade(frame, out, &out[..12], end, (address, port));
    if is_reply {
        // Some have any port.
        let is_its = |service: Endpoint| service.protocol != 0 && service.address == address;
        assert!(endpoints().into_iter().any(is_its), "an answer from {address}, which is no service's");
        // By which the client's packets came: a peer that is none in this config is a router as others are.
        assert!([&ROUTER, &PEERS[0], &PEERS[1]].iter().any(|router| out[..6] == **router));
        assert_eq!(out[6..12], DIRECTOR);
    } else {
        assert_eq!(out[..5], [2, 0, 0, 0, 1], "the real server's Ethernet address");
        // Parts and errors have none.
        let is_kept = port == 0 || port == rewritten(frame, end).1;
        assert!(is_kept || (8_001..8_007).contains(&port), "port {port}");
    }
    match (protocol, is_reply, address.is_ipv4()) {
        (TCP | UDP, false, true) => "masquerade of IPv4",
        (TCP | UDP, false, false) => "masquerade of IPv6",
        (TCP | UDP, true, true) => "masquerade back of IPv4",
        (TCP | UDP, true, false) => "masquerade back of IPv6",
        _ => "masquerade of an ICMP error",
    }
}

/// Whether the packet was judged by a service's tables.
const fn reaches_a_service(verdict: Verdict) -> bool {
    !matches!(
        verdict,
        Verdict::NotIp
            | Verdict::Tagged
            | Verdict::Truncated
            | Verdict::NotServiceAddress
            | Verdict::Malformed
            | Verdict::Fragment
            | Verdict::ExtensionHeader
            | Verdict::OtherProtocol
            | Verdict::NoService
            | Verdict::NoMarkedService
            | Verdict::RealServersOwn
    )
}
