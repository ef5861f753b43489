//! Random sequences of connections, time and changes of the config, and a model of what LVS promises: a map.

use std::collections::HashMap;

use fastrand::Rng;
use lb_common::host::MemoryTables;
use lb_common::wire::{Options, Persistence};
use lb_user::dataplane::{MemoryDataplane, clock};
use lb_user::model::Scheduler;
use lb_user::plan::{Health, WantedService};

use super::common::parameter::number;
use super::common::report::say;
use super::common::services::Endpoint;
use super::{SERVICE, SYN, TCP, UDP, apply, next_port, real_server, send, sizes, small};

const SEQUENCES: u64 = 300;
const STEPS: usize = 300;

/// Real servers of a service, some of which it may not have at the moment.
const REAL_SERVERS: u8 = 4;

/// A service as the model has it.
#[derive(Clone, Copy)]
struct Service {
    endpoint: Endpoint,
    scheduler: Scheduler,
    /// Of an IPv4 address, as a number.
    mask: u32,
    seconds: u32,
    is_there: bool,
    /// Weight and health of those that it has.
    servers: [Option<(u32, Health)>; REAL_SERVERS as usize],
}

impl Service {
    fn server(&self, number: u8) -> Option<(u32, Health)> {
        self.servers[usize::from(number) - 1]
    }

    fn may_be_chosen(&self, number: u8) -> bool {
        matches!(self.server(number), Some((1.., Health::Up)))
    }
}

struct Model {
    services: Vec<Service>,
    expire_quiescent: bool,
    /// By the service's place and what counts of the client: the real server, and when that is over.
    clients: HashMap<(usize, u32), (u8, u64)>,
}

#[test]
fn clients_go_where_a_plain_map_says() {
    let seed = number("LB_SEED", 1);
    let (mut known, mut new, mut refused) = (0, 0, 0);
    for sequence in 0..SEQUENCES {
        let mut random = Rng::with_seed(seed + sequence);
        let mut host = MemoryDataplane::new(sizes(&small(10_000)).settings());
        let mut now = random.u64(1 << 30..1 << 40);
        host.tables.set_jiffies(now);
        let mut model = Model::new(&mut random);
        model.apply(&mut host);
        for step in 0..STEPS {
            let at = format!("LB_SEED={} step {step}", seed + sequence);
            match random.u8(..20) {
                0 => {
                    model.change(&mut random);
                    model.apply(&mut host);
                }
                1..4 => now += random.u64(..40 * u64::from(clock().hz())),
                // Right to an end, or right in front of it.
                4 => now = model.some_end(&mut random).map_or(now, |end| now.max(end - random.u64(..2))),
                _ => match model.connect(&host.tables, &mut random, now, &at) {
                    Some(true) => known += 1,
                    Some(false) => new += 1,
                    None => refused += 1,
                },
            }
            host.tables.set_jiffies(now);
        }
        assert_eq!(host.tables.without_template(), 0);
    }
    say(&format!("{known} connections of clients that were known, {new} of new ones, {refused} refused"));
    assert!(known > 10_000 && new > 10_000 && refused > 100);
}

impl Model {
    fn new(random: &mut Rng) -> Self {
        let service = |protocol, port, mask, seconds| Service {
            endpoint: Endpoint { protocol, address: SERVICE, port },
            scheduler: [Scheduler::Rr, Scheduler::Wlc, Scheduler::Sh][random.usize(..3)],
            mask,
            seconds,
            is_there: true,
            servers: [Some((1, Health::Up)); REAL_SERVERS as usize],
        };
        let mut service = service;
        Self {
            services: vec![service(TCP, 80, 0xffff_fffc, 20), service(UDP, 53, 0xffff_ffff, 60)],
            expire_quiescent: false,
            clients: HashMap::new(),
        }
    }

    fn change(&mut self, random: &mut Rng) {
        let place = random.usize(..self.services.len());
        let service = &mut self.services[place];
        match random.u8(..8) {
            0 => self.expire_quiescent = !self.expire_quiescent,
            1 => {
                service.is_there = !service.is_there;
                // Nobody is remembered for a service that there isn't.
                self.clients.retain(|(of, _), _| *of != place);
            }
            2 => service.seconds = random.u32(1..100),
            _ => {
                let health = if random.u8(..4) == 0 { Health::Down } else { Health::Up };
                let server = (random.u32(..3), health);
                service.servers[random.usize(..4)] = (random.u8(..4) > 0).then_some(server);
            }
        }
    }

    fn apply(&self, host: &mut MemoryDataplane) {
        let there = self.services.iter().filter(|service| service.is_there);
        let services = there.map(|service| {
            let servers = (1..=REAL_SERVERS).filter_map(|number| {
                let (weight, health) = service.server(number)?;
                Some(real_server(number, weight, health).wanted(&service.endpoint))
            });
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&service.mask.to_be_bytes());
            WantedService {
                persistence: Persistence::new(service.seconds, mask, clock()),
                ..WantedService::new(service.endpoint.key(), service.scheduler, servers.collect())
            }
        });
        let options = Options::DEFAULT.with_expire_quiescent_template(self.expire_quiescent);
        apply(host, services.collect(), options);
    }

    fn some_end(&self, random: &mut Rng) -> Option<u64> {
        // In an order that doesn't change from run to run.
        let mut ends: Vec<u64> = self.clients.values().map(|(_, end)| *end).collect();
        ends.sort_unstable();
        random.choice(ends)
    }

    /// A client's new connection; whether the client was known, `None`: nobody takes it.
    fn connect(&mut self, tables: &MemoryTables, random: &mut Rng, now: u64, at: &str) -> Option<bool> {
        let place = random.usize(..self.services.len());
        let service = &self.services[place];
        let client = random.u32(..24);
        let went = send(tables, service.endpoint.protocol, client, next_port(), SYN);
        if !service.is_there {
            assert_eq!(went, None, "{at}");
            return None;
        }
        let key = (place, client & service.mask);
        let known = self.clients.get(&key).filter(|&&(number, end)| {
            let takes_more = match service.server(number) {
                None | Some((_, Health::Down)) => false,
                Some((weight, _)) => weight > 0 || !self.expire_quiescent,
            };
            end > now && takes_more
        });
        match (known, went) {
            (Some(&(number, _)), _) => assert_eq!(went, Some(number), "{at}: client {client} of {place}"),
            (None, Some(number)) => assert!(service.may_be_chosen(number), "{at}: {number} was chosen"),
            (None, None) => {
                let hashes = service.scheduler == Scheduler::Sh;
                let is_any = (1..=REAL_SERVERS).any(|number| service.may_be_chosen(number));
                assert!(!is_any || hashes, "{at}: client {client} of {place} was refused");
                return None;
            }
        }
        let is_known = known.is_some();
        let end = now + u64::from(service.seconds) * u64::from(clock().hz());
        self.clients.insert(key, (went?, end));
        Some(is_known)
    }
}
