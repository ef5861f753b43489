//! sh, dh and mh over the lives of services: every slot, and where every client is sent.

use lb_common::sched::{
    RingSize, dh, dh_slot, hash_key, mh, mh_fallback_slot, mh_slot, sh, sh_fallback_slot, sh_slot,
};
use lb_common::wire::Family;
use proptest::prelude::*;

use crate::model::{RealServer, Service, cases, life, words};

/// An address of either family and a port, 0 where ports don't count.
fn client() -> impl Strategy<Value = ([u8; 16], u16)> {
    let v4 = any::<[u8; 4]>().prop_map(|[a, b, c, d]| [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    (prop_oneof![v4, any::<[u8; 16]>()], prop_oneof![Just(0), any::<u16>()])
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn sh_and_dh_deal_their_slots_out_round_the_list(
        life in life(prop_oneof![0..6_u32, 0..400_u32]),
        clients in proptest::collection::vec(client(), 1..20),
    ) {
        let mut service = Service::default();
        for event in life {
            service.happen(event);
            let weight = |server: &RealServer| server.weight;
            let (sh, dh) = (sh(&service.candidates()), dh(&service.candidates()));
            prop_assert_eq!(&sh, &dealt(&service, weight));
            prop_assert_eq!(&dh, &dealt(&service, |_| 1));
            if sh.is_empty() {
                continue;
            }
            for &(address, port) in &clients {
                let sum = sum_of(address, port);
                prop_assert_eq!(hash_key(words(address), port.to_be()), sum);
                let bucket = (u64::from(sum) * 0x61c8_8647 % (1 << 32)) >> 24;
                prop_assert_eq!(u64::from(dh_slot(sum)), bucket);
                let attempts = (0..256).map(|attempt| sh_fallback_slot(sh_slot(sum), attempt));
                let tried = std::iter::once(sh_slot(sum)).chain(attempts).map(|slot| sh[slot as usize]);
                prop_assert_eq!(first_available(&service, tried), sh_rule(&service, &sh, bucket));
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn mh_populates_and_looks_up_as_the_kernel(
        life in life(prop_oneof![0..6_u32, Just(0), (0..6_u32).prop_map(|weight| weight * 12), 0..70_000_u32]),
        clients in proptest::collection::vec(client(), 1..20),
        (is_v4, slots) in (any::<bool>(), prop_oneof![Just(251), Just(509), Just(1_021), Just(2_039)]),
    ) {
        let mut service = Service::default();
        for event in life {
            service.happen(event);
        }
        let family = if is_v4 { Family::V4 } else { Family::V6 };
        let size = RingSize::new(slots).expect("a size");
        let ring = mh(&service.members(), family, size);
        let bits = match slots { 251 | 509 => 4, _ => 5 };
        prop_assert_eq!(&ring, &populated(&service, family, u64::from(slots), bits));
        if ring.is_empty() {
            return Ok(());
        }
        for (address, port) in clients {
            let sum = sum_of(address, port);
            let first = mh_slot(sum, slots);
            let attempts = (0..slots).map(|attempt| mh_fallback_slot(sum, first, attempt, slots));
            let tried = std::iter::once(first).chain(attempts).map(|slot| ring[slot as usize]);
            prop_assert_eq!(first_available(&service, tried), mh_rule(&service, &ring, sum));
        }
    }
}

#[test]
fn without_slots_the_slot_is_0() {
    assert_eq!((mh_slot(5, 0), mh_fallback_slot(5, 6, 7, 0)), (0, 0));
}

#[test]
fn sizes_are_the_kernels_primes() {
    assert_eq!(RingSize::default().slots(), 4_093);
    let sizes: Vec<_> = (0..1 << 18).filter_map(RingSize::new).map(RingSize::slots).collect();
    assert_eq!(sizes, RingSize::PRIMES);
    for slots in RingSize::PRIMES {
        assert!(
            (2..slots).take_while(|divisor| divisor * divisor <= slots).all(|it| slots % it != 0),
            "{slots}"
        );
    }
}

/// The list over and over, each real server as often in a row as its weight says, and once at 0.
fn dealt(service: &Service, weight: impl Fn(&RealServer) -> u32) -> Vec<u32> {
    let mut round = Vec::new();
    for server in &service.list {
        round.extend(vec![server.number; weight(server).max(1) as usize]);
    }
    (0..256).filter_map(|bucket| round.get(bucket % round.len().max(1)).copied()).collect()
}

fn sum_of(address: [u8; 16], port: u16) -> u32 {
    let [a, b, c, d] =
        [0, 1, 2, 3].map(|byte| address[byte] ^ address[byte + 4] ^ address[byte + 8] ^ address[byte + 12]);
    (u64::from(u32::from_be_bytes([a, b, c, d])) + u64::from(port)) as u32
}

fn first_available(service: &Service, mut tried: impl Iterator<Item = u32>) -> Option<u32> {
    tried.find(|&number| service.available().any(|server| server.number == number))
}

/// With sh-fallback: offsets begin at the bucket, and are added to it.
fn sh_rule(service: &Service, ring: &[u32], bucket: u64) -> Option<u32> {
    let offsets = (bucket..256).chain(0..bucket);
    let buckets = std::iter::once(bucket).chain(offsets.map(|offset| (bucket + offset) % 256));
    first_available(service, buckets.map(|bucket| ring[bucket as usize]))
}

/// With mh-fallback: offsets likewise, but added to what is hashed.
fn mh_rule(service: &Service, ring: &[u32], sum: u32) -> Option<u32> {
    let slots = ring.len() as u64;
    let slot = |sum: u32| u64::from(hash(sum, FIRST)) % slots;
    let offsets = (slot(sum)..slots).chain(0..slot(sum));
    let hashed = std::iter::once(0).chain(offsets).map(|offset| slot((u64::from(sum) + offset) as u32));
    first_available(service, hashed.map(|slot| ring[slot as usize]))
}

const FIRST: u64 = 2_654_435_761;
const STEP: u64 = 2_654_446_892;

/// The paper's table: whole permutations, and each in its turn takes its next slot that is free.
fn populated(service: &Service, family: Family, slots: u64, bits: u32) -> Vec<u32> {
    let weights: Vec<_> = service.list.iter().map(|server| server.last_weight).collect();
    let heaviest = weights.iter().copied().max().unwrap_or(0);
    let Some(divisor) =
        (1..=heaviest).rev().find(|divisor| weights.iter().all(|weight| weight % divisor == 0))
    else {
        return Vec::new();
    };
    let mut shift = 0;
    while (heaviest / divisor) >> shift >= 1 << bits {
        shift += 1;
    }
    let mut permutations: Vec<_> =
        service.list.iter().map(|server| permutation(server, family, slots)).collect();
    let mut ring = vec![0; slots as usize];
    while ring.contains(&0) {
        for (server, permutation) in service.list.iter().zip(&mut permutations) {
            let turns = match (server.last_weight, (server.last_weight / divisor) >> shift) {
                (0, _) => 0,
                (_, turns) => turns.max(1),
            };
            for _ in 0..turns {
                if let Some(slot) = permutation.find(|&slot| ring[slot] == 0) {
                    ring[slot] = server.number;
                }
            }
        }
    }
    ring
}

fn permutation(server: &RealServer, family: Family, slots: u64) -> impl Iterator<Item = usize> + use<> {
    let mut address = server.address;
    if family == Family::V4 {
        address[4..].fill(0);
    }
    let sum = sum_of(address, server.port);
    let (first, step) = (u64::from(hash(sum, FIRST)) % slots, u64::from(hash(sum, STEP)) % (slots - 1) + 1);
    (0..slots).map(move |place| ((first + place * step) % slots) as usize)
}

/// The low half of SipHash-1-3 of four bytes under a key of two equal words, step by step.
fn hash(message: u32, key: u64) -> u32 {
    let mut v: [u64; 4] = [0, 8, 16, 24].map(|from| {
        let bytes = &b"somepseudorandomlygeneratedbytes"[from..from + 8];
        bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)) ^ key
    });
    let block = 4 << 56 | u64::from(message);
    v[3] ^= block;
    for round in 0..4 {
        if round == 1 {
            v[0] ^= block;
            v[2] ^= 0xff;
        }
        for (a, b, turn_b, turn_a) in [(0, 1, 13, 32), (2, 3, 16, 0), (0, 3, 21, 0), (2, 1, 17, 32)] {
            v[a] = v[a].wrapping_add(v[b]);
            v[b] = v[b].rotate_left(turn_b) ^ v[a];
            v[a] = v[a].rotate_left(turn_a);
        }
    }
    (v[0] ^ v[1] ^ v[2] ^ v[3]) as u32
}
