//! Tunnels, both ends, and the answers to what doesn't fit: every header that is made here is read by
//! etherparse, which also computes every checksum anew.
#![cfg(feature = "host")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod decapsulate;
mod ecn;
mod encapsulate;
mod errors;
mod packets;
