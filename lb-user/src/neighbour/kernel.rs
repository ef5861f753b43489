//! The questions that are asked of the kernel by netlink, and the subscription to its news.
//! It refuses to remember anything: each call is one request and its answer.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteProtocol};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};
use tokio::time::timeout;

use super::hop::Entry;
use super::path::Path;
use super::{NeighbourError, OUR_PROTOCOL, Unreachable};

/// The kernel answers a request while it takes it; this long says that the answer was lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Changes of links, neighbours, addresses, routes and rules.
pub(super) type News = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// A socket for requests.
#[derive(Debug)]
pub(super) struct Kernel(Handle);

/// A neighbour: an address on the link of an interface.
pub(super) type Neighbour = (u32, IpAddr);

/// Opens the subscription, on a socket of its own: an overrun by news must not lose the answer to a request.
pub(super) fn subscribe() -> Result<News, NeighbourError> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Neigh,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
    ];
    let (connection, _, news) = rtnetlink::new_multicast_connection(&groups).map_err(NeighbourError::Open)?;
    // It ends with the receiver.
    tokio::spawn(connection);
    Ok(news)
}

/// Reads the address of an entry of the neighbour table and the entry; `None` for other tables (bridges).
pub(super) fn read_neighbour(message: &NeighbourMessage) -> Option<(Neighbour, Entry)> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    // Proxy entries are answers that this host gives for others.
    let proxy = message.header.flags.contains(NeighbourFlags::Proxy);
    (!proxy).then(|| ((message.header.ifindex, address), Entry::read(message)))
}

impl Kernel {
    /// Opens the socket in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self, NeighbourError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NeighbourError::Open)?;
        // It ends with the handle.
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// All links.
    pub(super) async fn links(&self) -> io::Result<Vec<LinkMessage>> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.ask(request, NLM_F_REQUEST | NLM_F_DUMP).await?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(link),
                _ => None,
            })
            .collect())
    }

    /// The path that the kernel would use itself. An error is a question without an answer, not "no route".
    pub(super) async fn path(&self, address: IpAddr) -> io::Result<Path> {
        if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
            return Ok(Path::Nowhere(Unreachable::LinkLocal));
        }
        let mut route = RouteMessage::default();
        route.header.address_family = family(address);
        route.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
        route.header.flags = RouteFlags::LookupTable;
        route.attributes.push(RouteAttribute::Destination(address.into()));
        match self.ask(RouteNetlinkMessage::GetRoute(route), NLM_F_REQUEST).await {
            Ok(answers) => match answers.first() {
                Some(RouteNetlinkMessage::NewRoute(route)) => Ok(Path::read(route)),
                _ => Err(io::Error::other("no route in the answer")),
            },
            Err(error) if error.raw_os_error().is_some() => Ok(Path::refused(&error)),
            Err(error) => Err(error),
        }
    }

    /// The entry of a neighbour, if there is one.
    pub(super) async fn entry(&self, neighbour: Neighbour) -> io::Result<Option<Entry>> {
        let request = RouteNetlinkMessage::GetNeighbour(message(neighbour));
        match self.ask(request, NLM_F_REQUEST).await {
            Ok(answers) => Ok(answers.iter().find_map(|answer| match answer {
                RouteNetlinkMessage::NewNeighbour(found) => read_neighbour(found).map(|(_, entry)| entry),
                _ => None,
            })),
            // No entry, or its interface is gone.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All neighbours that are managed with our label.
    pub(super) async fn ours(&self) -> io::Result<Vec<(Neighbour, Entry)>> {
        let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let answers = self.ask(request, NLM_F_REQUEST | NLM_F_DUMP).await?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewNeighbour(found) => read_neighbour(found),
                _ => None,
            })
            .filter(|(_, entry)| entry.is_ours())
            .collect())
    }

    /// Asks for a managed entry, which the kernel resolves at once and keeps so.
    pub(super) async fn manage(&self, neighbour: Neighbour, labelled: bool) -> io::Result<()> {
        let mut request = message(neighbour);
        request.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        if labelled {
            request.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::from(OUR_PROTOCOL)));
        }
        self.set(request, NLM_F_CREATE).await
    }

    /// Asks to resolve an entry once.
    pub(super) async fn resolve(&self, neighbour: Neighbour) -> io::Result<()> {
        let mut request = message(neighbour);
        request.header.flags = NeighbourFlags::Use;
        self.set(request, NLM_F_CREATE).await
    }

    /// Takes the managed flag and our label away and leaves the entry otherwise as it is.
    pub(super) async fn release(&self, neighbour: Neighbour, labelled: bool) -> io::Result<()> {
        let mut request = message(neighbour);
        // A request without the flag clears it; with NTF_USE it sets nothing else (`__neigh_update`). Any other
        // request would also have to set the state, and with it drop what the kernel knows.
        request.header.flags = NeighbourFlags::Use;
        if labelled {
            // Zero doesn't overwrite.
            request.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::Kernel));
        }
        self.set(request, 0).await
    }

    async fn set(&self, request: NeighbourMessage, flags: u16) -> io::Result<()> {
        self.ask(RouteNetlinkMessage::NewNeighbour(request), NLM_F_REQUEST | NLM_F_ACK | flags)
            .await
            .map(drop)
    }

    async fn ask(&self, request: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(request);
        request.header.flags = flags;
        let mut answers = self.0.clone().request(request).map_err(io::Error::other)?;
        let collect = async {
            let mut messages = Vec::new();
            while let Some(answer) = answers.next().await {
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => messages.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    _ => {}
                }
            }
            Ok(messages)
        };
        timeout(PATIENCE, collect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn message((interface, address): Neighbour) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = interface;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
