//! Gates, lists of sources and lblc's memory, in the kernel's maps.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{Array, HashMap, LpmTrie};
use lb_common::wire::{Locality, LocalityKey, SOURCE_KEY_BITS, SourceKey, Tick};

/// By CPU * services + service.
#[map]
static GATES: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static SOURCES: LpmTrie<SourceKey, u32> = LpmTrie::with_max_entries(1, 0);
#[map]
static LOCALITIES: HashMap<LocalityKey, u64> = HashMap::with_max_entries(1, 0);

#[unsafe(no_mangle)]
static SERVICE_COUNT: Global<u32> = Global::new(1);

/// A [`SourceKey`] behind the length of its prefix: what a [`Key`] is, but aligned.
#[repr(C)]
struct Sought {
    bits: u32,
    key: SourceKey,
}

/// What a list says of an address.
#[inline(always)]
pub(crate) fn source(list: u32, is_v6: u32, address: [u64; 2]) -> u32 {
    // Of an IPv4 address all that follows is 0, in every entry and here.
    let sought = Sought { bits: SOURCE_KEY_BITS + 128, key: SourceKey::new(list, is_v6, address) };
    // SAFETY: both are repr(C), of the same fields, and `Key` needs no alignment.
    let key: &Key<SourceKey> = unsafe { &*(&raw const sought).cast() };
    SOURCES.get(key).map_or(0, |value| *value)
}

/// This CPU's gate of a service.
#[inline(always)]
fn gate_index(service: u32) -> u32 {
    // SAFETY: a helper without arguments; the program stays on its CPU.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    cpu.wrapping_mul(SERVICE_COUNT.load()).wrapping_add(service)
}

/// The word of a service's gate.
#[inline(always)]
pub(crate) fn gate(service: u32) -> u64 {
    // SAFETY: the value lives as long as the map; it is this CPU's own word.
    GATES.get_ptr(gate_index(service)).map_or(0, |word| unsafe { word.read_volatile() })
}

/// Writes it.
#[inline(always)]
pub(crate) fn set_gate(service: u32, word: u64) {
    if let Some(place) = GATES.get_ptr_mut(gate_index(service)) {
        // SAFETY: as in `gate`.
        unsafe { place.write_volatile(word) };
    }
}

/// Who serves an address.
#[inline(always)]
pub(crate) fn locality(key: &LocalityKey) -> u32 {
    // SAFETY: elements are preallocated: one that is deleted meanwhile stays readable memory.
    LOCALITIES.get_ptr(key).map_or(0, |word| Locality::from_word(unsafe { word.read_volatile() }).number)
}

/// Remembers it.
#[inline(always)]
pub(crate) fn set_locality(key: &LocalityKey, number: u32, now: Tick) {
    let word = Locality { number, tick: now.number() }.to_word();
    match LOCALITIES.get_ptr_mut(key) {
        // SAFETY: as in `locality`; a word is written whole.
        Some(place) => unsafe { place.write_volatile(word) },
        // Without room the next connection looks for somebody again.
        None => drop(LOCALITIES.insert(key, word, 0)),
    }
}
