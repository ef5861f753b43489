//! Metrics for Prometheus, over HTTP at `/metrics`.
//!
//! ```text
//! snapshot    what the daemon tells
//! family      a metric's name, help and samples
//! encode      snapshot -> families -> text; pure
//! serve       HTTP: asks the daemon for a snapshot, answers with its text
//! ```
//!
//! Counters are the data plane's own absolute values: nothing is added up between scrapes, and what
//! disappears from the data plane disappears from the text.
//!
//! It refuses to know tables and maps, and listens to nobody but the daemon that hands it a socket.

mod encode;
mod family;
mod serve;
mod snapshot;

pub use encode::encode;
pub use serve::serve;
pub use snapshot::{
    DaemonSnapshot, Fill, FlowTableSnapshot, InterfaceSnapshot, RealServerSnapshot, ServiceSnapshot,
    Snapshot, SweepSnapshot, TablesSnapshot,
};

#[cfg(test)]
mod tests;
