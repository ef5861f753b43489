//! The maps of services' addresses, and of the rules of classes that each finds by its place. It decides nothing.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use lb_common::wire::{Rule, RuleSpan, ServiceKey};

#[map]
static ADDRESSES: HashMap<ServiceKey, u32> = HashMap::with_max_entries(1, 0);
/// By what `ADDRESSES` gives: [`RuleSpan`], as words.
#[map]
static RULE_SPANS: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static RULES: Array<Rule> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Whether an address is a service's.
#[inline(always)]
pub(crate) fn is_known(key: &ServiceKey) -> bool {
    ADDRESSES.get_ptr(key).is_some()
}

/// Where the rules of an address lie.
#[inline(always)]
pub(crate) fn rules(key: &ServiceKey) -> RuleSpan {
    const NONE: RuleSpan = RuleSpan { first: 0, rules: 0 };
    let Some(place) = ADDRESSES.get_ptr(key) else { return NONE };
    // SAFETY: elements are preallocated: one that is deleted meanwhile stays readable memory.
    let span = RULE_SPANS.get_ptr(unsafe { place.read_volatile() });
    // SAFETY: the value lives as long as the map, and the word is written whole.
    span.map_or(NONE, |span| RuleSpan::from_word(unsafe { span.read_volatile() }))
}

/// One rule.
#[inline(always)]
pub(crate) fn rule(index: u32) -> Option<&'static Rule> {
    // SAFETY: the value lives as long as the map; what a span names is not written until it is retired.
    RULES.get_ptr(index).map(|rule| unsafe { &*rule })
}
