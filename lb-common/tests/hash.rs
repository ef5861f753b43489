//! The flow hash on tuples as they come: sequential addresses and ports, one service. It spreads them
//! over the lines of the table, gives no two flows one tag, and every bit of the tuple turns half of it.
#![cfg(feature = "host")]

use std::collections::HashSet;

use fastrand::Rng;
use lb_common::flow::{hash_v4, hash_v6};
use lb_common::wire::{Protocol, Seed, tag_of};

const FLOWS: u32 = if cfg!(miri) { 1 << 8 } else { 1 << 17 };
const LINES: u64 = if cfg!(miri) { 1 << 4 } else { 1 << 12 };

/// Random odd numbers, as the daemon draws them.
fn seed(random: &mut Rng) -> Seed {
    std::array::from_fn(|_| random.u64(..) | 1)
}

fn v4(source: u32, port: u16, seed: &Seed) -> u64 {
    let ports = u32::from(port.swap_bytes()) | u32::from(80_u16.to_be()) << 16;
    hash_v4(source.to_be(), 0x0a00_0032_u32.to_be(), ports, Protocol::Tcp, |index| seed[index])
}

fn v6(source: u64, port: u16, seed: &Seed) -> u64 {
    let ports = u32::from(port.swap_bytes()) | u32::from(80_u16.to_be()) << 16;
    let prefix = 0x2001_0db8_0000_0000_u64.to_be();
    hash_v6([prefix, source.to_be()], [0xfd, 0x50 << 56], ports, Protocol::Tcp, |index| seed[index])
}

/// Tuples of clients in sequence, by what is in sequence.
type Sequence = (&'static str, fn(u32, &Seed) -> u64);

const SEQUENCES: [Sequence; 7] = [
    ("ports, then addresses (IPv4)", |flow, seed| v4(0xc000_0200 + (flow >> 16), flow as u16, seed)),
    ("addresses (IPv4)", |flow, seed| v4(0x6440_0000 + flow, 40_000, seed)),
    ("addresses of every 256th (IPv4)", |flow, seed| v4(flow << 8, 40_000, seed)),
    ("64 ports each (IPv4)", |flow, seed| v4(0x6440_0000 + (flow >> 6), 1024 + (flow & 63) as u16, seed)),
    ("ports, then addresses (IPv6)", |flow, seed| v6(u64::from(flow >> 16), flow as u16, seed)),
    ("addresses (IPv6)", |flow, seed| v6(u64::from(flow), 40_000, seed)),
    ("prefixes (IPv6)", |flow, seed| v6(u64::from(flow) << 32, 40_000, seed)),
];

#[test]
fn tuples_in_sequence_spread_over_the_lines_by_both_halves_of_the_hash() {
    let mut random = Rng::with_seed(3);
    for round in 0..if cfg!(miri) { 1 } else { 4 } {
        let seed = seed(&mut random);
        for (name, hash) in SEQUENCES {
            for shift in [0, 32] {
                let mut lines = vec![0_u32; LINES as usize];
                for flow in 0..FLOWS {
                    let half = hash(flow, &seed) >> shift & 0xffff_ffff;
                    lines[((half * LINES) >> 32) as usize] += 1;
                }
                // Chi-square is about the number of lines where balls fall at random. In sequence, a key may
                // do much better than that, and some do worse: up to 2.5 times. With two lines to choose from
                // and room for 2.6 times the flows, that leaves none without a place; a bad hash is 100 times off.
                let mean = f64::from(FLOWS) / LINES as f64;
                let chi_square: f64 =
                    lines.iter().map(|&count| (f64::from(count) - mean).powi(2) / mean).sum();
                let bound = LINES as f64 * 4.0;
                assert!(
                    chi_square < bound,
                    "{name}, bits from {shift}, round {round}: {chi_square:.0} of {bound}"
                );
            }
        }
    }
}

#[test]
fn no_two_flows_of_a_service_have_one_tag() {
    let mut random = Rng::with_seed(4);
    let seed = seed(&mut random);
    for (name, hash) in SEQUENCES {
        let tags: HashSet<u64> = (0..FLOWS).map(|flow| tag_of(hash(flow, &seed))).collect();
        // 2^17 flows have 2^33 pairs; of 2^44 tags, one pair in 2,048 runs.
        assert_eq!(tags.len() as u32, FLOWS, "{name}");
    }
}

#[test]
fn every_bit_of_the_tuple_turns_the_bits_that_choose_a_line() {
    let mut random = Rng::with_seed(5);
    let rounds = if cfg!(miri) { 16 } else { 2_000 };
    for bit in 0..48 {
        let mut turned = 0;
        for _ in 0..rounds {
            let seed = seed(&mut random);
            let (source, port) = (random.u32(..), random.u16(..));
            let (other_source, other_port) =
                if bit < 32 { (source ^ 1 << bit, port) } else { (source, port ^ 1 << (bit - 32)) };
            turned += (v4(source, port, &seed) ^ v4(other_source, other_port, &seed)).count_ones();
        }
        let average = f64::from(turned) / f64::from(rounds);
        let margin = if cfg!(miri) { 12.0 } else { 6.0 };
        assert!((average - 32.0).abs() < margin, "bit {bit} turns {average:.1} of 64 bits on average");
    }
}

#[test]
fn families_protocols_and_services_have_hashes_of_their_own() {
    let mut random = Rng::with_seed(6);
    let seed = seed(&mut random);
    let seed = |index: usize| seed[index];
    let mut hashes = HashSet::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for address in 0..100_u32 {
            for ports in 0..if cfg!(miri) { 2 } else { 100 } {
                hashes.insert(tag_of(hash_v4(1, address, ports, protocol, seed)));
                hashes.insert(tag_of(hash_v6([0, 1], [0, u64::from(address)], ports, protocol, seed)));
            }
        }
    }
    assert_eq!(hashes.len(), if cfg!(miri) { 800 } else { 40_000 });
}

/// Services side by side and clients side by side, with the same ports: what differs lies in the same
/// byte of both, wherever it is.
#[test]
fn neighbours_on_both_sides_never_meet() {
    let mut random = Rng::with_seed(7);
    let seeds = if cfg!(miri) { 1 } else { 40 };
    let side = if cfg!(miri) { 8 } else { 128_u32 };
    for _ in 0..seeds {
        let seed: [u64; 6] = std::array::from_fn(|_| random.u64(..) | 1);
        let seed = |index: usize| seed[index];
        for octet in 0..4 {
            let mut hashes = HashSet::new();
            for client in 0..side {
                for service in 0..side {
                    let at = |base: [u8; 4], value: u32| {
                        let mut address = base;
                        address[octet] ^= value as u8;
                        u32::from_ne_bytes(address)
                    };
                    let (source, destination) = (at([10, 0, 0, 1], client), at([192, 0, 2, 50], service));
                    let hash = hash_v4(source, destination, 0x5000_1234, Protocol::Tcp, seed);
                    assert!(hashes.insert(hash), "IPv4, octet {octet}: client {client}, service {service}");
                }
            }
        }
        for (one, other) in [(0, 8), (1, 5), (7, 15), (7, 23), (7, 31), (15, 23), (15, 31), (23, 31)] {
            let mut hashes = HashSet::new();
            for first in 0..side {
                for second in 0..side {
                    let mut words = [0x20_u8; 32];
                    words[one] ^= first as u8;
                    words[other] ^= second as u8;
                    let word = |index: usize| {
                        u64::from_ne_bytes(words[8 * index..8 * index + 8].try_into().expect("eight bytes"))
                    };
                    let (source, destination) = ([word(0), word(1)], [word(2), word(3)]);
                    let hash = hash_v6(source, destination, 0x5000_1234, Protocol::Tcp, seed);
                    assert!(hashes.insert(hash), "IPv6, bytes {one} and {other}: {first}, {second}");
                }
            }
        }
    }
}
