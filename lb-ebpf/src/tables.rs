//! The kernel's maps, as `lb-common` reaches them. No map is touched anywhere else.
//!
//! Sizes are set by the daemon when it loads the object; what is written here is replaced.
//! All arrays are mmapable: page-aligned, so that a record of 64 bytes is one cache line, and
//! written by the daemon without a system call an element.

use core::arch::asm;
use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};
use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, xdp_action};
use aya_ebpf::helpers::{bpf_get_smp_processor_id, generated::bpf_ktime_get_coarse_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, DevMapHash, HashMap};
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::info;
use lb_common::director::{Decision, FlowLine, Tables};
use lb_common::verdict::{Action, Verdict};
use lb_common::wire::{
    Admission, Counters, Destination, DestinationHead, Line, Load, RING_CHUNK, RingSpan, Service, ServiceKey,
    Settings, Tick, VERDICT_STRIDE, peer_bit,
};

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static ADMISSION: Array<Admission> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static PEERS: HashMap<u64, u32> = HashMap::with_max_entries(1024, 0);
#[map]
static SERVICE_INDEX: HashMap<ServiceKey, u32> = HashMap::with_max_entries(1, 0);
#[map]
static SERVICES: Array<Service> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static RINGS: Array<[u32; RING_CHUNK as usize]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static DESTINATION_HEADS: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static DESTINATIONS: Array<Destination> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static FLOWS: Array<Line> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static COUNTERS: Array<Counters> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static LOADS: Array<Load> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static VERDICTS: Array<[u64; VERDICT_STRIDE]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static INTERFACES: DevMapHash = DevMapHash::with_max_entries(64, 0);

// What can't change while the program is loaded is read-only data, which the verifier knows.
#[unsafe(no_mangle)]
static SEED: [Global<u64>; 6] = [const { Global::new(1) }; 6];
#[unsafe(no_mangle)]
static LINES: Global<u32> = Global::new(1);
#[unsafe(no_mangle)]
static DESTINATION_COUNT: Global<u32> = Global::new(1);
#[unsafe(no_mangle)]
static DEBUG: Global<u32> = Global::new(0);

/// The tables of the director that this program was loaded for.
pub(crate) struct KernelTables {
    /// Looked up once a packet: kernels before 6.14 ask the verifier to follow a failure each time.
    settings: *const Settings,
}

impl KernelTables {
    /// The tables; nothing only if the map of settings is empty, which it never is.
    #[inline(always)]
    pub(crate) fn new() -> Option<Self> {
        Some(Self { settings: SETTINGS.get_ptr(0)? })
    }
}

/// Sends a frame out of another interface. One that the daemon has not entered aborts, which traces.
#[inline(always)]
pub(crate) fn redirect(interface: u32) -> u32 {
    match INTERFACES.redirect(interface, u64::from(xdp_action::XDP_ABORTED)) {
        Ok(action) | Err(action) => action,
    }
}

/// Tells the log about a decision, under the debug switch. Without it the verifier removes this.
#[inline(always)]
pub(crate) fn tell(context: &XdpContext, decision: Decision) {
    if DEBUG.load() != 0 {
        info!(context, "verdict {} interface {}", decision.verdict as u8, decision.interface);
    }
}

impl Tables for KernelTables {
    type Line = KernelLine;

    #[inline(always)]
    fn admits(&self, bit: u32) -> bool {
        let Some(filter) = ADMISSION.get_ptr(0) else {
            return false;
        };
        let word = (bit as usize >> 6) & (lb_common::wire::ADMISSION_WORDS - 1);
        // SAFETY: the value lives as long as the map; `word` is within it. The daemon writes whole words.
        let bits = unsafe { addr_of!((*filter).words).cast::<u64>().add(word).read_volatile() };
        bits >> (bit & 63) & 1 == 1
    }

    #[inline(always)]
    fn is_peer(&self, address: u64) -> bool {
        // SAFETY: the value lives as long as the map, and the word is written whole.
        let filter = unsafe { addr_of!((*self.settings).peer_filter).read_volatile() };
        filter != 0 && filter >> peer_bit(address) & 1 == 1 && PEERS.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn seed(&self, index: usize) -> u64 {
        SEED[index].load()
    }

    #[inline(always)]
    fn lines(&self) -> u32 {
        LINES.load()
    }

    #[inline(always)]
    fn line(&self, index: u32) -> Option<KernelLine> {
        FLOWS.get_ptr_mut(index).map(KernelLine)
    }

    #[inline(always)]
    fn service(&self, key: &ServiceKey) -> Option<u32> {
        // SAFETY: elements are preallocated: one that is deleted meanwhile stays readable memory.
        SERVICE_INDEX.get_ptr(key).map(|index| unsafe { index.read_volatile() })
    }

    #[inline(always)]
    fn ring(&self, service: u32) -> RingSpan {
        SERVICES.get_ptr(service).map_or(RingSpan { first: 0, slots: 0 }, |service| {
            // SAFETY: the value lives as long as the map, and the word is written whole.
            RingSpan::from_word(unsafe { addr_of!((*service).ring).read_volatile() })
        })
    }

    #[inline(always)]
    fn pick(&self, service: u32) -> u64 {
        SERVICES.get_ptr_mut(service).map_or(0, |service| {
            // SAFETY: the value lives as long as the map.
            let picks = unsafe { addr_of_mut!((*service).picks) };
            // SAFETY: `picks` is an aligned word that is changed by atomic instructions only.
            unsafe { atomic_xadd::<_, _, { AtomicOrdering::SeqCst }>(picks, 1_u64) }
        })
    }

    #[inline(always)]
    fn ring_slot(&self, slot: u32) -> u32 {
        RINGS.get_ptr(slot / RING_CHUNK).map_or(0, |chunk| {
            let index = (slot % RING_CHUNK) as usize;
            // SAFETY: the value lives as long as the map, and `index` is within it.
            unsafe { chunk.cast::<u32>().add(index).read_volatile() }
        })
    }

    #[inline(always)]
    fn head(&self, number: u32) -> DestinationHead {
        DESTINATION_HEADS.get_ptr(number).map_or(DestinationHead { record: 0, flags: 0 }, |head| {
            // SAFETY: the value lives as long as the map, and the word is written whole.
            DestinationHead::from_word(unsafe { head.read_volatile() })
        })
    }

    #[inline(always)]
    fn destination(&self, head: DestinationHead) -> Option<Destination> {
        let record = match head.record {
            0 => return None,
            record => DESTINATIONS.get_ptr(record)?,
        };
        // SAFETY: the value lives as long as the map; a published record is not written until it is retired.
        Some(unsafe { record.read() })
    }

    #[inline(always)]
    fn is_over(&self, state: u32, now: Tick) -> bool {
        // SAFETY: the value lives as long as the map; while it changes, old and new do alike.
        let timeouts = unsafe { &(*self.settings).timeouts };
        timeouts.is_over(state, now)
    }

    #[inline(always)]
    fn forget(&self, value: u32) -> u32 {
        // SAFETY: the value lives as long as the map.
        let nothing = unsafe { addr_of!((*self.settings).nothing).read_volatile() };
        let mut forgotten = u64::from(value);
        // SAFETY: one addition. Written as an addition of Rust, the compiler would do it once, after the
        // paths have met.
        unsafe { asm!("{0} += {1}", inout(reg) forgotten, in(reg) nothing, options(pure, nomem, nostack)) };
        forgotten as u32
    }

    #[inline(always)]
    fn now(&self) -> Tick {
        // SAFETY: a helper without arguments (Linux 5.11).
        Tick::from_nanoseconds(unsafe { bpf_ktime_get_coarse_ns() })
    }

    #[inline(always)]
    fn count(&self, verdict: Verdict) {
        increment_row(verdict.index());
    }

    #[inline(always)]
    fn account(&self, number: u32, bytes: u32, verdict: Verdict) {
        let Some(counters) = counters(number) else {
            return;
        };
        // SAFETY: this CPU's own counters: nothing else writes them while the program runs.
        let counters = unsafe { &mut *counters };
        if verdict.action() as u8 == Action::Drop as u8 {
            counters.dropped = counters.dropped.wrapping_add(1);
        } else {
            counters.packets = counters.packets.wrapping_add(1);
            counters.bytes = counters.bytes.wrapping_add(u64::from(bytes));
        }
    }

    #[inline(always)]
    fn count_connection(&self, number: u32) {
        if let Some(counters) = counters(number) {
            // SAFETY: as in `account`.
            let counters = unsafe { &mut *counters };
            counters.connections = counters.connections.wrapping_add(1);
        }
    }

    #[inline(always)]
    fn count_eviction(&self, state: u32) {
        increment_row(Verdict::COUNT + (state >> Tick::BITS) as usize);
    }

    #[inline(always)]
    fn add_load(&self, number: u32, activity: usize, by: i32) {
        if let Some(load) = LOADS.get_ptr_mut(number) {
            // SAFETY: the value lives as long as the map, and holds two numbers.
            add(unsafe { addr_of_mut!((*load).connections).cast::<i32>().add(activity & 1) }, by);
        }
    }
}

/// A line of the map `FLOWS`, which other CPUs and the daemon write to at the same time.
#[derive(Clone, Copy)]
pub(crate) struct KernelLine(*mut Line);

impl KernelLine {
    #[inline(always)]
    fn entry_at(self, slot: usize) -> *mut u64 {
        // SAFETY: slots are 0 to 4 by `FlowLine`'s contract; the mask tells the verifier as much as it needs.
        unsafe { addr_of_mut!((*self.0).entries).cast::<u64>().add(slot & 7) }
    }

    #[inline(always)]
    fn state_at(self, slot: usize) -> *mut u32 {
        // SAFETY: likewise. Five states and one reserved word follow the entries: 5 is within the line too.
        unsafe { addr_of_mut!((*self.0).states).cast::<u32>().add(if slot & 7 > 5 { 5 } else { slot & 7 }) }
    }
}

impl FlowLine for KernelLine {
    #[inline(always)]
    fn entry(&self, slot: usize) -> u64 {
        // SAFETY: the map outlives the program; an aligned word is read whole.
        unsafe { self.entry_at(slot).read_volatile() }
    }

    #[inline(always)]
    fn exchange_entry(&self, slot: usize, expected: u64, entry: u64) -> bool {
        exchange(self.entry_at(slot), expected, entry)
    }

    #[inline(always)]
    fn state(&self, slot: usize) -> u32 {
        // SAFETY: as in `entry`.
        unsafe { self.state_at(slot).read_volatile() }
    }

    #[inline(always)]
    fn exchange_state(&self, slot: usize, expected: u32, state: u32) -> bool {
        exchange(self.state_at(slot), expected, state)
    }

    #[inline(always)]
    fn set_state(&self, slot: usize, state: u32) {
        // SAFETY: an aligned word is written whole, in a slot that this CPU has claimed.
        unsafe { self.state_at(slot).write_volatile(state) };
    }
}

#[inline(always)]
fn exchange<T: Copy>(word: *mut T, expected: T, new: T) -> bool {
    // SAFETY: an aligned word of a map that outlives the program.
    let (_, done) = unsafe {
        atomic_cxchg::<T, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(word, expected, new)
    };
    done
}

#[inline(always)]
fn add(word: *mut i32, by: i32) {
    // SAFETY: an aligned word of a map that outlives the program.
    unsafe { atomic_xadd::<_, _, { AtomicOrdering::Relaxed }>(word, by) };
}

/// This CPU's counters of a destination.
#[inline(always)]
fn counters(number: u32) -> Option<*mut Counters> {
    COUNTERS.get_ptr_mut(cpu().wrapping_mul(DESTINATION_COUNT.load()).wrapping_add(number))
}

/// Adds one to a counter of this CPU's row of verdicts and evictions.
#[inline(always)]
fn increment_row(index: usize) {
    if let Some(row) = VERDICTS.get_ptr_mut(cpu()) {
        // SAFETY: `index` is less than `VERDICT_STRIDE`, which is asserted where both are defined.
        let counter = unsafe { row.cast::<u64>().add(index & (VERDICT_STRIDE - 1)) };
        // SAFETY: this CPU's own counter: nothing else writes it while the program runs.
        unsafe { *counter = (*counter).wrapping_add(1) };
    }
}

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: a helper without arguments; the program stays on its CPU.
    unsafe { bpf_get_smp_processor_id() }
}
