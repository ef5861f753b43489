//! How a frame gets from this host to a real server or to a peer director: the interface, its Ethernet
//! address, the neighbour's Ethernet address, the MTU and the address of ours that the kernel would send from,
//! followed by netlink and told again when they change.
//!
//! The kernel decides, here it is only asked: the route by `RTM_GETROUTE`, once for each address and again
//! whenever links, addresses, rules or routes change; the neighbour by its entry in the kernel's table, which
//! the kernel is asked to keep resolved ("managed", `NTF_EXT_MANAGED`, Linux 5.16) because packets that are
//! forwarded by XDP never touch that entry and it would otherwise age away.
//!
//! Entries that are kept at our request carry [`OUR_PROTOCOL`] (`ip neigh` shows `managed proto 108`), so a
//! daemon that was killed leaves nothing that the next one doesn't recognize. When an address is no longer
//! watched, the flag is taken away and the entry ages as any other. What the operator made, permanent or
//! managed, stays as it is.
//!
//! It refuses to know services, weights and forward methods, and it doesn't look below the egress interface:
//! for a VLAN upper, a bridge, a bond or a macvlan it names that device, not the one that the frame leaves by.
//!
//! Limits of the kernel's own that are passed on:
//! - An ARP reply within a second (`locktime`) of the last change of an entry doesn't change it again; a gratuitous
//!   one does.
//! - A multipath route is answered with one of its next hops, chosen without the client's address.
//! - A neighbour that failed is asked for every second, so it is found about a second after it comes back.

mod follow;
mod hop;
mod kernel;
mod link;
mod path;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use follow::Follower;

/// An Ethernet address, in the order in which it is sent.
pub type Mac = [u8; 6];

/// The label (`NDA_PROTOCOL`, Linux 5.0) of neighbour entries that are managed at our request: `l`, 108.
///
/// Numbers of routing protocols share that space; 108 is not assigned in the kernel's `rtnetlink.h` nor in
/// iproute2's `rt_protos`.
pub const OUR_PROTOCOL: u8 = b'l';

/// Events that may wait for their reader. More are not lost: an address tells its latest state when there is room.
const WAITING_EVENTS: usize = 256;

/// How frames get to an address, as the kernel would send them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reach {
    /// On the link: a frame goes out of `interface` with these Ethernet addresses.
    OnLink {
        /// Index of the egress interface.
        interface: u32,
        /// Ethernet address of the egress interface.
        source: Mac,
        /// Ethernet address of the neighbour: the last known one while the kernel is only probing it again.
        destination: Mac,
        /// The longest packet, in bytes from the IP header on: the interface's MTU, or the route's if less.
        mtu: u32,
        /// The address of this host that the kernel would send from (`RTA_PREFSRC`), of the family of the
        /// address that is asked for: the route's `src`, or else chosen from those of the interface and the
        /// host. `None`: there is none to choose.
        from: Option<IpAddr>,
    },
    /// On the link, but nobody answers for the address (yet). It is asked for every second.
    Unresolved {
        /// Index of the egress interface.
        interface: u32,
        /// Ethernet address of the egress interface.
        source: Mac,
        /// The longest packet in bytes, as in [`Reach::OnLink`].
        mtu: u32,
        /// The address of this host to send from, as in [`Reach::OnLink`].
        from: Option<IpAddr>,
    },
    /// Reached through a router. Direct routing refuses it; a tunnel or masquerade sends to the router.
    Routed {
        /// The router's address: of the other family for a route `via inet6`.
        gateway: IpAddr,
        /// Index of the egress interface.
        interface: u32,
        /// Ethernet address of the egress interface.
        source: Mac,
        /// Ethernet address of the router, `None` while it isn't known.
        destination: Option<Mac>,
        /// The longest packet in bytes, as in [`Reach::OnLink`].
        mtu: u32,
        /// The address of this host to send from, as in [`Reach::OnLink`].
        from: Option<IpAddr>,
    },
    /// An address of this host.
    Local,
    /// No frame gets there.
    Unreachable {
        /// The reason, for a person.
        why: Unreachable,
    },
}

/// Why no frame gets to an address. Displayed, it completes "10.0.0.2 can't be reached: ".
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Unreachable {
    /// The kernel knows no route.
    #[error("there is no route to it")]
    NoRoute,
    /// A route of type blackhole, prohibit, unreachable or throw.
    #[error("a route of type {0} refuses it")]
    RefusedByRoute(&'static str),
    /// A broadcast, multicast or anycast address.
    #[error("it is not the address of one host")]
    NotOneHost,
    /// `fe80::/10`: the same address exists on every link.
    #[error("it is a link-local address, which names no interface; use a global or unique local one")]
    LinkLocal,
    /// The route adds a header of its own (`ip route ... encap`).
    #[error("its route encapsulates packets (\"encap\"), which XDP can't do in the kernel's stead")]
    Encapsulated,
    /// The egress interface is down, without carrier or just gone.
    #[error("interface {0} is down or has no carrier")]
    LinkDown(String),
    /// The egress interface has no Ethernet addresses (`tun`, `ppp`, `wg`, ...).
    #[error("interface {0} is not Ethernet")]
    NotEthernet(String),
    /// The kernel gave another answer.
    #[error("the kernel answered the look-up of its route with: {0}")]
    Kernel(String),
}

/// One watched address and how it is reached from now on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// The watched address.
    pub address: IpAddr,
    /// How frames get there.
    pub reach: Reach,
}

/// How the kernel is made to keep neighbours resolved.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Keeping {
    /// By a managed entry. Where the kernel refuses it, as [`Keeping::Asked`].
    #[default]
    Managed,
    /// By asking (`NTF_USE`) when the entry isn't usable. It leaves no flag in the neighbour table, but a MAC that
    /// changes without a gratuitous ARP goes unnoticed: a stale entry is not probed.
    Asked,
}

/// Why neighbours can't be followed.
#[derive(Debug, Error)]
pub enum NeighbourError {
    /// No socket, or no subscription.
    #[error("can't open a netlink socket to follow links, routes and neighbours: {0}")]
    Open(#[source] io::Error),
    /// The links could not be listed at the start.
    #[error("can't list the network interfaces by netlink: {0}")]
    Links(#[source] io::Error),
    /// The socket that brings the news failed; nothing is followed any more.
    #[error(
        "the netlink socket that brings changes of links, routes and neighbours was closed; restart the daemon"
    )]
    Closed,
    /// The task was ended from outside, with the runtime.
    #[error("the task that follows neighbours was ended before it took away its managed entries")]
    Ended,
}

/// The task that follows neighbours.
///
/// Dropped, it takes away what it asked of the kernel if its runtime lives long enough; [`Neighbours::stop`]
/// waits for that.
#[derive(Debug)]
pub struct Neighbours {
    watched: watch::Sender<BTreeSet<IpAddr>>,
    task: JoinHandle<Result<(), NeighbourError>>,
}

impl Neighbours {
    /// Starts to follow the network namespace of the calling thread, inside a tokio runtime.
    ///
    /// The receiver ends (`None`) when following is no longer possible; [`Neighbours::stop`] then tells why.
    pub fn start(keeping: Keeping) -> Result<(Self, mpsc::Receiver<Event>), NeighbourError> {
        let (events, receiver) = mpsc::channel(WAITING_EVENTS);
        let (watched, wanted) = watch::channel(BTreeSet::new());
        // Sockets belong to the namespace of the thread that opens them, so they are opened here, not in the task.
        let follower = Follower::open(keeping, wanted, events)?;
        Ok((Self { watched, task: tokio::spawn(follower.run()) }, receiver))
    }

    /// Replaces the set of watched addresses. Each that is new to the set gets one event soon, whatever it says,
    /// and then one for each change; what left the set gets none.
    pub fn watch(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.watched.send_replace(addresses.into_iter().collect());
    }

    /// Ends it, and returns when everything that it asked of the kernel is taken away.
    pub async fn stop(self) -> Result<(), NeighbourError> {
        drop(self.watched);
        self.task.await.unwrap_or(Err(NeighbourError::Ended))
    }
}
