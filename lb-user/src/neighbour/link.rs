//! What a frame needs of its egress interface, read from the kernel's link messages.
//! It refuses to know what a device is stacked on.

use std::collections::BTreeMap;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};

use super::{Mac, Unreachable};

/// All interfaces of the namespace, by index.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<u32, Link>);

/// An interface that can send Ethernet frames now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Egress {
    /// The source of frames.
    pub(super) mac: Mac,
    /// In bytes, without the Ethernet header.
    pub(super) mtu: u32,
}

#[derive(Debug)]
struct Link {
    name: String,
    /// `None` on an interface that isn't Ethernet.
    mac: Option<Mac>,
    mtu: u32,
    /// Up and with carrier: what the kernel's own look-ups call not `linkdown`.
    carries: bool,
}

impl Links {
    /// Takes over a link that is new or changed.
    pub(super) fn put(&mut self, message: &LinkMessage) {
        // A bridge tells of its ports in messages of its own family, which lack most attributes.
        if message.header.interface_family == AddressFamily::Unspec {
            self.0.insert(message.header.index, Link::read(message));
        }
    }

    /// Forgets a link that is gone.
    pub(super) fn remove(&mut self, message: &LinkMessage) {
        if message.header.interface_family == AddressFamily::Unspec {
            self.0.remove(&message.header.index);
        }
    }

    /// The interface with this index, if frames can leave by it.
    pub(super) fn egress(&self, interface: u32) -> Result<Egress, Unreachable> {
        let Some(link) = self.0.get(&interface) else {
            return Err(Unreachable::LinkDown(format!("number {interface}")));
        };
        let mac = link.mac.ok_or_else(|| Unreachable::NotEthernet(link.name.clone()))?;
        if !link.carries {
            return Err(Unreachable::LinkDown(link.name.clone()));
        }
        Ok(Egress { mac, mtu: link.mtu })
    }
}

impl Link {
    fn read(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
        let mut link = Self {
            name: String::new(),
            mac: None,
            mtu: 0,
            carries: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) if ethernet => link.mac = bytes.as_slice().try_into().ok(),
                _ => {}
            }
        }
        link
    }
}
