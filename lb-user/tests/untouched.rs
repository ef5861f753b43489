//! Not ours, not touched: a packet that is for no service passes the program byte for byte.
//!
//! A million random packets, half of them near misses, go through the shipped object in the kernel's
//! test run. `LB_SEED` repeats or varies a run, `LB_PACKETS` sets how many.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common {
    pub(crate) mod datagram;
    pub(crate) mod director;
    pub(crate) mod icmp;
    pub(crate) mod interfaces;
    pub(crate) mod miss;
    pub(crate) mod parameter;
    pub(crate) mod report;
    pub(crate) mod services;
    pub(crate) mod traffic;
}

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use lb_common::verdict::{Action, Verdict};
use lb_common::wire::Options;
use lb_user::dataplane::{Dataplane as _, KernelDataplane};
use lb_user::model::{ForwardMethod, Scheduler, TableSizes, Thresholds};
use lb_user::plan::{Health, Wanted, WantedService, plan};

use common::datagram::{DIRECTOR, ROUTER, TCP, UDP};
use common::director::{load, sizes, timeouts};
use common::miss::Miss;
use common::parameter::number;
use common::report::say;
use common::services::{Endpoint, MTU, RealServer, director_on};
use common::traffic::Traffic;

const XDP_PASS: u32 = 2;

#[test]
fn a_million_packets_that_are_not_for_a_service_pass_untouched() {
    let (seed, packets) = (number("LB_SEED", 1), number("LB_PACKETS", 1_000_000));
    common::interfaces::enter_namespace();
    let kernel = director();
    let program = kernel.program().unwrap();
    // So many clients that a service's own packets would mostly open connections.
    let mut traffic = Traffic::new(seed, services(), (1000, 60_000));
    let (mut frame, mut out) = (Vec::new(), vec![0; 4096]);

    // The same services do take what is for them: what follows is not a pass for want of a service.
    let mut hits = 0;
    for _ in 0..100 {
        let mut datagram = traffic.hit();
        (datagram.ttl, datagram.tcp_flags) = (64, 2);
        datagram.write(&mut frame);
        hits += u32::from(run(program, &frame, &mut out).0 != XDP_PASS);
    }
    assert_eq!(hits, 100, "of 100 packets for a service");

    let before = kernel.verdict_counts();
    let started = Instant::now();
    let mut misses: BTreeMap<String, u64> = BTreeMap::new();
    for packet in 0..packets {
        let what = if packet % 2 == 0 {
            format!("{:?}", traffic.near_miss(&mut frame))
        } else {
            traffic.other(&mut frame);
            String::from("Other")
        };
        // The kernel's test run takes no frame that is shorter than an Ethernet header.
        debug_assert!(frame.len() >= 14);
        let (action, length) = run(program, &frame, &mut out);
        assert_eq!(action, XDP_PASS, "packet {packet} of seed {seed}, {what}: {frame:02x?}");
        assert!(out[..length] == frame, "packet {packet} of seed {seed}, {what}: written to: {frame:02x?}");
        *misses.entry(what).or_default() += 1;
    }
    let counts = kernel.verdict_counts();
    let verdicts: Vec<u64> =
        counts.verdicts.iter().zip(&before.verdicts).map(|(after, before)| after - before).collect();
    say(&format!("{packets} packets in {:.1?}", started.elapsed()));
    for (what, count) in &misses {
        say(&format!("  {what}: {count}"));
    }
    assert_eq!(verdicts.iter().sum::<u64>(), packets, "every packet has one verdict");
    for &verdict in Verdict::ALL {
        let count = verdicts[verdict.index()];
        say(&format!("  verdict {}: {count}", verdict.label()));
        assert!(count == 0 || verdict.action() == Action::Pass, "{count} packets were {}", verdict.label());
    }
    if packets >= 10_000 {
        assert_eq!(misses.len(), Miss::ALL.len() + 1, "every way to miss was tried: {misses:?}");
        // What a packet for no service can meet. A peer's are for services, if anything.
        for verdict in [
            Verdict::NotIp,
            Verdict::Tagged,
            Verdict::Truncated,
            Verdict::NotServiceAddress,
            Verdict::Malformed,
            Verdict::Fragment,
            Verdict::ExtensionHeader,
            Verdict::OtherProtocol,
            Verdict::NoService,
            Verdict::UnrelatedError,
        ] {
            assert!(verdicts[verdict.index()] > 0, "no packet was {}", verdict.label());
        }
    }
}

fn run(program: &Xdp, frame: &[u8], out: &mut [u8]) -> (u32, usize) {
    let options = TestRunOptions { data_in: Some(frame), data_out: Some(out), ..TestRunOptions::new() };
    let result = program.test_run(options).unwrap();
    (result.return_value, result.data_size_out as usize)
}

fn services() -> Vec<Endpoint> {
    let v4 = IpAddr::from([10, 0, 0, 50]);
    let other = IpAddr::from([10, 0, 0, 51]);
    let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x50]);
    [(TCP, v4, 80), (UDP, v4, 53), (TCP, other, 443), (TCP, v6, 80), (UDP, v6, 53)]
        .map(|(protocol, address, port)| Endpoint { protocol, address, port })
        .to_vec()
}

fn director() -> KernelDataplane {
    let mut kernel = load(&sizes(&TableSizes::default()));
    assert_eq!(director_on(1), DIRECTOR);
    let services = services().into_iter().map(|service| {
        let real_server = |number: u8| RealServer {
            address: match service.address {
                IpAddr::V4(_) => IpAddr::from([10, 0, 1, number]),
                IpAddr::V6(_) => IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, u16::from(number)]),
            },
            ethernet: Some([2, 0, 0, 0, 1, number]),
            interface: u32::from(number),
            weight: 1,
            thresholds: Thresholds::default(),
            forward: ForwardMethod::DirectRouting,
            port: None,
            mtu: MTU,
            health: Health::Up,
        };
        let destinations = [1, 2].map(|number| real_server(number).wanted(&service)).to_vec();
        WantedService::new(service.key(), Scheduler::Rr, destinations)
    });
    let wanted = Wanted {
        services: services.collect(),
        rules: BTreeMap::new(),
        peers: BTreeSet::from([[ROUTER[0], 0, 0, 0, 0, 0x99]]),
        interfaces: BTreeSet::from([1, 2]),
        timeouts: timeouts(),
        options: Options::DEFAULT,
    };
    let changes = plan(&kernel.held().unwrap(), &wanted, |service| kernel.picks(service)).unwrap();
    for change in changes {
        kernel.apply(&change).unwrap();
    }
    kernel
}
