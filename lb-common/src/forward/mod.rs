//! From a destination to header edits, one file a forward method.
//!
//! Nothing here looks anything up: all that an edit needs is in the destination's record. Where an
//! edit fails, nothing was written.

mod decapsulate;
mod direct;
mod icmp_error;
mod masquerade;
mod tunnel;

pub use decapsulate::{Decapsulation, decapsulate, decapsulated_ecn};
pub use direct::direct_routing;
pub(crate) use direct::readdress;
pub use icmp_error::{QUOTED_MAX, icmp_error};
pub use masquerade::{
    Endpoint, Headers, masquerade, masquerade_icmp, masquerade_icmp_reply, masquerade_reply,
};
pub use tunnel::tunnel;
