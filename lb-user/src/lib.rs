//! The director's daemon and the command `lb`, as a library; `main.rs` only calls it.
//!
//! ```text
//! cli              what can be said on the command line
//! daemon           everything that happens, and the one task that owns what follows
//! check            real servers are asked whether they live
//! neighbour        how a frame gets to an address, from netlink
//! service_address  the services' addresses on this host
//! plan             what is held, what is wanted -> ordered changes
//! dataplane        the tables: in the kernel, and their twin in memory
//! metrics          what Prometheus reads
//! config           a file -> Model, or a line that says what is wrong with it
//! class            classes -> the rules of one address
//! model            what the operator wants: director, classes, virtual services, real servers
//! ```
//!
//! What happens to a packet is decided in `lb_common` and nowhere here.

pub mod check;
pub mod class;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod metrics;
pub mod model;
pub mod neighbour;
pub mod plan;
pub mod service_address;
