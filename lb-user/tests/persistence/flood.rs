//! A flood of SYNs from everywhere: it may take the places of its own templates, and of nobody's who was there.

use aya::programs::{TestRun as _, TestRunOptions};
use fastrand::Rng;
use lb_common::wire::State;
use lb_user::dataplane::{KernelDataplane, MemoryDataplane};

use super::common::director::load;
use super::common::parameter::number;
use super::common::report::say;
use super::{ACK, SYN, TCP, configure, configured, frame, persistence, sizes, small};

/// Clients that are there when the flood comes.
const CLIENTS: u32 = 300;

const FLOOD: u32 = 100_000;

/// What the program returns for a frame that leaves where it came in (Linux, `enum xdp_action`).
const XDP_TX: u32 = 3;

#[test]
fn clients_are_remembered_through_a_flood_on_the_host() {
    let host = configured(MemoryDataplane::new(sizes(&small(1_024)).settings()), persistence(360));
    let tables = &host.tables;
    flood("host", |bytes| {
        let mut packet = lb_common::net::PacketBuffer { bytes, interface: 1 };
        let verdict = lb_common::director::direct(&mut packet, &tables).verdict;
        (verdict == lb_common::verdict::Verdict::DirectRouting).then(|| packet.bytes[5])
    });
    assert_eq!(tables.evictions(State::TemplateHeld), 0);
    assert!(tables.evictions(State::Template) > u64::from(FLOOD / 2), "the flood displaced its own");
}

#[test]
fn clients_are_remembered_through_a_flood_in_the_kernel() {
    let mut kernel: KernelDataplane = load(&sizes(&small(1_024)));
    configure(&mut kernel, persistence(360), &[1, 1, 1, 1]);
    let mut out = vec![0; 4096];
    flood("kernel", |bytes| {
        let options =
            TestRunOptions { data_in: Some(&bytes), data_out: Some(&mut out), ..TestRunOptions::new() };
        let result = kernel.program().unwrap().test_run(options).unwrap();
        (result.return_value == XDP_TX).then(|| out[5])
    });
    let evictions = kernel.verdict_counts().evictions;
    assert_eq!(evictions[State::TemplateHeld as usize], 0);
    assert!(evictions[State::Template as usize] > u64::from(FLOOD / 2), "the flood displaced its own");
}

/// `run` sends a frame through the director, and says which real server it went to.
fn flood(name: &str, mut run: impl FnMut(Vec<u8>) -> Option<u8>) {
    let mut random = Rng::with_seed(number("LB_SEED", 1));
    let went: Vec<u8> = (0..CLIENTS)
        .map(|client| {
            let number = run(frame(TCP, client, 2_000, SYN)).unwrap();
            assert_eq!(run(frame(TCP, client, 2_000, ACK)), Some(number));
            number
        })
        .collect();
    for _ in 0..FLOOD {
        let source = random.u32(..0x1000_0000) + CLIENTS;
        run(frame(TCP, source, random.u16(1024..), SYN));
    }
    let mut moved = 0;
    for (client, number) in (0..).zip(&went) {
        moved += u32::from(run(frame(TCP, client, 3_000, SYN)).as_ref() != Some(number));
    }
    say(&format!("{name}: {FLOOD} SYNs, {moved} of {CLIENTS} clients went elsewhere"));
    assert_eq!(moved, 0, "clients that the flood has made forgotten");
}
