//! What the operator wants: one director, its virtual services, their real servers.
//!
//! Plain values in LVS's words. [`crate::config`] makes a [`Model`] from a file and is the only judge
//! of what is allowed; a model from elsewhere has to keep the ranges that the fields name.
//! This module knows no file format, no tables, no network, and nothing of what is up or down now.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub use class::{Class, Ports, Prefix};
pub use guard::Guard;
use lb_common::director::COMPARED_MAX;
pub use lb_common::sched::{RingSize, Scheduler};
use lb_common::sched::{SH_SLOTS, wrr_slots};
use lb_common::wire::Options;
pub use lb_common::wire::{Family, Protocol};
pub use persistence::{Netmask, Persistence};
pub use service_id::{ServiceId, family_of};

mod class;
mod guard;
mod persistence;
mod service_id;

/// The most real servers that one virtual service can have.
pub const REAL_SERVERS_MAX: usize = 4_096;

// Any scheduler can compare as many.
const _: () = assert!(REAL_SERVERS_MAX <= COMPARED_MAX as usize);

/// The highest weight of a real server, as upstream's ipvsadm(8) has it.
pub const WEIGHT_MAX: u32 = 65_535;

/// The highest number of new flows in a second that can be asked for.
pub const NEW_FLOWS_MAX: u32 = 1_000_000_000;

/// The highest threshold, as ipvsadm has it.
pub const THRESHOLD_MAX: u32 = i32::MAX.cast_unsigned();

/// Everything that an operator configures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The host that schedules.
    pub director: Director,
    /// In the order of the file: the first that matches a packet says its mark.
    pub classes: Vec<Class>,
    /// In the order of the file; no [`ServiceId`] twice.
    pub services: Vec<VirtualService>,
}

impl Model {
    /// Addresses that packets for services go to: those of services, and those of classes whose mark has a service.
    pub fn service_addresses(&self) -> BTreeSet<IpAddr> {
        let own = self.services.iter().filter_map(|service| service.id.address());
        let ids: BTreeSet<ServiceId> = self.services.iter().map(|service| service.id).collect();
        let of_classes = self.classes.iter().flat_map(|class| {
            let is_marked = |address: &&IpAddr| ids.contains(&ServiceId::of_mark(class.mark, **address));
            class.addresses.iter().filter(is_marked).copied()
        });
        own.chain(of_classes).collect()
    }
}

/// The host that schedules connections: what concerns all its services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Director {
    /// Names of the interfaces that the program is attached to; none twice.
    /// May be empty: the command line can name them.
    pub interfaces: Vec<String>,
    /// How the program is attached.
    pub xdp_mode: XdpMode,
    /// Where Prometheus metrics are served; `None`: nowhere. Port 0: the kernel picks one.
    pub metrics: Option<SocketAddr>,
    /// Directors whose packets were scheduled already; none twice.
    pub peers: Vec<Peer>,
    /// Who puts the services' addresses on this host.
    pub service_addresses: AddressOwner,
    /// How long connections without packets are kept.
    pub timeouts: Timeouts,
    /// What becomes of connections in doubt.
    pub connections: Connections,
    /// How much the tables of the data plane hold.
    pub tables: TableSizes,
}

/// How the XDP program is attached to an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Native first; generic, and said aloud, where the driver has no XDP.
    #[default]
    Auto,
    /// In the driver (`XDP_FLAGS_DRV_MODE`), or not at all.
    Native,
    /// In the kernel's receive path (`XDP_FLAGS_SKB_MODE`): any interface, slower.
    Generic,
}

/// Who adds the services' addresses to this host and removes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressOwner {
    /// The daemon.
    #[default]
    Director,
    /// Someone else: keepalived, the distribution's network configuration, a person.
    Operator,
}

/// Another director: a frame from it was scheduled there and is passed to this host as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Its Ethernet address, in the order of the wire.
    Mac([u8; 6]),
    /// Its IP address; the neighbour table says which Ethernet address that is.
    Address(IpAddr),
}

/// How long a connection without packets is kept: `ipvsadm --set tcp tcpfin udp`.
///
/// Whole seconds, 1 s to 31 days, as ipvsadm(8) has them. The defaults are IPVS's (Linux 6.18,
/// `net/netfilter/ipvs/ip_vs_proto_tcp.c` and `ip_vs_proto_udp.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Established TCP; 900 s.
    pub tcp: Duration,
    /// TCP after a FIN; 120 s.
    pub tcp_fin: Duration,
    /// UDP; 300 s.
    pub udp: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp: Duration::from_secs(900),
            tcp_fin: Duration::from_secs(120),
            udp: Duration::from_secs(300),
        }
    }
}

/// What becomes of connections in doubt: IPVS's sysctls of the same names (`net.ipv4.vs.*`).
///
/// The defaults are [`lb_common::wire::Options::DEFAULT`], which says why they are not all IPVS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a sysctl of its own")]
pub struct Connections {
    /// What a SYN on a connection that is over does; 0: it stays with its real server, 1: it chooses anew after
    /// TIME_WAIT and CLOSE, 2 and 3: after FIN_WAIT, too.
    pub conn_reuse_mode: u32,
    /// Whether connections end at once when their real server is removed; else what comes for them is dropped.
    pub expire_nodest_conn: bool,
    /// Whether any TCP segment but an RST opens a connection.
    pub sloppy_tcp: bool,
    /// Whether any SCTP packet opens a connection.
    pub sloppy_sctp: bool,
    /// Whether a real server of weight 0 loses the clients that persistent services remember for it.
    pub expire_quiescent_template: bool,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            conn_reuse_mode: 2,
            expire_nodest_conn: true,
            sloppy_tcp: false,
            sloppy_sctp: false,
            expire_quiescent_template: false,
        }
    }
}

impl Connections {
    /// As the tables have them.
    pub const fn options(self) -> Options {
        let Self { conn_reuse_mode, expire_nodest_conn, sloppy_tcp, sloppy_sctp, expire_quiescent_template } =
            self;
        Options::new(conn_reuse_mode, expire_nodest_conn, sloppy_tcp, sloppy_sctp)
            .with_expire_quiescent_template(expire_quiescent_template)
    }
}

/// How many entries the tables of the data plane hold. Memory for them is taken at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSizes {
    /// Connections, 1,024 to 15,000,000.
    pub flows: u32,
    /// Virtual services, 1 to 65,536.
    pub services: u32,
    /// Addresses of classes, counted once; 1 to 65,536. Those of services have room of their own.
    pub class_addresses: u32,
    /// Rules of classes, see [`crate::class`], 1 to 1,048,576. Addresses with the same ones share them.
    pub class_rules: u32,
    /// Real servers, counted once for each service; 1 to [`lb_common::wire::DESTINATION_MAX`].
    pub destinations: u32,
    /// Slots of all services' rings together, 1 to 67,108,864; see [`VirtualService::ring_slots`].
    pub ring_slots: u32,
    /// Clients that persistent services remember, counted once for each service; 1,024 to 15,000,000.
    pub templates: u32,
    /// Prefixes in the lists of all services, 1 to 1,048,576; see [`Guard::entries`]. A list that is replaced needs
    /// its place twice for a moment. Each takes up to 200 bytes, and only while it is there.
    pub sources: u32,
    /// Service addresses that lblc remembers, 1 to 1,048,576. Each takes 80 bytes.
    pub localities: u32,
}

impl Default for TableSizes {
    fn default() -> Self {
        Self {
            flows: 1_000_000,
            services: 1_024,
            class_addresses: 4_096,
            class_rules: 4_096,
            destinations: 16_384,
            ring_slots: 1_048_576,
            templates: 65_536,
            sources: 16_384,
            localities: 16_384,
        }
    }
}

/// An address and port, or a mark, whose connections are spread over real servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualService {
    /// Its name.
    pub id: ServiceId,
    /// How real servers are picked.
    pub scheduler: Scheduler,
    /// What the scheduler is told besides; none unless it is sh or mh.
    pub scheduler_flags: SchedulerFlags,
    /// How many slots mh and maglev have; the default for all others.
    pub ring_size: RingSize,
    /// Whether every datagram is scheduled for itself, and no connection is kept; UDP only. A service by mark that has
    /// TCP too has connections for that.
    pub one_packet: bool,
    /// Whether a client's connections go to one real server; never with [`Self::one_packet`].
    pub persistence: Option<Persistence>,
    /// Whose new connections it takes, and how many.
    pub guard: Guard,
    /// How real servers are found to be up; `None`: they always are.
    pub check: Option<Check>,
    /// In the order of the file, at most [`REAL_SERVERS_MAX`]; no (address, port) twice.
    pub real_servers: Vec<RealServer>,
}

impl VirtualService {
    /// Whether some of its real servers can be overloaded.
    pub fn has_thresholds(&self) -> bool {
        self.real_servers.iter().any(|real_server| real_server.thresholds.upper > 0)
    }

    /// How many slots its ring needs while all real servers are up; 0: none can be picked.
    ///
    /// Without some of them it never needs more: the sum of weights falls and their greatest
    /// common divisor can only rise. What hashes keeps its slots until nobody is left.
    pub fn ring_slots(&self) -> u64 {
        let weights = || self.real_servers.iter().map(|real_server| real_server.weight);
        let eligible = || weights().filter(|&weight| weight > 0).count() as u64;
        let if_any = |any: bool, slots: u32| if any { u64::from(slots) } else { 0 };
        match self.scheduler {
            Scheduler::Wrr => wrr_slots(weights()),
            Scheduler::Fo if !self.has_thresholds() => eligible().min(1),
            // Who drains keeps its slots.
            Scheduler::Sh | Scheduler::Dh => if_any(!self.real_servers.is_empty(), SH_SLOTS),
            Scheduler::Mh => if_any(!self.real_servers.is_empty(), self.ring_size.slots()),
            Scheduler::Maglev => if_any(eligible() > 0, self.ring_size.slots()),
            Scheduler::Rr
            | Scheduler::Fo
            | Scheduler::Lc
            | Scheduler::Wlc
            | Scheduler::Sed
            | Scheduler::Nq
            | Scheduler::Ovf
            | Scheduler::Twos
            | Scheduler::Lblc
            | Scheduler::Lblcr => eligible(),
        }
    }
}

/// Flags of sh and mh; ipvsadm(8), `--sched-flags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SchedulerFlags {
    /// The client's port counts too: `sh-port`, `mh-port`.
    pub port: bool,
    /// Whose real server takes nothing new is given another one: `sh-fallback`, `mh-fallback`.
    pub fallback: bool,
}

/// A host that answers for a virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServer {
    /// What people call it: 1 to 64 characters, none of them a control character; one service has
    /// no name twice.
    pub name: Option<String>,
    /// Unicast, of the family of the service's address unless it is behind a tunnel.
    pub address: IpAddr,
    /// The service's port, unless it is masqueraded: no other forward method rewrites it. 0: packets keep theirs. Of a
    /// service by mark it may be another one, which checks then ask.
    pub port: u16,
    /// 0 to [`WEIGHT_MAX`]. 0 drains: no new connections, the old ones stay.
    pub weight: u32,
    /// How many connections it may have.
    pub thresholds: Thresholds,
    /// How packets get there.
    pub forward: ForwardMethod,
    /// The interface that it is reached by; `None`: routes say. Never with [`ForwardMethod::Local`],
    /// always with a link-local address.
    pub interface: Option<String>,
}

/// When a real server is overloaded and gets nothing new; `ipvsadm -x` and `-y`. Active and inactive connections count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Thresholds {
    /// At so many connections it is, 0 to [`THRESHOLD_MAX`]; 0: never.
    pub upper: u32,
    /// Below so many it is no longer, 0 to [`Self::upper`]; 0: below three quarters of that.
    pub lower: u32,
}

/// How a packet gets from the director to a real server.
///
/// Displayed in the words of `ipvsadm -L`: `Route`, `Local`, `Tunnel`, `Masq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ForwardMethod {
    /// `ipvsadm -g`: the packet as it is in a frame to the real server, which has the service's
    /// address and answers the client itself.
    #[default]
    DirectRouting,
    /// The real server is this host.
    Local,
    /// `ipvsadm -i`: the packet inside another one, over any number of routers; the real server has the
    /// service's address, unpacks and answers the client itself.
    Tunnel(Tunnel),
    /// `ipvsadm -m`: the packet under the real server's address and port; the real server answers through
    /// the director, which gives the answer the service's again.
    Masquerade,
}

/// What a tunnel's outer header is; ipvsadm(8), `--tun-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// IP in IP.
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// The real server's UDP port, 1 to 65535; `--tun-port`.
        port: u16,
        /// Whether outer UDP has a checksum; `--tun-csum`.
        checksum: bool,
    },
    /// GRE.
    Gre {
        /// Whether it has a checksum; `--tun-csum`.
        checksum: bool,
    },
}

impl fmt::Display for ForwardMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::DirectRouting => "Route",
            Self::Local => "Local",
            Self::Tunnel(_) => "Tunnel",
            Self::Masquerade => "Masq",
        })
    }
}

/// How a real server is found to be up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub kind: CheckKind,
    /// From one probe to the next, 100 ms to 1 day.
    pub interval: Duration,
    /// A probe without an answer by then has failed; 10 ms to [`Self::interval`].
    pub timeout: Duration,
    /// Probes in a row that must pass before a real server is up, 1 to 1,000.
    pub rise: u32,
    /// Probes in a row that must fail before a real server is down, 1 to 1,000.
    pub fall: u32,
}

impl Check {
    /// A check of this kind with the defaults: every 2 s, 1 s to answer, up after 2, down after 3.
    pub const fn new(kind: CheckKind) -> Self {
        Self { kind, interval: Duration::from_secs(2), timeout: Duration::from_secs(1), rise: 2, fall: 3 }
    }
}

/// What a check asks of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Whether it accepts a TCP connection; keepalived's `TCP_CHECK`.
    Tcp {
        /// 1 to 65535; `None`: the real server's.
        port: Option<u16>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(scheduler: Scheduler, weights: &[u32]) -> VirtualService {
        let real_servers = weights
            .iter()
            .enumerate()
            .map(|(i, &weight)| RealServer {
                name: None,
                address: IpAddr::from([10, 0, 1, i as u8]),
                port: 80,
                weight,
                thresholds: Thresholds::default(),
                forward: ForwardMethod::DirectRouting,
                interface: None,
            })
            .collect();
        let address = IpAddr::from([10, 0, 0, 50]);
        let id = ServiceId::Address { protocol: Protocol::Tcp, address, port: 80 };
        VirtualService {
            id,
            scheduler,
            scheduler_flags: SchedulerFlags::default(),
            ring_size: RingSize::default(),
            one_packet: false,
            persistence: None,
            guard: Guard::default(),
            check: None,
            real_servers,
        }
    }

    #[test]
    fn a_service_is_displayed_as_ipvsadm_does() {
        assert_eq!(service(Scheduler::Rr, &[]).id.to_string(), "TCP 10.0.0.50:80");
        let address = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x50]);
        let id = ServiceId::Address { protocol: Protocol::Udp, address, port: 0 };
        assert_eq!(id.to_string(), "UDP [fd00::50]:0");
        let id = ServiceId::Address { protocol: Protocol::Sctp, address, port: 80 };
        assert_eq!(id.to_string(), "SCTP [fd00::50]:80");
        assert_eq!(ServiceId::of_mark(7, IpAddr::from([10, 0, 0, 50])).to_string(), "FWM 7");
        assert_eq!(ServiceId::of_mark(u32::MAX, address).to_string(), "FWM 4294967295 IPv6");
        assert_eq!(format!("{:>6}", ForwardMethod::Local), " Local");
        assert_eq!(ForwardMethod::Tunnel(Tunnel::Ipip).to_string(), "Tunnel");
    }

    #[test]
    fn the_defaults_are_those_of_the_tables() {
        assert_eq!(Connections::default().options(), Options::DEFAULT);
    }

    #[test]
    fn a_netmask_is_the_bits_that_count() {
        let bytes = |netmask: Netmask| u128::from_be_bytes(netmask.bytes());
        assert_eq!(bytes(Netmask::V4(std::net::Ipv4Addr::new(255, 255, 0, 255))), 0xffff_00ff << 96);
        assert_eq!(bytes(Netmask::V6(1)), 1 << 127);
        assert_eq!(bytes(Netmask::V6(64)), u128::from(u64::MAX) << 64);
        assert_eq!(bytes(Netmask::V6(128)), u128::MAX);
        assert_eq!(bytes(Netmask::whole(Family::V4)), u128::from(u32::MAX) << 96);
    }

    #[test]
    fn a_ring_has_a_slot_for_each_pick_of_one_round() {
        for (scheduler, weights, slots) in [
            (Scheduler::Rr, &[5, 0, 7][..], 2),
            (Scheduler::Rr, &[], 0),
            (Scheduler::Wrr, &[10, 20, 30], 6),
            (Scheduler::Wrr, &[10, 0, 4], 7),
            (Scheduler::Wrr, &[0, 0], 0),
            (Scheduler::Wrr, &[65_535, 65_534], 131_069),
            (Scheduler::Fo, &[5, 0, 7], 1),
            (Scheduler::Fo, &[0], 0),
            (Scheduler::Wlc, &[5, 0, 7], 2),
            (Scheduler::Sh, &[0, 0], 256),
            (Scheduler::Dh, &[], 0),
            (Scheduler::Mh, &[0], 4_093),
            (Scheduler::Mh, &[], 0),
            (Scheduler::Maglev, &[1, 0], 4_093),
            (Scheduler::Maglev, &[0], 0),
        ] {
            assert_eq!(service(scheduler, weights).ring_slots(), slots, "{scheduler:?} {weights:?}");
        }
    }
}
