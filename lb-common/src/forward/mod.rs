//! From a destination to header edits, one file a forward method.
//!
//! Nothing here looks anything up: all that an edit needs is in the destination's record. Where an
//! edit fails, nothing was written.

mod direct;
mod masquerade;

pub use direct::direct_routing;
pub use masquerade::{
    Endpoint, Place, masquerade, masquerade_icmp, masquerade_icmp_reply, masquerade_reply,
};
