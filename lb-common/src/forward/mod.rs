//! From a destination to header edits, one file a forward method.
//!
//! Nothing here looks anything up: all that an edit needs is in the destination's record.

mod direct;

use crate::net::Packet;
use crate::verdict::Verdict;
use crate::wire::Destination;

/// How a flow's packets are sent on.
pub trait Forward {
    /// Sends to a real server on the same link: new Ethernet addresses, one hop less.
    ///
    /// Nothing is written where it fails.
    fn direct_routing(&self, packet: &mut impl Packet, destination: &Destination) -> Result<(), Verdict>;
}
