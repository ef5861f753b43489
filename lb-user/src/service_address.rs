//! Service addresses that the kernel answers ARP and neighbour discovery for: put on an interface, and exactly those
//! taken away again.
//!
//! Which ones are ours is written in the kernel itself: the address's protocol (`IFA_PROTO`, Linux 5.18; `ip
//! address` of iproute2 6.3 and later shows `proto 108`). So there is no file that could be wrong after `kill -9`;
//! the next daemon, or `lb stop`, finds what is there.
//!
//! An address is added as /32 or /128, IPv6 without duplicate address detection (two directors hold it during a
//! failover), without a prefix route and with a preferred lifetime of 0, so that the kernel doesn't choose it as
//! the source of its own connections (RFC 6724, rule 3).
//!
//! It refuses to know services, and which interface they belong to. It doesn't announce an address: on a failover
//! gratuitous ARP is the business of the VRRP daemon, or of `net.ipv4.conf.INTERFACE.arp_notify=1`.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;

use futures::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use thiserror::Error;

/// The label (`IFA_PROTO`) of addresses that are ours: `l`, 108. The kernel's `if_addr.h` assigns 1 to 3.
pub const OUR_PROTOCOL: u8 = b'l';

/// A lifetime without end (`INFINITY_LIFE_TIME` of the kernel's `if_addr.h`), else in seconds.
const FOREVER: u32 = u32::MAX;

/// An address on an interface.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Placed {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
}

/// What [`reconcile`] did.
#[derive(Debug, Default)]
#[must_use = "an address that could not be added is only told here"]
pub struct Changes {
    /// Added now.
    pub added: Vec<Placed>,
    /// Ours from before: left by an earlier call, or by a daemon that was killed.
    pub kept: Vec<Placed>,
    /// Wanted, and there already by somebody else's doing; never removed by us.
    pub foreign: Vec<Placed>,
    /// Ours, no longer wanted, and removed now.
    pub removed: Vec<Placed>,
    /// What the kernel refused. The other addresses were changed all the same.
    pub failed: Vec<ServiceAddressError>,
}

/// Why service addresses aren't as they should be.
#[derive(Debug, Error)]
pub enum ServiceAddressError {
    /// No socket.
    #[error("can't open a netlink socket for service addresses: {0}")]
    Open(#[source] io::Error),
    /// The interface isn't there.
    #[error(
        "there is no interface {interface} to put service addresses on: create it or name another ({cause})"
    )]
    NoInterface {
        /// The name that was given.
        interface: String,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// The kernel's list could not be read.
    #[error("can't list the addresses of the network interfaces: {0}")]
    List(#[source] io::Error),
    /// An address was refused.
    #[error("can't add service address {0}: {1}")]
    Add(Placed, #[source] io::Error),
    /// An address stays.
    #[error("can't remove service address {0}: {1}; remove it with `ip address del`")]
    Remove(Placed, #[source] io::Error),
}

/// Opens a netlink socket in the network namespace of the calling thread and serves it on the current runtime.
pub fn open() -> Result<Handle, ServiceAddressError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(ServiceAddressError::Open)?;
    // It ends with the last handle.
    tokio::spawn(connection);
    Ok(handle)
}

/// Makes the service addresses of ours on `interface` equal to `wanted`. Other interfaces aren't touched.
///
/// An address that is already on the interface without our label, with any prefix length, is left alone.
pub async fn reconcile(
    handle: &Handle,
    interface: &str,
    wanted: &BTreeSet<IpAddr>,
) -> Result<Changes, ServiceAddressError> {
    let index = index_of(handle, interface).await?;
    let present = list(handle, Some(index)).await?;
    let mut changes = Changes::default();
    let placed = |address| Placed { interface: interface.to_owned(), address };

    for found in present.iter().filter(|found| found.ours && !wanted.contains(&found.address)) {
        remove(handle, found, placed(found.address), &mut changes.removed, &mut changes.failed).await;
    }
    for address in wanted {
        let found = present.iter().filter(|found| found.address == *address);
        match found.map(|found| found.ours).max() {
            Some(true) => changes.kept.push(placed(*address)),
            Some(false) => changes.foreign.push(placed(*address)),
            None => match add(handle, index, *address).await {
                Ok(()) => changes.added.push(placed(*address)),
                // Added by somebody between our look and our request.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                    changes.foreign.push(placed(*address));
                }
                Err(error) => changes.failed.push(ServiceAddressError::Add(placed(*address), error)),
            },
        }
    }
    Ok(changes)
}

/// All service addresses of ours, on all interfaces.
pub async fn ours(handle: &Handle) -> Result<Vec<Placed>, ServiceAddressError> {
    let mut placed = Vec::new();
    for found in list(handle, None).await?.iter().filter(|found| found.ours) {
        placed.push(Placed { interface: name_of(handle, found.index).await, address: found.address });
    }
    Ok(placed)
}

/// Removes all service addresses of ours from all interfaces. Only `removed` and `failed` are filled.
pub async fn remove_all(handle: &Handle) -> Result<Changes, ServiceAddressError> {
    let mut changes = Changes::default();
    for found in list(handle, None).await?.iter().filter(|found| found.ours) {
        let placed = Placed { interface: name_of(handle, found.index).await, address: found.address };
        remove(handle, found, placed, &mut changes.removed, &mut changes.failed).await;
    }
    Ok(changes)
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on interface {}", self.address, self.interface)
    }
}

/// An address as the kernel lists it.
struct Found {
    index: u32,
    address: IpAddr,
    ours: bool,
    message: AddressMessage,
}

impl Found {
    fn read(message: AddressMessage) -> Option<Self> {
        let (mut local, mut peer, mut ours) = (None, None, false);
        for attribute in &message.attributes {
            match attribute {
                // Of a point-to-point address `Address` is the peer's.
                AddressAttribute::Local(address) => local = Some(*address),
                AddressAttribute::Address(address) => peer = Some(*address),
                AddressAttribute::Protocol(protocol) => ours = u8::from(*protocol) == OUR_PROTOCOL,
                _ => {}
            }
        }
        Some(Self { index: message.header.index, address: local.or(peer)?, ours, message })
    }
}

async fn list(handle: &Handle, index: Option<u32>) -> Result<Vec<Found>, ServiceAddressError> {
    let mut request = handle.address().get();
    if let Some(index) = index {
        request = request.set_link_index_filter(index);
    }
    let messages: Vec<_> =
        request.execute().try_collect().await.map_err(|error| ServiceAddressError::List(cause(error)))?;
    Ok(messages.into_iter().filter_map(Found::read).collect())
}

async fn add(handle: &Handle, index: u32, address: IpAddr) -> io::Result<()> {
    let prefix_length = if address.is_ipv4() { 32 } else { 128 };
    let mut request = handle.address().add(index, address, prefix_length);
    let message = request.message_mut();
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(OUR_PROTOCOL)));
    if address.is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute));
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_preferred = 0;
        lifetime.ifa_valid = FOREVER;
        message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    }
    request.execute().await.map_err(cause)
}

async fn remove(
    handle: &Handle,
    found: &Found,
    placed: Placed,
    removed: &mut Vec<Placed>,
    failed: &mut Vec<ServiceAddressError>,
) {
    match handle.address().del(found.message.clone()).execute().await.map_err(cause) {
        Ok(()) => removed.push(placed),
        // Gone already, with or without its interface.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => {}
        Err(error) => failed.push(ServiceAddressError::Remove(placed, error)),
    }
}

async fn index_of(handle: &Handle, interface: &str) -> Result<u32, ServiceAddressError> {
    let none = |cause| ServiceAddressError::NoInterface { interface: interface.to_owned(), cause };
    let mut links = Box::pin(handle.link().get().match_name(interface).execute());
    match links.try_next().await {
        Ok(Some(link)) => Ok(link.header.index),
        Ok(None) => Err(none(io::ErrorKind::NotFound.into())),
        Err(error) => Err(none(cause(error))),
    }
}

/// The interface's name, or its number where it has just gone.
async fn name_of(handle: &Handle, index: u32) -> String {
    let mut links = Box::pin(handle.link().get().match_index(index).execute());
    let link = links.try_next().await.ok().flatten();
    link.and_then(name).unwrap_or_else(|| format!("number {index}"))
}

fn name(link: LinkMessage) -> Option<String> {
    link.attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    })
}

/// The kernel's answer as the error that it is.
fn cause(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(answer) => answer.to_io(),
        other => io::Error::other(other.to_string()),
    }
}
