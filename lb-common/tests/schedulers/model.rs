//! A service as LVS keeps it: a list of real servers with the last added at its head, and what can
//! happen to it. It knows when real servers are overloaded, and no rule of any scheduler.

use lb_common::sched::{Candidate, Loaded, Member};
use proptest::prelude::*;
use proptest::test_runner::Config;

/// So many cases of a property; interpreted, a few.
pub(crate) fn cases(cases: u32) -> Config {
    Config { cases: if cfg!(miri) { 2 } else { cases }, ..Config::default() }
}

/// What happens to the real server at a position of the list, taken modulo its length.
pub(crate) type Event = (usize, What);

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A new one of this weight, at the head.
    Add(u32),
    Remove,
    Weigh(u32),
    /// Upper threshold, and the lower one in eighths of it.
    Limit(u32, u32),
    /// A connection comes to it, becomes inactive, expires.
    Open,
    Close,
    Expire,
    /// Many connections, active and inactive.
    Load(u32, u32),
}

/// A life of a service whose weights are drawn from `weights`.
pub(crate) fn life(
    weights: impl Strategy<Value = u32> + Clone + 'static,
) -> impl Strategy<Value = Vec<Event>> {
    // Near 256 inactive ones for an active one, and far from it.
    let near =
        (0..4_u32, 0..4_u32, 0..3_u32).prop_map(|(active, as_active, few)| (active, as_active * 256 + few));
    let loads = prop_oneof![near, (0..1_u32 << 20, 0..1_u32 << 20)];
    let what = prop_oneof![
        4 => weights.clone().prop_map(What::Add),
        1 => Just(What::Remove),
        2 => weights.prop_map(What::Weigh),
        1 => (0..6_u32, 0..=8_u32).prop_map(|(upper, lower)| What::Limit(upper, lower)),
        8 => Just(What::Open),
        4 => Just(What::Close),
        4 => Just(What::Expire),
        3 => loads.prop_map(|(active, inactive)| What::Load(active, inactive)),
    ];
    proptest::collection::vec((0..64_usize, what), 1..60)
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    /// The head first.
    pub(crate) list: Vec<RealServer>,
    added: u32,
}

impl Service {
    pub(crate) fn happen(&mut self, (at, what): Event) {
        let at = at % self.list.len().max(1);
        match what {
            What::Add(weight) => {
                self.added += 1;
                self.list.insert(0, RealServer::new(self.added, weight));
            }
            What::Remove if !self.list.is_empty() => {
                self.list.remove(at);
            }
            _ => {
                if let Some(server) = self.list.get_mut(at) {
                    server.happen(what);
                }
            }
        }
    }

    /// As builders of rings take them: in the order in which they were added.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        self.list.iter().rev().map(|it| Candidate { number: it.number, weight: it.weight }).collect()
    }

    /// Likewise.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.list.iter().rev().map(RealServer::member).collect()
    }

    pub(crate) fn available(&self) -> impl Iterator<Item = &RealServer> + Clone {
        self.list.iter().filter(|server| server.is_available())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct RealServer {
    pub(crate) number: u32,
    pub(crate) weight: u32,
    /// The latest that wasn't 0, or 0 if it never had another.
    pub(crate) last_weight: u32,
    pub(crate) active: u32,
    pub(crate) inactive: u32,
    pub(crate) upper: u32,
    pub(crate) lower: u32,
    pub(crate) is_overloaded: bool,
    pub(crate) address: [u8; 16],
    pub(crate) port: u16,
}

impl RealServer {
    /// With an address and a port that depend on the number alone.
    pub(crate) fn new(number: u32, weight: u32) -> Self {
        let [a, b, c, d] = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
        let address = [0x20, 1, 0xd, 0xb8, a, b, c, d, 0x5a, 0, 0, b, 0, c, 0, d];
        let port = 8_000 + number as u16 % 3;
        Self {
            number,
            weight,
            last_weight: weight,
            active: 0,
            inactive: 0,
            upper: 0,
            lower: 0,
            is_overloaded: false,
            address,
            port,
        }
    }

    pub(crate) fn is_available(&self) -> bool {
        self.weight > 0 && !self.is_overloaded
    }

    pub(crate) fn connections(&self) -> u64 {
        u64::from(self.active) + u64::from(self.inactive)
    }

    pub(crate) fn loaded(&self) -> Loaded {
        Loaded {
            number: self.number,
            weight: self.weight,
            active: self.active,
            inactive: self.inactive,
            overloaded: u32::from(self.is_overloaded),
        }
    }

    pub(crate) fn member(&self) -> Member {
        Member {
            number: self.number,
            weight: self.weight,
            last_weight: self.last_weight,
            address: words(self.address),
            port: self.port.to_be(),
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Weigh(weight) => {
                self.weight = weight;
                if weight != 0 {
                    self.last_weight = weight;
                }
            }
            What::Limit(upper, eighths) => {
                (self.upper, self.lower) = (upper, upper * eighths / 8);
                self.grew();
                self.shrank();
            }
            What::Open => {
                self.active += 1;
                self.grew();
            }
            What::Close if self.active > 0 => {
                self.active -= 1;
                self.inactive += 1;
            }
            What::Expire if self.inactive > 0 => {
                self.inactive -= 1;
                self.shrank();
            }
            What::Load(active, inactive) => {
                (self.active, self.inactive) = (active, inactive);
                self.grew();
                self.shrank();
            }
            _ => {}
        }
    }

    /// What `ip_vs_bind_dest` asks.
    fn grew(&mut self) {
        if self.upper != 0 && self.connections() >= u64::from(self.upper) {
            self.is_overloaded = true;
        }
    }

    /// What `ip_vs_unbind_dest` asks.
    fn shrank(&mut self) {
        let connections = self.connections();
        let is_below = match (self.upper, self.lower) {
            (0, 0) => true,
            (upper, 0) => connections * 4 < u64::from(upper) * 3,
            (_, lower) => connections < u64::from(lower),
        };
        if is_below {
            self.is_overloaded = false;
        }
    }
}

/// An address as it lies, in two native words.
pub(crate) fn words(address: [u8; 16]) -> [u64; 2] {
    let half = |from: usize| u64::from_ne_bytes(std::array::from_fn(|byte| address[from + byte]));
    [half(0), half(8)]
}
