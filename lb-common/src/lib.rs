//! Everything that decides about a packet, in one crate that knows neither kernel nor daemon.
//!
//! The same functions run in XDP (crate `lb-ebpf`), in the host tests, in the fuzzer and under Miri.
//! They reach the world through two traits only:
//!
//! - [`net::Packet`]: bytes of one frame, copied in and out as whole headers;
//! - [`director::Tables`]: what the daemon has loaded, and the flow table.
//!
//! ```text
//! wire      bytes that kernel and daemon share, one file a table
//! net       headers, checksums; offsets appear nowhere else
//! flow      frame -> Flow: the 5-tuple and where its headers are
//! walk      what flow leaves out: tags, extension headers, fragments, ICMP errors
//! director  Flow + Tables -> Verdict: admit, find the flow, schedule
//! forward   Verdict -> header edits
//! sched     schedulers: rings laid out ahead, slots by hash, choices by load
//! verdict   the one list of fates a packet can meet
//! host      (feature `host`) tables in memory, for tests and for rehearsals
//! ```
//!
//! **Invariants.** No function here panics, allocates, or does I/O outside feature `host`.
//! A packet that is not for a service is never written to.
//! Addresses and ports are in network byte order as long as they are bytes (`[u8; N]`), and numbers
//! otherwise. Lengths are bytes. Time is a [`wire::Tick`].
//!
//! The kernel side supports little-endian machines only.
#![cfg_attr(not(feature = "host"), no_std)]

#[cfg(target_endian = "big")]
compile_error!("the tables are laid out for little-endian machines");

pub mod director;
pub mod flow;
pub mod forward;
#[cfg(feature = "host")]
pub mod host;
pub mod net;
pub mod sched;
pub mod verdict;
pub mod walk;
pub mod wire;

pub use verdict::{Action, Verdict};
