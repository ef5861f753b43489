//! What Linux 6.12.117 picked: every line of one transcript, in its order.
//!
//! Three real servers 10.0.0.11, .12 and .13 (below: 1, 2, 3), added in this order to the service
//! 10.0.0.50:80/TCP by direct routing, all weights given when they were added. Each line is a service made
//! anew (`ipvsadm -C`, `-A`, `-a`) and one connection after the other, held open until the line ends;
//! those of the hashing schedulers come from 10.0.0.101, .102 and so on, the others from 10.0.0.100. Ports
//! are the kernel's choice. X: refused.
//!
//! Real servers that are deleted and added again find their old connections, inactive for two minutes
//! after they are closed, and the whole transcript took less than that: so every line begins with the
//! inactive connections of all lines before.

use lb_common::sched::{
    Candidate, Loaded, Member, RingSize, Scheduler, Walk, dh, dh_slot, fo, hash_key, is_overloaded, mh,
    mh_fallback_slot, mh_slot, rr, sh, sh_fallback_slot, sh_slot, wrr,
};
use lb_common::wire::Family;

/// Scheduler, weights of 1, 2 and 3, flag, and who was picked.
const TRANSCRIPT: [(&str, [u32; 3], &str, &str); 21] = [
    ("rr", [1, 1, 1], "", "3 2 1 3 2 1 3 2 1"),
    ("rr", [1, 0, 1], "", "3 1 3 1 3 1"),
    ("wrr", [1, 2, 3], "", "3 2 1 3 3 2 3 2 1 3 3 2"),
    ("wrr", [4, 3, 2], "", "3 2 1 1 2 1 3 2 1 3 2 1 1 2 1 3 2 1"),
    ("wrr", [10, 20, 30], "", "3 2 1 3 3 2 3 2 1 3 3 2"),
    ("lc", [1, 1, 1], "", "2 1 3 2 1 3 2 1 3"),
    ("wlc", [1, 2, 3], "", "3 2 1 3 2 3 3 2 1 3 2 3"),
    ("wlc", [3, 1, 0], "", "1 2 1 1 1 2 1 1"),
    ("sed", [1, 2, 3], "", "3 2 3 3 2 1 3 2 3 3 2 1"),
    ("nq", [1, 2, 3], "", "3 2 1 3 3 2 3 2 3 3 2 1"),
    ("fo", [1, 2, 3], "", "3 3 3 3"),
    ("ovf", [2, 3, 1], "", "2 2 2 2 1 1 1 3 3 X"),
    ("sh", [1, 1, 1], "", "3 2 1 2 3 2 1 3 1 2 2 3 1 3 1 1 2 3 2 1"),
    ("sh", [1, 2, 3], "", "3 3 1 3 2 3 3 3 3 2 3 2 1 2 1 3 2 3 2 1"),
    ("sh", [1, 0, 1], "", "3 X 1 X 3 X 1 3 1 X X 3 1 3 1 1 X 3 X 1"),
    ("sh", [1, 0, 1], "sh-fallback", "3 1 1 1 3 1 1 3 1 1 1 3 1 3 1 1 1 3 1 1"),
    ("mh", [1, 1, 1], "", "3 2 1 3 2 1 3 1 3 2 2 2 2 1 3 3 1 3 2 1"),
    ("mh", [1, 2, 3], "", "3 2 2 3 2 3 3 1 3 3 2 2 2 3 3 3 2 3 2 1"),
    ("mh", [1, 0, 1], "", "3 3 1 3 3 1 3 1 3 3 3 1 1 1 3 3 1 3 3 1"),
    ("mh", [1, 0, 1], "mh-fallback", "3 3 1 3 3 1 3 1 3 3 3 1 1 1 3 3 1 3 3 1"),
    ("dh", [1, 1, 1], "", "2 2 2 2 2 2"),
];

/// InActConn of 1, 2 and 3 when all lines were through.
const INACTIVE_AT_THE_END: [u32; 3] = [92, 72, 118];

#[test]
fn every_pick_of_the_transcript_is_ours() {
    let mut inactive = [0; 3];
    for (label, weights, flag, expected) in TRANSCRIPT {
        let scheduler = Scheduler::from_label(label).expect("a scheduler");
        let mut line = Line { scheduler, weights, has_fallback: !flag.is_empty(), inactive, active: [0; 3] };
        let picks: Vec<_> = (0..expected.split(' ').count()).map(|client| line.connect(client)).collect();
        assert_eq!(picks.join(" "), expected, "{label} {weights:?} {flag}");
        inactive = [0, 1, 2].map(|server| inactive[server] + line.active[server]);
    }
    assert_eq!(inactive, INACTIVE_AT_THE_END);
}

/// The transcript ends with rr and `-x 2` for all three: eight connections, all refused.
#[test]
fn who_had_too_many_connections_before_it_was_added_is_overloaded_at_once() {
    for connections in INACTIVE_AT_THE_END {
        assert!(is_overloaded(false, u64::from(connections), 2, 0));
    }
}

struct Line {
    scheduler: Scheduler,
    weights: [u32; 3],
    has_fallback: bool,
    inactive: [u32; 3],
    active: [u32; 3],
}

impl Line {
    fn connect(&mut self, client: usize) -> &'static str {
        let number = self.pick(client);
        if number == 0 {
            return "X";
        }
        self.active[number as usize - 1] += 1;
        ["1", "2", "3"][number as usize - 1]
    }

    fn pick(&self, client: usize) -> u32 {
        let added =
            [0, 1, 2].map(|server| Candidate { number: server + 1, weight: self.weights[server as usize] });
        match self.scheduler {
            Scheduler::Rr => in_turn(&rr(&added), client),
            Scheduler::Wrr => in_turn(&wrr(&added), client),
            Scheduler::Fo => in_turn(&fo(&added), client),
            Scheduler::Sh => self.pick_sh(&sh(&added), client),
            Scheduler::Dh => {
                let ring = dh(&added);
                self.unless_quiesced(ring[dh_slot(hash_key(address(50), 0)) as usize])
            }
            Scheduler::Mh => self.pick_mh(client),
            _ => {
                let mut walk = Walk::new(self.scheduler);
                for server in [2, 1, 0] {
                    walk.consider(Loaded {
                        number: server as u32 + 1,
                        weight: self.weights[server],
                        active: self.active[server],
                        inactive: self.inactive[server],
                        overloaded: 0,
                    });
                }
                walk.choice()
            }
        }
    }

    fn pick_sh(&self, ring: &[u32], client: usize) -> u32 {
        let first = sh_slot(client_key(client));
        let slots = (0..256).map(|attempt| sh_fallback_slot(first, attempt));
        self.first_available(first, slots, ring)
    }

    fn pick_mh(&self, client: usize) -> u32 {
        let added = [0, 1, 2].map(|server: u32| Member {
            number: server + 1,
            weight: self.weights[server as usize],
            last_weight: self.weights[server as usize],
            address: address(11 + server as u8),
            port: 80_u16.to_be(),
        });
        let ring = mh(&added, Family::V4, RingSize::default());
        let (key, slots) = (client_key(client), ring.len() as u32);
        let first = mh_slot(key, slots);
        let further = (0..slots).map(|attempt| mh_fallback_slot(key, first, attempt, slots));
        self.first_available(first, further, &ring)
    }

    fn first_available(&self, first: u32, further: impl Iterator<Item = u32>, ring: &[u32]) -> u32 {
        let mut slots = core::iter::once(first).chain(further.filter(|_| self.has_fallback));
        slots
            .find_map(|slot| Some(self.unless_quiesced(ring[slot as usize])).filter(|&it| it != 0))
            .unwrap_or(0)
    }

    fn unless_quiesced(&self, number: u32) -> u32 {
        if self.weights[number as usize - 1] > 0 { number } else { 0 }
    }
}

fn in_turn(ring: &[u32], pick: usize) -> u32 {
    ring[pick % ring.len()]
}

fn address(last: u8) -> [u64; 2] {
    [u64::from(u32::from_ne_bytes([10, 0, 0, last])), 0]
}

fn client_key(client: usize) -> u32 {
    hash_key(address(101 + client as u8), 0)
}
