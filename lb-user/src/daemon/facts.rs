//! What is known of the world, and what the tables should hold in view of it. Pure.
//!
//! Facts come from checks and from netlink. Until they do, a restarted daemon believes the tables
//! that it found: a real server that had connections keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lb_common::wire::{
    DESTINATION_DOWN, DESTINATION_REMOVED, Destination, FORWARD_DIRECT, FORWARD_LOCAL, Family, ServiceKey,
    Timeouts,
};

use crate::check;
use crate::dataplane::Held;
use crate::model::{ForwardMethod, Model, Peer, RealServer, ServiceId, VirtualService};
use crate::neighbour::Reach;
use crate::plan::{Health, Wanted, WantedDestination, WantedService};

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
            if held.head.flags & DESTINATION_REMOVED == 0 {
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

    /// What the tables should hold. `interfaces` are those that the program is attached to.
    pub(super) fn wanted(&self, model: &Model, interfaces: &BTreeSet<u32>) -> Wanted {
        let services: Vec<_> = model.services.iter().map(|service| self.service(service)).collect();
        let egress = services
            .iter()
            .flat_map(|service| &service.destinations)
            .map(|wanted| wanted.destination.interface)
            .filter(|&interface| interface != 0);
        Wanted {
            interfaces: interfaces.iter().copied().chain(egress).collect(),
            services,
            peers: self.peers(model),
            timeouts: Timeouts::new(
                seconds(model.director.timeouts.tcp),
                seconds(model.director.timeouts.tcp_fin),
                seconds(model.director.timeouts.udp),
            ),
        }
    }

    fn service(&self, service: &VirtualService) -> WantedService {
        let key = service_key(&service.id);
        let destinations = service
            .real_servers
            .iter()
            .map(|server| WantedDestination {
                destination: self.destination(key, server),
                health: *self.health.get(&server_id(service, server)).unwrap_or(&Health::Unknown),
            })
            .collect();
        WantedService { key, scheduler: service.scheduler, destinations }
    }

    fn destination(&self, service: ServiceKey, server: &RealServer) -> Destination {
        let address = address_bytes(server.address);
        let port = server.port.to_be_bytes();
        let (mut ethernet, mut interface) = ([0; 12], 0);
        let mut forward = FORWARD_DIRECT;
        match (server.forward, self.reach.get(&server.address)) {
            // As LVS does: who is this host needs no frame.
            (ForwardMethod::Local, _) | (_, Some(Reach::Local)) => forward = FORWARD_LOCAL,
            (_, Some(Reach::OnLink { interface: index, source, destination, .. })) => {
                ethernet[..6].copy_from_slice(destination);
                ethernet[6..].copy_from_slice(source);
                interface = *index;
            }
            (_, Some(Reach::Unresolved { interface: index, .. })) => interface = *index,
            (_, Some(Reach::Routed { .. } | Reach::Unreachable { .. })) => {}
            (_, None) => {
                if let Some(believed) = self.believed.get(&(service, address, port)) {
                    (ethernet, interface, forward) =
                        (believed.ethernet, believed.interface, believed.forward);
                }
            }
        }
        Destination {
            ethernet,
            interface,
            address,
            service,
            weight: server.weight,
            port,
            forward,
            reserved: 0,
        }
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

/// Addresses that netlink is to follow: real servers by direct routing, and peer directors.
pub(super) fn watched(model: &Model) -> BTreeSet<IpAddr> {
    let servers = servers(model)
        .filter(|(_, server)| server.forward == ForwardMethod::DirectRouting)
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

/// A real server that direct routing can't reach, in words; `None` if all can be.
pub(super) fn off_link(model: &Model, reach: &BTreeMap<IpAddr, Reach>) -> Option<String> {
    servers(model).filter(|(_, server)| server.forward == ForwardMethod::DirectRouting).find_map(|(service, server)| {
        let why = match reach.get(&server.address)? {
            Reach::OnLink { .. } | Reach::Unresolved { .. } | Reach::Local => return None,
            Reach::Routed { gateway, .. } => {
                format!("it is reached through the router {gateway}, and direct routing only gets to servers on the link")
            }
            Reach::Unreachable { why } => why.to_string(),
        };
        Some(format!("{}: real server {}: {why}", service.id, server.address))
    })
}

/// The key of a service in the tables.
pub(super) fn service_key(id: &ServiceId) -> ServiceKey {
    ServiceKey {
        address: address_bytes(id.address),
        port: id.port.to_be_bytes(),
        protocol: id.protocol as u8,
        family: match id.address {
            IpAddr::V4(_) => Family::V4 as u8,
            IpAddr::V6(_) => Family::V6 as u8,
        },
        reserved: [0; 4],
    }
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
