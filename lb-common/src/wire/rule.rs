//! The rules of classes: what marks packets, as `iptables -j MARK` does for LVS. A class is one rule or several.
//!
//! ```text
//! class   = clause and clause and ...     the first class of an address that matches says the mark
//! clause  = rule or rule or ...
//! rule    = all of its conditions hold, or, if it is negated, not all
//! ```
//!
//! So many ports, sources and Ethernet addresses take as many rules together, and not their product.

use bytemuck::{Pod, Zeroable};

/// The most rules that one address can have: two runs of a program look at them. A packet may pass 33 programs
/// (Linux, `MAX_TAIL_CALL_CNT`), most of which a scheduler may need that compares.
pub const RULES_MAX: u32 = 256;

/// Flag of a rule, in [`Rule::link_mask`]: it holds where its conditions don't.
pub const RULE_NEGATED: u64 = 1 << 56;
/// Flag of a rule, likewise: the last one of its clause.
pub const RULE_ENDS_CLAUSE: u64 = 1 << 57;
/// Flag of a rule, likewise: the last one of its class.
pub const RULE_ENDS_CLASS: u64 = 1 << 58;

/// Conditions on a packet. A value of the map `RULES`.
// Each comparison has its mask here: one that is computed becomes a branch, and each branch two paths to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Rule {
    /// Of the client's address, as it lies in native words: what is left of it under [`Self::source_mask`].
    /// IPv4 is in the low half of the first.
    pub source: [u64; 2],
    /// The bits of the client's address that count; 0: any.
    pub source_mask: [u64; 2],
    /// The Ethernet address that the frame came from, in the low six bytes, as it lies; above it in one byte the
    /// [`super::Protocol`].
    pub link: u64,
    /// The bits of these that count; 0: any. In the highest byte, which doesn't count, [`RULE_NEGATED`],
    /// [`RULE_ENDS_CLAUSE`], [`RULE_ENDS_CLASS`].
    pub link_mask: u64,
    /// The interface (ifindex) that the packet came in by.
    pub interface: u32,
    /// Its bits that count; 0: any.
    pub interface_mask: u32,
    /// The first and the last destination port, native; 0 and 65,535: any.
    pub ports: [u16; 2],
    /// The mark, never 0; that of the rule that ends the class counts.
    pub mark: u32,
}

const _: () = assert!(size_of::<Rule>() == 64);

impl Rule {
    /// A rule that any packet meets.
    pub const ANY: Self = Self {
        source: [0; 2],
        source_mask: [0; 2],
        link: 0,
        link_mask: 0,
        interface: 0,
        interface_mask: 0,
        ports: [0, u16::MAX],
        mark: 0,
    };
}

/// A part of the map `RULES`: those of one address. One word, so that other rules are published by one store. A
/// value of the map `RULE_SPANS`, at the index that `ADDRESSES` gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleSpan {
    /// The first one.
    pub first: u32,
    /// How many, at most [`RULES_MAX`].
    pub rules: u32,
}

impl RuleSpan {
    /// The span as it lies in its table.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.first as u64 | (self.rules as u64) << 32
    }

    /// The span from its table.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { first: word as u32, rules: (word >> 32) as u32 }
    }
}
