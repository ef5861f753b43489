//! What the daemon tells about itself: the tables and the facts, read when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use lb_common::wire::{Counters, DESTINATION_REMOVED, FORWARD_REPLY, LINE_SLOTS, Load, RuleSpan, ServiceKey};

use super::director::Director;
use super::facts::{address_bytes, server_id, service_key};
use crate::metrics::{
    DaemonSnapshot, Fill, FlowTableSnapshot, InterfaceSnapshot, RealServerSnapshot, ServiceSnapshot,
    Snapshot, SweepSnapshot, TablesSnapshot,
};
use crate::model::{RealServer, VirtualService};
use crate::plan::Health;

/// A real server in the tables: service, address, port.
type Place = (ServiceKey, [u8; 16], [u8; 2]);

impl Director {
    /// Everything that metrics show.
    pub(super) fn snapshot(&self) -> Snapshot {
        let counts = self.kernel.verdict_counts();
        let mut numbers: BTreeMap<Place, u32> = BTreeMap::new();
        let mut departed = self.departed.clone();
        for (&number, held) in &self.held.destinations {
            let destination = &held.destination;
            if destination.forward == FORWARD_REPLY {
                // What comes back is counted by its verdict.
                continue;
            }
            if held.head.flags & DESTINATION_REMOVED == 0 {
                numbers.insert((destination.service, destination.address, destination.port), number);
            } else {
                let sum: &mut Counters = departed.entry(destination.service).or_default();
                *sum = sum.plus(self.kernel.counters(number));
            }
        }
        let services = self.model.services.iter().map(|service| {
            let key = service_key(&service.id);
            ServiceSnapshot {
                id: service.id,
                scheduler: service.scheduler,
                real_servers: service
                    .real_servers
                    .iter()
                    .map(|server| {
                        let place = (key, address_bytes(server.address), server.port.to_be_bytes());
                        self.real_server(service, server, numbers.get(&place).copied())
                    })
                    .collect(),
                departed: departed.get(&key).copied().unwrap_or_default(),
            }
        });
        Snapshot {
            services: services.collect(),
            verdicts: counts.verdicts,
            evictions: counts.evictions,
            without_template: counts.without_template,
            flows: self.flow_table(),
            tables: self.tables(),
            checks: self.checks.len() as u64,
            interfaces: self
                .modes
                .iter()
                .map(|(name, mode)| InterfaceSnapshot { name: name.clone(), xdp_mode: *mode })
                .collect(),
            daemon: DaemonSnapshot {
                started: self.totals.started,
                loaded: self.totals.loaded,
                reloads_ok: self.totals.reloads[0],
                reloads_failed: self.totals.reloads[1],
            },
        }
    }

    fn real_server(
        &self,
        service: &VirtualService,
        server: &RealServer,
        number: Option<u32>,
    ) -> RealServerSnapshot {
        let held = number.and_then(|number| self.held.destinations.get(&number));
        RealServerSnapshot {
            name: server.name.clone(),
            address: server.address,
            port: server.port,
            forward: server.forward,
            weight: server.weight,
            health: self.facts.health.get(&server_id(service, server)).copied().unwrap_or(Health::Unknown),
            resolved: held.is_some_and(|held| {
                held.destination.forward == lb_common::wire::FORWARD_LOCAL || held.destination.is_resolved()
            }),
            counters: number.map_or(Counters::default(), |number| self.kernel.counters(number)),
            load: number.map_or(Load::default(), |number| self.kernel.load_of(number)),
            templates: number.zip(self.last_sweep.as_ref()).map_or(0, |(number, sweep)| {
                sweep.templates.get(number as usize).copied().unwrap_or_default()
            }),
        }
    }

    fn flow_table(&self) -> FlowTableSnapshot {
        let settings = self.held.settings;
        FlowTableSnapshot {
            slots: u64::from(settings.lines) * LINE_SLOTS as u64,
            expired: self.totals.expired,
            sweep: self.last_sweep.as_ref().map(|sweep| SweepSnapshot {
                states: sweep.states,
                ended: self.totals.swept.unwrap_or(SystemTime::UNIX_EPOCH),
                duration: self.totals.sweep_duration,
            }),
        }
    }

    fn tables(&self) -> TablesSnapshot {
        let settings = self.held.settings;
        let slots: u64 = self.held.services.values().map(|service| u64::from(service.span.slots)).sum();
        let services = self.held.services.values().map(|service| service.key);
        let own: BTreeSet<ServiceKey> =
            services.filter(|key| key.mark().is_none()).map(ServiceKey::address_only).collect();
        let addresses = &self.held.addresses;
        let class_addresses = addresses.keys().filter(|key| !own.contains(key)).count() as u64;
        // Addresses with the same rules share them.
        let rules: BTreeSet<RuleSpan> = addresses.values().map(|address| address.span).collect();
        let sources = self.held.lists.values().map(|list| list.len() as u64).sum();
        let remembers =
            self.model.services.iter().any(|service| service.scheduler == crate::model::Scheduler::Lblc);
        let localities =
            if remembers { self.kernel.localities().map_or(0, |all| all.len() as u64) } else { 0 };
        let fill = |used: u64, size: u32| Fill { used, size: u64::from(size) };
        TablesSnapshot {
            services: fill(self.held.services.len() as u64, settings.services),
            destinations: fill(self.held.destinations.len() as u64, settings.destinations - 1),
            ring_slots: fill(slots, settings.ring_slots),
            sources: fill(sources, settings.sources),
            localities: fill(localities, settings.localities),
            templates: fill(
                self.last_sweep.as_ref().map_or(0, |sweep| sweep.templates.iter().sum()),
                settings.template_lines * LINE_SLOTS as u32,
            ),
            class_addresses: fill(class_addresses, settings.class_addresses),
            class_rules: fill(rules.iter().map(|span| u64::from(span.rules)).sum(), settings.class_rules),
        }
    }
}
