//! The kernel's maps, as `lb-common` reaches them. None is touched anywhere else, but those of `leave`, `load` and
//! `guard`.
//!
//! Sizes are set by the daemon when it loads the object; what is written here is replaced.
//! All arrays are mmapable: page-aligned, so that a record of 64 bytes is one cache line, and
//! written by the daemon without a system call an element.

use core::arch::asm;
use core::ptr::addr_of;

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::{bpf_get_smp_processor_id, generated::bpf_jiffies64};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use lb_common::director::{Entered, Tables, Task};
use lb_common::sched::Scheduler;
use lb_common::verdict::{Action, Verdict};
use lb_common::wire::{
    ADMISSION_WORDS, Connection, Counters, DESTINATION_DOWN, DESTINATION_REMOVED, Destination,
    DestinationHead, Edit, Guard, Layout, Load, LocalityKey, Options, Part, Persistence, Place, RING_CHUNK,
    RingSpan, Rule, RuleSpan, ServiceKey, Settings, Tick, VERDICT_NO_TEMPLATE, VERDICT_SPARE, VERDICT_STRIDE,
    peer_bit,
};

use crate::addresses;
use crate::flow_line::{KernelLine, KernelRecord};
use crate::functions::{director_enter_reply, director_insert, director_take_out};
use crate::{guard, load, services};

/// See `lb_common::wire::Layout`. The daemon makes its one value as large as all parts together.
#[map]
static TABLES: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static PEERS: HashMap<u64, u32> = HashMap::with_max_entries(1024, 0);
#[map]
static SERVICE_INDEX: HashMap<ServiceKey, u32> = HashMap::with_max_entries(1, 0);
#[map]
static RINGS: Array<[u32; RING_CHUNK as usize]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// By [`Place::index`].
#[map]
static CONNECTIONS: Array<[u64; Connection::WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

// What can't change while the program is loaded is read-only data, which the verifier knows.
#[unsafe(no_mangle)]
static SEED: [Global<u64>; 6] = [const { Global::new(1) }; 6];
/// By the number of a [`Part`].
#[unsafe(no_mangle)]
static OFFSETS: [Global<u64>; 5] = [const { Global::new(0) }; 5];
#[unsafe(no_mangle)]
static LINES: Global<u32> = Global::new(1);
#[unsafe(no_mangle)]
static TEMPLATE_LINES: Global<u32> = Global::new(1);
/// Both together.
#[unsafe(no_mangle)]
static ALL_LINES: Global<u32> = Global::new(2);
#[unsafe(no_mangle)]
static DESTINATION_COUNT: Global<u32> = Global::new(1);
#[unsafe(no_mangle)]
static CPUS: Global<u32> = Global::new(1);
#[unsafe(no_mangle)]
static TICK_SHIFT: Global<u32> = Global::new(0);

/// The tables of the director that this program was loaded for.
pub(crate) struct KernelTables {
    /// The value of `TABLES`: looked up once a packet, and first. A look-up is a call to the compiler, which
    /// would put away all that it knows of the packet for each.
    base: *mut u64,
    /// This CPU's row of verdicts. A pointer, as the next: of a number that is put away, Linux 6.1 forgets how
    /// large it can be.
    row: *mut u64,
    /// This CPU's row of counters.
    counters: *mut Counters,
    now: Tick,
}

impl KernelTables {
    /// The tables; nothing only if the kernel has more CPUs than it said, or the map no value.
    #[inline(always)]
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: a helper without arguments; the program stays on its CPU.
        let cpu = within(unsafe { bpf_get_smp_processor_id() }, CPUS.load())?;
        let now = Tick::from_jiffies(jiffies(), TICK_SHIFT.load());
        let base = TABLES.get_ptr_mut(0)?;
        // SAFETY: a row for each CPU, see `Layout`.
        let row = unsafe { start::<[u64; VERDICT_STRIDE]>(base, Part::Verdicts).add(cpu).cast() };
        // SAFETY: likewise.
        let counters =
            unsafe { start::<Counters>(base, Part::Counters).add(cpu * DESTINATION_COUNT.load() as usize) };
        Some(Self { base, row, counters, now })
    }

    /// The record `index` of a part, of which it has `count`.
    #[inline(always)]
    fn record<T>(&self, part: Part, index: u32, count: u32) -> Option<*mut T> {
        let index = within(index, count)?;
        // SAFETY: the map's value holds `count` records of the part, see `Layout`.
        Some(unsafe { start::<T>(self.base, part).add(index) })
    }

    #[inline(always)]
    fn settings(&self) -> *mut Settings {
        self.base.cast()
    }

    /// The words at the end of this CPU's row of verdicts that no counter has.
    #[inline(always)]
    fn spare(&self) -> *mut u64 {
        // SAFETY: within the row.
        unsafe { self.row.add(VERDICT_STRIDE - VERDICT_SPARE) }
    }

    /// What one program leaves to the next.
    #[inline(always)]
    #[expect(
        clippy::mut_from_ref,
        reason = "the kernel's memory is behind it, and one packet is under way on a CPU"
    )]
    pub(crate) fn task(&self) -> &mut Task {
        const { assert!(8 + size_of::<Task>() <= 8 * VERDICT_SPARE) };
        // SAFETY: spare words behind the first, which is for the answers; they are this CPU's own.
        unsafe { &mut *self.spare().add(1).cast::<Task>() }
    }

    /// Adds one to a counter of this CPU's row of verdicts and evictions.
    #[inline(always)]
    fn increment_row(&self, index: usize) {
        // SAFETY: `index` is less than `VERDICT_STRIDE`, which is asserted where both are defined.
        let counter = unsafe { self.row.add(index & (VERDICT_STRIDE - 1)) };
        // SAFETY: this CPU's own counter: nothing else writes it while the program runs.
        unsafe { *counter = (*counter).wrapping_add(1) };
    }

    /// This CPU's counters of a destination.
    #[inline(always)]
    #[expect(
        clippy::mut_from_ref,
        reason = "the kernel's memory is behind it, and one packet is under way on a CPU"
    )]
    fn counters(&self, number: u32) -> Option<&mut Counters> {
        let number = within(number, DESTINATION_COUNT.load())?;
        // SAFETY: within the row, and nothing else writes it while the program runs.
        Some(unsafe { &mut *self.counters.add(number) })
    }
}

/// Where a part of the value of `TABLES` begins.
#[inline(always)]
fn start<T>(base: *mut u64, part: Part) -> *mut T {
    // SAFETY: the offset is within the map's value, see `Layout`.
    unsafe { base.byte_add(OFFSETS[part as usize].load() as usize).cast() }
}

/// The kernel's clock.
#[inline(always)]
pub(crate) fn jiffies() -> u64 {
    // SAFETY: a helper without arguments (Linux 5.6).
    unsafe { bpf_jiffies64() }
}

impl Tables for KernelTables {
    type Line = KernelLine;
    type Record = KernelRecord;

    #[inline(always)]
    fn admits(&self, bit: u32) -> bool {
        let word = (bit as usize >> 6) & (ADMISSION_WORDS - 1);
        // SAFETY: the filter lies there, see `Layout`; `word` is within it. The daemon writes whole words.
        let bits = unsafe { self.base.byte_add(Layout::ADMISSION as usize).add(word).read_volatile() };
        bits >> (bit & 63) & 1 == 1
    }

    #[inline(always)]
    fn masquerades(&self) -> bool {
        // SAFETY: the value lives as long as the map, and the word is written whole.
        let masquerades = unsafe { addr_of!((*self.settings()).masquerades).read_volatile() };
        masquerades != 0
    }

    #[inline(always)]
    fn admits_source(&self, bit: u32) -> bool {
        let word = (bit as usize >> 6) & (ADMISSION_WORDS - 1);
        // SAFETY: as in `admits`.
        let bits = unsafe { self.base.byte_add(Layout::SOURCES as usize).add(word).read_volatile() };
        bits >> (bit & 63) & 1 == 1
    }

    #[inline(always)]
    fn peer_filter(&self) -> u64 {
        // SAFETY: the value lives as long as the map, and the word is written whole.
        unsafe { addr_of!((*self.settings()).peer_filter).read_volatile() }
    }

    #[inline(always)]
    fn is_peer(&self, address: u64) -> bool {
        let filter = self.peer_filter();
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
    fn template_lines(&self) -> u32 {
        TEMPLATE_LINES.load()
    }

    #[inline(always)]
    fn line(&self, index: u32) -> Option<KernelLine> {
        self.record(Part::Flows, index, ALL_LINES.load()).map(KernelLine::at)
    }

    #[inline(always)]
    fn record(&self, place: Place) -> Option<KernelRecord> {
        CONNECTIONS.get_ptr_mut(place.index()).map(|record| KernelRecord::at(record.cast()))
    }

    #[inline(always)]
    fn is_service_address(&self, key: &ServiceKey) -> bool {
        addresses::is_known(key)
    }

    #[inline(always)]
    fn rules(&self, key: &ServiceKey) -> RuleSpan {
        // SAFETY: the value lives as long as the map, and the word is written whole.
        let has_rules = unsafe { addr_of!((*self.settings()).has_rules).read_volatile() } != 0;
        if has_rules { addresses::rules(key) } else { RuleSpan { first: 0, rules: 0 } }
    }

    #[inline(always)]
    fn rule(&self, index: u32) -> Option<&Rule> {
        addresses::rule(index)
    }

    #[inline(always)]
    fn service(&self, key: &ServiceKey) -> Option<u32> {
        // SAFETY: elements are preallocated: one that is deleted meanwhile stays readable memory.
        SERVICE_INDEX.get_ptr(key).map(|index| unsafe { index.read_volatile() })
    }

    #[inline(always)]
    fn ring(&self, service: u32) -> RingSpan {
        services::ring(service)
    }

    #[inline(always)]
    fn scheduler(&self, service: u32) -> (Scheduler, u8) {
        services::scheduler(service)
    }

    #[inline(always)]
    fn persistence(&self, service: u32) -> Persistence {
        services::persistence(service)
    }

    #[inline(always)]
    fn guard(&self, service: u32) -> Guard {
        services::guard(service)
    }

    #[inline(always)]
    fn serves(&self, number: u32, service: u32) -> bool {
        let Some(key) = services::key(service) else {
            return false;
        };
        self.destination(number).is_some_and(|destination| {
            let [a, b, c]: [u64; 3] = bytemuck::cast(destination.service);
            (a ^ key[0]) | (b ^ key[1]) | (c ^ key[2]) == 0
        })
    }

    #[inline(always)]
    fn source(&self, list: u32, is_v6: u32, address: [u64; 2]) -> u32 {
        guard::source(list, is_v6, address)
    }

    #[inline(always)]
    fn gate(&self, service: u32) -> u64 {
        guard::gate(service)
    }

    #[inline(always)]
    fn set_gate(&self, service: u32, word: u64) {
        guard::set_gate(service, word);
    }

    #[inline(always)]
    fn locality(&self, key: &LocalityKey) -> u32 {
        guard::locality(key)
    }

    #[inline(always)]
    fn set_locality(&self, key: &LocalityKey, number: u32) {
        guard::set_locality(key, number, self.now);
    }

    #[inline(always)]
    fn pick(&self, service: u32) -> u64 {
        services::pick(service)
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
    fn weight(&self, number: u32) -> u32 {
        let head = self.head(number);
        if head.flags & (DESTINATION_DOWN | DESTINATION_REMOVED) != 0 || head.record == 0 {
            return 0;
        }
        let record =
            self.record::<Destination>(Part::Destinations, head.record, 2 * DESTINATION_COUNT.load());
        // SAFETY: as in `destination`.
        record.map_or(0, |record| unsafe { &*record }.weight_for_new())
    }

    #[inline(always)]
    fn load(&self, number: u32) -> Load {
        load::read(number)
    }

    #[inline(always)]
    fn insert(
        &self,
        hash: u64,
        destination: u32,
        first: u32,
        instead: u64,
        connection: &Connection,
    ) -> Entered {
        // The connection is the task's, which the function finds by itself: so it has to lie there by then, and
        // the compiler doesn't know that this would read it.
        // SAFETY: one instruction that does nothing; what it might have done is the point.
        unsafe { asm!("{0} = {0}", in(reg) connection, options(nostack, preserves_flags)) };
        Entered::from_word(director_insert(hash, destination, first, instead))
    }

    #[inline(always)]
    fn enter_reply(&self, _task: &mut Task, place: u32) -> u32 {
        director_enter_reply(place)
    }

    #[inline(always)]
    fn take_out(&self, place: Place, entry: u64) {
        director_take_out(place.0, entry);
    }

    #[inline(always)]
    fn answers(&self) -> u64 {
        // SAFETY: as in `increment_row`.
        unsafe { self.spare().read() }
    }

    #[inline(always)]
    fn set_answers(&self, word: u64) {
        // SAFETY: as in `increment_row`.
        unsafe { self.spare().write(word) };
    }

    #[inline(always)]
    fn head(&self, number: u32) -> DestinationHead {
        let head: Option<*mut u64> = self.record(Part::Heads, number, DESTINATION_COUNT.load());
        head.map_or(DestinationHead { record: 0, flags: 0 }, |head| {
            // SAFETY: the value lives as long as the map, and the word is written whole.
            DestinationHead::from_word(unsafe { head.read_volatile() })
        })
    }

    #[inline(always)]
    fn destination(&self, number: u32) -> Option<&Destination> {
        let record: *mut Destination = match self.head(number).record {
            0 => return None,
            record => self.record(Part::Destinations, record, 2 * DESTINATION_COUNT.load())?,
        };
        // SAFETY: the value lives as long as the map; a published record is not written until it is retired.
        Some(unsafe { &*record })
    }

    #[inline(always)]
    fn edit(&self, number: u32) -> Option<Edit> {
        let head: *mut u64 = self.record(Part::Heads, number, DESTINATION_COUNT.load())?;
        // SAFETY: as in `head`.
        let DestinationHead { record, flags } = DestinationHead::from_word(unsafe { head.read_volatile() });
        if record == 0 || flags != 0 {
            return None;
        }
        let record: *mut Destination =
            self.record(Part::Destinations, record, 2 * DESTINATION_COUNT.load())?;
        // SAFETY: as in `destination`; 16 of its bytes.
        let words = unsafe { record.cast::<[u64; 2]>().read_volatile() };
        // SAFETY: likewise.
        let forward = unsafe { addr_of!((*record).forward).read_volatile() };
        Some(Edit::from_words(words, forward))
    }

    #[inline(always)]
    fn is_over(&self, state: u32, now: Tick) -> bool {
        // SAFETY: the value lives as long as the map; while it changes, old and new do alike.
        let timeouts = unsafe { &(*self.settings()).timeouts };
        timeouts.is_over(state, now)
    }

    #[inline(always)]
    fn options(&self) -> Options {
        // SAFETY: the value lives as long as the map, and the word is written whole.
        Options::from_word(unsafe { addr_of!((*self.settings()).options).cast::<u32>().read_volatile() })
    }

    #[inline(always)]
    fn forget(&self, value: u32) -> u32 {
        // SAFETY: the value lives as long as the map.
        let nothing = unsafe { addr_of!((*self.settings()).nothing).read_volatile() };
        let mut forgotten = u64::from(value);
        // SAFETY: one addition. Written as an addition of Rust, the compiler would do it once, after the
        // paths have met.
        unsafe { asm!("{0} += {1}", inout(reg) forgotten, in(reg) nothing, options(pure, nomem, nostack)) };
        forgotten as u32
    }

    #[inline(always)]
    fn now(&self) -> Tick {
        self.now
    }

    #[inline(always)]
    fn jiffies(&self) -> u64 {
        jiffies()
    }

    #[inline(always)]
    fn count(&self, verdict: Verdict) {
        self.increment_row(verdict.index());
    }

    #[inline(always)]
    fn account(&self, number: u32, bytes: u32, verdict: Verdict) {
        let Some(counters) = self.counters(number) else {
            return;
        };
        if verdict.action() as u8 == Action::Drop as u8 {
            counters.dropped = counters.dropped.wrapping_add(1);
        } else {
            counters.packets = counters.packets.wrapping_add(1);
            counters.bytes = counters.bytes.wrapping_add(u64::from(bytes));
        }
    }

    #[inline(always)]
    fn count_connection(&self, number: u32) {
        if let Some(counters) = self.counters(number) {
            counters.connections = counters.connections.wrapping_add(1);
        }
    }

    #[inline(always)]
    fn count_eviction(&self, state: u32) {
        self.increment_row(Verdict::COUNT + (state >> Tick::BITS) as usize);
    }

    #[inline(always)]
    fn count_no_template(&self) {
        self.increment_row(VERDICT_NO_TEMPLATE);
    }

    #[inline(always)]
    fn add_load(&self, number: u32, activity: usize, by: i32) {
        load::add(number, activity, by);
    }

    #[inline(always)]
    fn move_load(&self, number: u32, before: usize, after: usize) {
        load::shift(number, before, after);
    }
}

/// An index, if it is less than `count`, so that the verifier knows it too.
#[inline(always)]
fn within(index: u32, count: u32) -> Option<usize> {
    let mut wide = u64::from(index);
    // SAFETY: one instruction on a register. Without it the compiler compares the low half of a register and
    // uses the whole; the verifier doesn't connect the two.
    unsafe { asm!("{0} &= 0x7fffffff", inout(reg) wide, options(pure, nomem, nostack)) };
    if wide < u64::from(count) { Some(wide as usize) } else { None }
}
