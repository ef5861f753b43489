//! What is known of the world, and what the tables should hold in view of it. Pure.
//!
//! Facts come from checks and from netlink. Until they do, a restarted daemon believes the tables
//! that it found: a real server that had connections keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lb_common::wire::{
    DESTINATION_DOWN, DESTINATION_REMOVED, DESTINATION_REPLY, Destination, Persistence, Prefix, Rule,
    ServiceKey, Timeouts,
};

use crate::check;
use crate::class;
use crate::dataplane::{Held, clock};
use crate::model::{
    self, ForwardMethod, Model, Peer, RealServer, ServiceId, Thresholds, VirtualService, family_of,
};
use crate::neighbour::Reach;
use crate::plan::{Health, Wanted, WantedDestination, WantedService};
use way::Way;

mod way;

/// A real server of a service.
pub(super) type ServerId = (ServiceId, IpAddr, u16);

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Whether real servers pass their checks.
    pub(super) health: BTreeMap<ServerId, Health>,
    /// How frames get to real servers and peer directors.
    pub(super) reach: BTreeMap<IpAddr, Reach>,
    /// What tables that were adopted say of a real server, until netlink says more.
    believed: BTreeMap<(ServiceKey, [u8; 16], [u8; 2]), Destination>,
}

impl Facts {
    /// Takes in what tables tell that were found.
    pub(super) fn believe(&mut self, held: &Held, model: &Model) {
        let rings: BTreeSet<_> =
            held.services.values().flat_map(|service| service.ring.iter().copied()).collect();
        let mut tables = BTreeMap::new();
        for (number, held) in &held.destinations {
            if held.head.flags & (DESTINATION_REMOVED | DESTINATION_REPLY) == 0 {
                let Destination { service, address, port, .. } = held.destination;
                self.believed.insert((service, address, port), held.destination);
                tables.insert((service, address, port), (held.head.flags, rings.contains(number)));
            }
        }
        for (service, server) in servers(model) {
            let id = (service_key(&service.id), address_bytes(server.address), server.port.to_be_bytes());
            let health = match tables.get(&id) {
                _ if service.check.is_none() => Health::Up,
                Some((flags, _)) if flags & DESTINATION_DOWN != 0 => Health::Down,
                // One that is drained stands in no ring; it gets nothing new, whatever its health.
                Some((_, true)) => Health::Up,
                Some((_, false)) | None => continue,
            };
            self.health.insert(server_id(service, server), health);
        }
    }

    /// Forgets what concerns nothing in the model, and knows that what has no check is up.
    pub(super) fn follow(&mut self, model: &Model) {
        let ids: BTreeSet<ServerId> =
            servers(model).map(|(service, server)| server_id(service, server)).collect();
        self.health.retain(|id, _| ids.contains(id));
        for (service, server) in servers(model) {
            if service.check.is_none() {
                self.health.insert(server_id(service, server), Health::Up);
            }
        }
        let watched = watched(model);
        self.reach.retain(|address, _| watched.contains(address));
    }

    /// What the tables should hold. `interfaces` (ifindex by name) are those that the program is attached to.
    pub(super) fn wanted(&self, model: &Model, interfaces: &BTreeMap<String, u32>) -> Wanted {
        let services: Vec<_> = model.services.iter().map(|service| self.service(service)).collect();
        let egress = services
            .iter()
            .flat_map(|service| &service.destinations)
            .map(|wanted| wanted.destination.interface)
            .filter(|&interface| interface != 0);
        Wanted {
            interfaces: interfaces.values().copied().chain(egress).collect(),
            services,
            rules: rules(model, interfaces),
            peers: self.peers(model),
            timeouts: Timeouts::new(
                seconds(model.director.timeouts.tcp),
                seconds(model.director.timeouts.tcp_fin),
                seconds(model.director.timeouts.udp),
                clock(),
            ),
            options: model.director.connections.options(),
        }
    }

    fn service(&self, service: &VirtualService) -> WantedService {
        let key = service_key(&service.id);
        let destinations = service
            .real_servers
            .iter()
            .map(|server| WantedDestination {
                destination: self.destination(service, server),
                health: *self.health.get(&server_id(service, server)).unwrap_or(&Health::Unknown),
            })
            .collect();
        WantedService {
            flags: service.scheduler_flags,
            one_packet: service.one_packet,
            persistence: service.persistence.map_or(Persistence::NONE, |persistence| {
                Persistence::new(seconds(persistence.timeout), persistence.netmask.bytes(), clock())
            }),
            ring_size: service.ring_size,
            new_flows: clock().per_tick(service.guard.new_flows_max),
            sources: service
                .guard
                .sources()
                .map(|(prefix, is_allowed)| (prefix_key(prefix), is_allowed))
                .collect(),
            ..WantedService::new(key, service.scheduler, destinations)
        }
    }

    fn destination(&self, service: &VirtualService, server: &RealServer) -> Destination {
        let key = service_key(&service.id);
        let inner = service.id.family();
        let (address, port) = (address_bytes(server.address), server.port.to_be_bytes());
        let way = match self.reach.get(&server.address) {
            Some(reach) => Way::new(server, inner, reach),
            None => match self.believed.get(&(key, address, port)) {
                Some(found) => Way::believed(server, inner, found),
                None => Way::nowhere(server.forward),
            },
        };
        let Thresholds { upper, lower } = server.thresholds;
        Destination { weight: server.weight, upper, lower, ..way.destination(key, address, port) }
    }

    fn peers(&self, model: &Model) -> BTreeSet<[u8; 6]> {
        let known = model.director.peers.iter().filter_map(|peer| match peer {
            Peer::Mac(address) => Some(*address),
            Peer::Address(address) => match self.reach.get(address) {
                Some(Reach::OnLink { destination, .. }) => Some(*destination),
                _ => None,
            },
        });
        known.collect()
    }
}

/// Addresses that netlink is to follow: real servers that are sent frames, and peer directors.
pub(super) fn watched(model: &Model) -> BTreeSet<IpAddr> {
    let servers = servers(model)
        .filter(|(_, server)| server.forward != ForwardMethod::Local)
        .map(|(_, server)| server.address);
    let peers = model.director.peers.iter().filter_map(|peer| match peer {
        Peer::Address(address) => Some(*address),
        Peer::Mac(_) => None,
    });
    servers.chain(peers).collect()
}

/// All checks that a model asks for. `health` is what is known already.
pub(super) fn checks(
    model: &Model,
    health: &BTreeMap<ServerId, Health>,
) -> BTreeMap<check::CheckId, check::CheckSpec> {
    let mut checks = BTreeMap::new();
    for (service, server) in servers(model) {
        let Some(check) = service.check else {
            continue;
        };
        let initial = match health.get(&server_id(service, server)) {
            Some(Health::Up) => Some(check::Health::Up),
            Some(Health::Down) => Some(check::Health::Down),
            Some(Health::Unknown) | None => None,
        };
        let id = check::CheckId { service: service.id, address: server.address, port: server.port };
        checks.insert(id, check::CheckSpec { check, initial });
    }
    checks
}

/// A real server that its forward method can't get to, in words; `None` if all can be reached.
pub(super) fn off_link(model: &Model, reach: &BTreeMap<IpAddr, Reach>) -> Option<String> {
    servers(model).find_map(|(service, server)| {
        let why = way::obstacle(server, reach.get(&server.address)?)?;
        Some(format!("{}: real server {}: {why}", service.id, server.address))
    })
}

/// Each tunnel that has less room than the IPv6 in it needs, in words.
pub(super) fn narrow(model: &Model, reach: &BTreeMap<IpAddr, Reach>) -> BTreeSet<String> {
    let narrow = servers(model).filter_map(|(service, server)| {
        let inner = service.id.family();
        let why = way::narrowness(server, inner, reach.get(&server.address)?)?;
        Some(format!("{}: real server {}: {why}", service.id, server.address))
    });
    narrow.collect()
}

/// The key of a service in the tables.
pub(super) fn service_key(id: &ServiceId) -> ServiceKey {
    match *id {
        ServiceId::Address { protocol, address, port } => {
            ServiceKey { port: port.to_be_bytes(), protocol: protocol as u8, ..address_key(address) }
        }
        ServiceId::Mark { mark, family } => ServiceKey::of_mark(mark, family),
    }
}

/// The key of an address alone.
fn address_key(address: IpAddr) -> ServiceKey {
    ServiceKey {
        address: address_bytes(address),
        port: [0; 2],
        protocol: 0,
        family: family_of(address) as u8,
        reserved: [0; 4],
    }
}

/// The rules of classes, by address.
fn rules(model: &Model, interfaces: &BTreeMap<String, u32>) -> BTreeMap<ServiceKey, Vec<Rule>> {
    let addresses: BTreeSet<IpAddr> =
        model.classes.iter().flat_map(|class| class.addresses.iter().copied()).collect();
    let interface = |name: &str| interfaces.get(name).copied();
    let rules = |address| (address_key(address), class::rules(&model.classes, address, interface));
    addresses.into_iter().map(rules).collect()
}

/// An address as the tables have it.
pub(super) fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// A prefix as the tables have it.
fn prefix_key(prefix: model::Prefix) -> Prefix {
    let model::Prefix { address, length: bits } = prefix;
    Prefix { is_v6: address.is_ipv6(), bits, address: address_bytes(address) }
}

/// A real server's name among the facts.
pub(super) const fn server_id(service: &VirtualService, server: &RealServer) -> ServerId {
    (service.id, server.address, server.port)
}

fn servers(model: &Model) -> impl Iterator<Item = (&VirtualService, &RealServer)> {
    model.services.iter().flat_map(|service| service.real_servers.iter().map(move |server| (service, server)))
}

fn seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
