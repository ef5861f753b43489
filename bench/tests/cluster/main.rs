//! A whole cluster in the lab: the real daemon, real servers, real clients. One file a promise.
//!
//! ```text
//! direct_routing  who answers, in LVS's order
//! tunnel          likewise behind routers, and what is too big is said to its sender
//! classes         services by mark and on all ports, through reloads
//! masquerade      under the real server's address and port, and back on the client's own line
//! schedulers      whom each scheduler picks, as Linux did
//! persistence     a client's requests reach one real server, until it is forgotten
//! survival        reload, crash and death cost no connection and no datagram
//! refusal         what is wrong is said in one line, and nothing changes; stop leaves nothing
//! two_directors   co-located directors schedule no packet twice
//! capture         what passes a host, as tshark sees it
//! config          the configs that all of them use, and their metrics
//! transfer        much data, there and back
//! traffic         connections and datagrams that tell what they lost
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capture;
mod classes;
mod config;
mod direct_routing;
mod masquerade;
mod persistence;
mod refusal;
mod schedulers;
mod survival;
mod traffic;
mod transfer;
mod tunnel;
mod two_directors;
