//! The director's daemon and the command `lb`, as a library; `main.rs` only calls it.
//!
//! ```text
//! config    a file -> Model, or a line that says what is wrong with it
//! model     what the operator wants: director, virtual services, real servers
//! ```
//!
//! What happens to a packet is decided in `lb_common` and nowhere here.

pub mod config;
pub mod dataplane;
pub mod model;
pub mod neighbour;
pub mod plan;
pub mod service_address;
