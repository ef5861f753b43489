//! Real servers with thresholds over lives of arrivals, departures and changes of weights and thresholds: who is
//! chosen and who is overloaded is what LVS's rules say, written down here a second time.

use lb_common::director::direct;
use lb_common::net::PacketBuffer;
use lb_common::sched::Scheduler;
use lb_common::verdict::Verdict;
use lb_common::wire::Counters;
use lb_user::dataplane::{Dataplane as _, MemoryDataplane};
use lb_user::plan::{Health, WantedService};
use proptest::prelude::*;

use super::{bring, key, server, tables, wanted};

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const FIN_ACK: u8 = 17;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A connection comes, and is established.
    Arrive,
    /// One of those that there are, modulo how many: it becomes inactive.
    Finish(usize),
    /// It ends, and no more is known of it.
    Leave(usize),
    /// A real server is given a weight.
    Weigh(usize, u32),
    /// It is given thresholds, the lower one in quarters of the upper one.
    Limit(usize, u32, u32),
}

fn life() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => Just(Event::Arrive),
        3 => (0..64_usize).prop_map(Event::Finish),
        4 => (0..64_usize).prop_map(Event::Leave),
        2 => (0..SERVERS, 0..4_u32).prop_map(|(at, weight)| Event::Weigh(at, weight)),
        2 => (0..SERVERS - 1, 0..5_u32, 0..=4_u32).prop_map(|(at, upper, lower)| Event::Limit(at, upper, lower)),
    ];
    proptest::collection::vec(event, 1..60)
}

const SERVERS: usize = 4;

/// A real server as LVS keeps it.
#[derive(Clone, Copy, Debug)]
struct Server {
    host: u8,
    weight: u32,
    upper: u32,
    lower: u32,
    active: u32,
    inactive: u32,
    is_overloaded: bool,
}

impl Server {
    const fn is_available(&self) -> bool {
        self.weight > 0 && !self.is_overloaded
    }

    /// `ip_vs_bind_dest`.
    const fn grew(&mut self) {
        if self.upper != 0 && self.active + self.inactive >= self.upper {
            self.is_overloaded = true;
        }
    }

    /// `ip_vs_unbind_dest`.
    const fn shrank(&mut self) {
        let connections = self.active + self.inactive;
        let is_below = match (self.upper, self.lower) {
            (0, 0) => true,
            (upper, 0) => connections * 4 < upper * 3,
            (_, lower) => connections < lower,
        };
        if is_below {
            self.is_overloaded = false;
        }
    }

    const fn overhead(&self) -> u32 {
        self.active * 256 + self.inactive
    }
}

/// A service, its real servers from the last added to the first, and a scheduler's memory.
struct Lvs {
    scheduler: Scheduler,
    list: Vec<Server>,
    /// rr: the host chosen last. wrr: the place behind it, and the current weight.
    last: Option<u8>,
    at: usize,
    current: u32,
    /// lblc: who serves the address.
    kept: Option<u8>,
}

impl Lvs {
    fn choose(&mut self) -> Option<u8> {
        let least = |cost: fn(&Server) -> u32, weighs: bool| {
            let of = |server: &Server| if weighs { server.weight } else { 1 };
            let available = self.list.iter().filter(|server| server.is_available());
            let chosen = available.min_by(|a, b| (cost(a) * of(b)).cmp(&(cost(b) * of(a))));
            chosen.map(|server| server.host)
        };
        match self.scheduler {
            Scheduler::Rr => self.rr(),
            Scheduler::Wrr => self.wrr(),
            Scheduler::Lc => least(Server::overhead, false),
            Scheduler::Wlc => least(Server::overhead, true),
            Scheduler::Sed => least(|server| server.active + 1, true),
            Scheduler::Fo => least(|_| 1, true),
            _ => self.lblc(least(Server::overhead, true)),
        }
    }

    fn rr(&mut self) -> Option<u8> {
        let begin = self.last.and_then(|last| self.list.iter().position(|server| server.host == last));
        let begin = begin.map_or(0, |place| place + 1);
        let places = (begin..begin + self.list.len()).map(|place| place % self.list.len());
        let chosen = places.map(|place| self.list[place]).find(Server::is_available);
        // A round that finds nobody ends where it began; the first one of all behind the last of the list.
        let end = self.list.iter().rev().find(|server| server.weight > 0);
        self.last = chosen.map(|server| server.host).or(self.last).or(end.map(|server| server.host));
        chosen.map(|server| server.host)
    }

    fn wrr(&mut self) -> Option<u8> {
        let (step, top) = self.weights()?;
        let (mut at, mut current) = (self.at, self.current);
        // As many as one whole cycle: if nobody was found by then, nobody is there, and all stays as it was.
        for _ in 0..=self.list.len() * (top.div_ceil(step) as usize + 1) {
            if at == self.list.len() {
                at = 0;
                current = if current > step { current - step } else { top };
            }
            at += 1;
            let server = self.list[at - 1];
            if server.weight >= current && !server.is_overloaded {
                (self.at, self.current) = (at, current);
                return Some(server.host);
            }
        }
        None
    }

    /// The greatest common divisor, and the highest current weight.
    fn weights(&self) -> Option<(u32, u32)> {
        let heaviest = self.list.iter().map(|server| server.weight).max()?;
        let divides = |step: &u32| self.list.iter().all(|server| server.weight % step == 0);
        let step = (1..=heaviest).rev().find(divides)?;
        Some((step, heaviest - (step - 1)))
    }

    fn lblc(&mut self, least: Option<u8>) -> Option<u8> {
        let kept = self.kept.and_then(|kept| self.list.iter().find(|server| server.host == kept));
        let has_too_much = |kept: &Server| {
            let idle = |other: &Server| other.weight > 0 && other.active * 2 < other.weight;
            kept.active > kept.weight && self.list.iter().any(idle)
        };
        let stays = kept.filter(|kept| kept.weight > 0 && !has_too_much(kept)).map(|kept| kept.host);
        let chosen = stays.or(least);
        self.kept = chosen.or(self.kept);
        chosen
    }
}

/// A segment of a connection to the service, from this port; where it went, by the real server's host.
fn send(dataplane: &MemoryDataplane, port: u16, flags: u8) -> (Verdict, Option<u8>) {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0];
    bytes.extend([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 10, 0, 0, 1]);
    let [high, low] = port.to_be_bytes();
    bytes.extend([high, low, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    let mut packet = PacketBuffer { bytes, interface: 1 };
    let verdict = direct(&mut packet, &&dataplane.tables).verdict;
    (verdict, (verdict == Verdict::DirectRouting).then(|| packet.bytes[5]))
}

fn service(lvs: &Lvs) -> WantedService {
    let destinations = lvs.list.iter().rev().map(|of| {
        let mut wanted = server(1, of.host, of.weight, Health::Up, true);
        (wanted.destination.upper, wanted.destination.lower) = (of.upper, of.lower);
        wanted
    });
    WantedService::new(key(1), lvs.scheduler, destinations.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn who_is_overloaded_gets_nothing_new(
        scheduler in prop::sample::select(vec![
            Scheduler::Rr, Scheduler::Wrr, Scheduler::Lc, Scheduler::Wlc, Scheduler::Sed, Scheduler::Fo,
            Scheduler::Lblc,
        ]),
        weights in proptest::array::uniform4(0..4_u32),
        life in life(),
    ) {
        let new = |(host, weight)| Server {
            host, weight, upper: 0, lower: 0, active: 0, inactive: 0, is_overloaded: false,
        };
        let mut list: Vec<_> = (11..).zip(weights).map(new).collect();
        list.reverse();
        // So that the service has thresholds all the time: a ring that is laid out anew begins anew.
        list[SERVERS - 1].upper = 1_000;
        let mut lvs = Lvs { scheduler, list, last: None, at: 0, current: 0, kept: None };
        // There LVS stands after the first real server was added.
        lvs.current = 1;
        let mut dataplane = tables();
        bring(&mut dataplane, &wanted(vec![service(&lvs)]));
        // Ports, whose they are, and whether they are inactive.
        let mut connections: Vec<(u16, u8, bool)> = Vec::new();
        let (mut port, mut left) = (1_000, 0);
        for event in life {
            match event {
                Event::Arrive => {
                    let expected = lvs.choose();
                    port += 1;
                    let (verdict, host) = send(&dataplane, port, SYN);
                    prop_assert_eq!(host, expected, "{:?} {:?} of {:#?}", verdict, scheduler, lvs.list);
                    let Some(host) = host else {
                        prop_assert_eq!(verdict, Verdict::NoDestination);
                        continue;
                    };
                    send(&dataplane, port, ACK);
                    connections.push((port, host, false));
                    let server = lvs.list.iter_mut().find(|server| server.host == host).unwrap();
                    server.active += 1;
                    server.grew();
                }
                Event::Finish(at) if !connections.is_empty() => {
                    let at = at % connections.len();
                    let (port, host, is_inactive) = &mut connections[at];
                    if !*is_inactive {
                        *is_inactive = true;
                        send(&dataplane, *port, FIN_ACK);
                        let server = lvs.list.iter_mut().find(|server| server.host == *host).unwrap();
                        (server.active, server.inactive) = (server.active - 1, server.inactive + 1);
                    }
                }
                // Those that are inactive would go after ten of them.
                Event::Leave(at) if !connections.is_empty() && left < 9 => {
                    left += 1;
                    let (port, host, is_inactive) = connections.remove(at % connections.len());
                    send(&dataplane, port, RST);
                    dataplane.tables.advance(12);
                    prop_assert_eq!(send(&dataplane, port, ACK).0, Verdict::NoConnection);
                    let server = lvs.list.iter_mut().find(|server| server.host == host).unwrap();
                    *if is_inactive { &mut server.inactive } else { &mut server.active } -= 1;
                    server.shrank();
                }
                // Where nobody was chosen, the current weight of wrr doesn't fall here, as it does in LVS: what follows
                // from a change then is another thing.
                Event::Weigh(at, weight) if lvs.list[at].weight != weight && scheduler != Scheduler::Wrr => {
                    lvs.list[at].weight = weight;
                    if lvs.list.iter().all(|server| server.weight == 0) {
                        lvs.last = None;
                    }
                    bring(&mut dataplane, &wanted(vec![service(&lvs)]));
                }
                Event::Limit(at, upper, quarters) => {
                    let server = &mut lvs.list[at];
                    (server.upper, server.lower) = (upper, upper * quarters / 4);
                    server.grew();
                    server.shrank();
                    bring(&mut dataplane, &wanted(vec![service(&lvs)]));
                }
                _ => {}
            }
            let held = dataplane.held().unwrap();
            for server in &lvs.list {
                let of = |(number, held): (&u32, &lb_user::dataplane::HeldDestination)| {
                    (held.destination.address[3] == server.host).then_some(*number)
                };
                let number = held.destinations.iter().find_map(of).unwrap();
                let load = dataplane.tables.load(number);
                prop_assert_eq!((load.active(), load.inactive()), (server.active.cast_signed(), server.inactive.cast_signed()));
                prop_assert_eq!(load.overloaded == 1, server.is_overloaded, "{:?} {:#?}", event, lvs.list);
                prop_assert_ne!(dataplane.tables.counters(number), Counters { dropped: 1, ..Counters::default() });
            }
        }
    }
}
