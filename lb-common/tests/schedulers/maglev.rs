//! maglev: shares, how little moves, and that only set and seed count.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use lb_common::flow::{hash_v4, hash_v6};
use lb_common::sched::{Member, RingSize, maglev, maglev_slot, siphash};
use lb_common::wire::Protocol;
use proptest::prelude::*;

use crate::model::{Service, cases, life};

const SEED: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn it_is_the_papers_table_with_turns_by_weight(life in life(prop_oneof![0..6_u32, 0..70_000_u32])) {
        let mut service = Service::default();
        for event in life {
            service.happen(event);
        }
        let size = RingSize::new(251).expect("a size");
        prop_assert_eq!(maglev(&service.members(), SEED, size), populated(&service.members(), 251));
    }

    #[test]
    fn the_order_of_adding_does_not_count(life in life(0..9_u32), random in any::<u64>()) {
        let mut service = Service::default();
        for event in life {
            service.happen(event);
        }
        let mut members = service.members();
        let ring = maglev(&members, SEED, RingSize::default());
        Rng::with_seed(random).shuffle(&mut members);
        prop_assert_eq!(&maglev(&members, SEED, RingSize::default()), &ring);
        // Nor who has no weight, nor what mh remembers.
        members.retain(|member| member.weight > 0);
        for member in &mut members {
            member.last_weight = 77;
        }
        prop_assert_eq!(maglev(&members, SEED, RingSize::default()), ring);
    }
}

/// Sets by count and heaviest weight, and the ring's slots.
const SETS: [(u32, u32, u32); 8] = [
    (1, 9, 251),
    (3, 1, 4_093),
    (10, 20, 4_093),
    (40, 1, 4_093),
    (40, 1_000, 4_093),
    (100, 20, 4_093),
    (400, 3, 16_381),
    (4_096, 20, 131_071),
];

fn sets() -> impl Iterator<Item = (Vec<Member>, RingSize)> {
    let mut random = Rng::with_seed(11);
    SETS.into_iter().take(if cfg!(miri) { 1 } else { SETS.len() }).map(move |(count, heaviest, slots)| {
        (set(&mut random, count, heaviest), RingSize::new(slots).expect("a size"))
    })
}

#[test]
fn everyone_has_the_share_of_its_weight() {
    for (members, size) in sets() {
        let picks = picks(&maglev(&members, SEED, size));
        let sum: u32 = members.iter().map(|member| member.weight).sum();
        let (count, slots) = (members.len() as f64, f64::from(size.slots()));
        for member in &members {
            let share = slots * f64::from(member.weight) / f64::from(sum);
            let has = f64::from(picks.get(&member.number).copied().unwrap_or(0));
            // Rounded; and what rounding gives or takes from all together is shared out too.
            let margin = 1.0 + share * count / slots;
            assert!((has - share).abs() <= margin, "{has} of {share:.1} ({count} real servers)");
            assert!(has >= 1.0);
        }
    }
}

#[test]
fn equals_differ_by_one_slot() {
    let members = set(&mut Rng::with_seed(12), 100, 1);
    let picks = picks(&maglev(&members, SEED, RingSize::default()));
    let counts: BTreeSet<_> = picks.values().copied().collect();
    assert_eq!(counts, BTreeSet::from([40, 41]));
}

#[test]
fn little_moves_that_need_not() {
    for (members, size) in sets().skip(1) {
        let ring = maglev(&members, SEED, size);
        let most = f64::from(size.slots()) * 0.04;
        for at in [0, members.len() / 2, members.len() - 1] {
            // One goes; read backwards, one comes.
            let mut fewer = members.clone();
            let gone = fewer.remove(at);
            let after = maglev(&fewer, SEED, size);
            let moved =
                ring.iter().zip(&after).filter(|&(old, new)| old != new && *old != gone.number).count();
            assert!(
                (moved as f64) < most,
                "{} real servers: {moved} of {ring_slots}",
                members.len(),
                ring_slots = ring.len()
            );
            // One weighs more: who moves goes there.
            let mut heavier = members.clone();
            heavier[at].weight *= 2;
            let after = maglev(&heavier, SEED, size);
            let moved =
                ring.iter().zip(&after).filter(|&(old, new)| old != new && *new != gone.number).count();
            assert!((moved as f64) < most, "{} real servers, weight: {moved}", members.len());
        }
    }
}

#[test]
fn another_seed_is_another_ring() {
    let members = set(&mut Rng::with_seed(13), 10, 1);
    let rings = [SEED, [SEED[0] ^ 1, SEED[1]], [SEED[0], SEED[1] ^ 1]]
        .map(|seed| maglev(&members, seed, RingSize::default()));
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let same = rings[one].iter().zip(&rings[other]).filter(|(one, other)| one == other).count();
        assert!(same < 4_093 / 8, "{same}");
    }
}

#[test]
fn more_real_servers_than_slots_have_one_each_as_far_as_they_go() {
    let members = set(&mut Rng::with_seed(14), 300, 9);
    let picks = picks(&maglev(&members, SEED, RingSize::new(251).expect("a size")));
    assert_eq!(picks.len(), 251);
}

#[test]
fn flows_spread_over_slots_and_those_of_a_slot_over_lines() {
    let mut random = Rng::with_seed(15);
    let seed: [u64; 6] = std::array::from_fn(|_| random.u64(..) | 1);
    let flows = if cfg!(miri) { 1 << 8 } else { 1 << 17 };
    let v4 = |flow: u32| hash_v4(flow.to_be(), 0x3200_000a, 0x5000_1234, Protocol::Tcp, |at| seed[at]);
    let v6 = |flow: u32| {
        let source = [0x20, u64::from(flow).to_be()];
        hash_v6(source, [0xfd, 0x50 << 56], 0x5000_1234, Protocol::Udp, |at| seed[at])
    };
    for slots in [251, 4_093, 65_521] {
        for hash in [&v4 as &dyn Fn(u32) -> u64, &v6] {
            let hashes: Vec<_> = (0..flows).map(hash).collect();
            assert!(hashes.iter().all(|&hash| maglev_slot(hash, slots) < slots));
            spread(hashes.iter().map(|&hash| maglev_slot(hash, slots)), slots);
            // A sixteenth of the slots, side by side: its flows know nothing of it in either line.
            let few = hashes.iter().filter(|&&hash| maglev_slot(hash, slots) < slots / 16);
            for shift in [0, 32] {
                spread(few.clone().map(|hash| (((hash >> shift & 0xffff_ffff) * 512) >> 32) as u32), 512);
            }
        }
    }
    assert_eq!([maglev_slot(0, 251), maglev_slot(u64::MAX, 251), maglev_slot(u64::MAX, 0)], [0, 250, 0]);
}

/// Chi-square is about the number of places where balls fall at random; far less where they come in
/// sequence, and up to a few times as much.
fn spread(places: impl Iterator<Item = u32> + Clone, count: u32) {
    let mut balls = vec![0_u32; count as usize];
    places.clone().for_each(|place| balls[place as usize] += 1);
    let mean = places.count() as f64 / f64::from(count);
    let chi_square: f64 = balls.into_iter().map(|balls| (f64::from(balls) - mean).powi(2) / mean).sum();
    assert!(chi_square < f64::from(count) * 4.0, "{chi_square:.0} of {count}");
}

fn picks(ring: &[u32]) -> BTreeMap<u32, u32> {
    let mut picks = BTreeMap::new();
    for &number in ring {
        *picks.entry(number).or_default() += 1;
    }
    picks
}

/// Real servers of random addresses, weights from 1 to the heaviest.
fn set(random: &mut Rng, count: u32, heaviest: u32) -> Vec<Member> {
    (1..=count)
        .map(|number| Member {
            number,
            weight: random.u32(1..=heaviest),
            last_weight: 0,
            address: [u64::from(random.u32(..)), 0],
            port: 80_u16.to_be(),
        })
        .collect()
}

/// The paper's table where everyone's turns are laid out ahead, and sorted.
fn populated(members: &[Member], slots: u64) -> Vec<u32> {
    let mut members: Vec<_> = members.iter().filter(|member| member.weight > 0).collect();
    if members.is_empty() {
        return Vec::new();
    }
    members.sort_by_key(|member| member.address.map(u64::to_ne_bytes));
    let mut turns = Vec::new();
    for (place, member) in members.iter().enumerate() {
        for taken in 0..slots {
            let due = if taken == 0 { 0.0 } else { (taken as f64 + 0.5) / f64::from(member.weight) };
            turns.push((due, place));
        }
    }
    turns.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    let mut ring = vec![0; slots as usize];
    for (_, place) in turns.into_iter().take(slots as usize) {
        let [high, low] = members[place].address;
        let hash = siphash([high, low, u64::from(members[place].port)], SEED);
        let (first, step) = (hash % (1 << 32) % slots, (hash >> 32) % (slots - 1) + 1);
        let mut wishes = (0..slots).map(|wish| (first + wish * step) % slots);
        let slot = wishes.find(|&slot| ring[slot as usize] == 0).expect("a free slot");
        ring[slot as usize] = members[place].number;
    }
    ring
}
