//! Bytes that the program and the daemon share, one file a table.
//!
//! Every type here is `repr(C)`, without padding, valid for any bit pattern, and has its size
//! asserted. Nothing here decides anything.
//!
//! [`VERSION`] is raised by every change of a layout or of its meaning: a daemon that finds other
//! tables than its own on start refuses to adopt them.

mod admission;
mod connection;
mod destination;
mod flow_table;
mod guard;
mod layout;
mod options;
mod outer;
mod persistence;
mod restore;
mod ring;
mod rule;
mod service;
mod settings;

pub use admission::{ADMISSION_WORDS, Admission, admission_bit_v4, admission_bit_v6};
pub use connection::{Connection, Place};
pub use destination::{
    Counters, DESTINATION_DOWN, DESTINATION_KERNEL, DESTINATION_MAX, DESTINATION_PAIRED, DESTINATION_REMOVED,
    DESTINATION_REPLY, Destination, DestinationHead, Edit, FORWARD_DIRECT, FORWARD_LOCAL, FORWARD_MASQUERADE,
    FORWARD_REPLY, FORWARD_TUNNEL, Load,
};
pub use flow_table::{
    BUSY, Clock, EMPTY, LINE_SLOTS, Line, SPAN_MAX, State, Tick, Timeouts, entry, entry_destination,
    entry_tag, tag_of,
};
pub use guard::{
    Guard, Locality, LocalityKey, Prefix, SOURCE_ALLOWED, SOURCE_DENIED, SOURCE_KEY_BITS, SourceKey,
};
pub use layout::{LAYOUT_BYTES_MAX, Layout, Part};
pub use options::Options;
pub use outer::{OuterHeader, TUNNEL_GRE, TUNNEL_GRE_CHECKSUM, TUNNEL_GUE, TUNNEL_GUE_CHECKSUM, TUNNEL_IPIP};
pub use persistence::{Persistence, Template};
pub use restore::{RESTORE_HEAD, RESTORE_TAIL, Restore};
pub use ring::{RING_CHUNK, RING_SLOTS_MAX, RingSpan};
pub use rule::{RULE_ENDS_CLASS, RULE_ENDS_CLAUSE, RULE_NEGATED, RULES_MAX, Rule, RuleSpan};
pub use service::{
    Family, Protocol, SERVICE_FALLBACK, SERVICE_GUARDED, SERVICE_ONE_PACKET, SERVICE_PERSISTENT,
    SERVICE_PORT, SERVICE_THRESHOLDS, Service, ServiceKey,
};
pub use settings::{
    PEERS_MAX, Seed, Settings, VERDICT_COUNTERS, VERDICT_NO_TEMPLATE, VERDICT_SPARE, VERDICT_STRIDE, peer_bit,
};

/// The version of all layouts in this module together.
pub const VERSION: u32 = 7;
