//! What services are, in the kernel's memory.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use lb_common::sched::Scheduler;
use lb_common::wire::{Guard, Persistence, RingSpan, Service};

#[map]
static SERVICES: Array<Service> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[inline(always)]
pub(crate) fn ring(service: u32) -> RingSpan {
    SERVICES.get_ptr(service).map_or(RingSpan { first: 0, slots: 0 }, |service| {
        // SAFETY: the value lives as long as the map, and the word is written whole.
        RingSpan::from_word(unsafe { addr_of!((*service).ring).read_volatile() })
    })
}

#[inline(always)]
pub(crate) fn scheduler(service: u32) -> (Scheduler, u8) {
    SERVICES.get_ptr(service).map_or((Scheduler::Rr, 0), |service| {
        // SAFETY: the value lives as long as the map; a byte is written whole.
        let (scheduler, flags) = unsafe {
            (addr_of!((*service).scheduler).read_volatile(), addr_of!((*service).flags).read_volatile())
        };
        (Scheduler::from_number(scheduler).unwrap_or(Scheduler::Rr), flags)
    })
}

#[inline(always)]
pub(crate) fn persistence(service: u32) -> Persistence {
    SERVICES.get_ptr(service).map_or(Persistence::NONE, |service| {
        // SAFETY: the value lives as long as the map. Half changed, it makes a template that nobody finds.
        unsafe { addr_of!((*service).persistence).read_volatile() }
    })
}

#[inline(always)]
pub(crate) fn guard(service: u32) -> Guard {
    SERVICES.get_ptr(service).map_or(Guard { new_flows: 0, list: 0 }, |service| {
        // SAFETY: the value lives as long as the map, and each is written whole.
        let new_flows = unsafe { addr_of!((*service).new_flows).read_volatile() };
        // SAFETY: likewise.
        Guard { new_flows, list: unsafe { addr_of!((*service).list).read_volatile() } }
    })
}

#[inline(always)]
pub(crate) fn pick(service: u32) -> u64 {
    SERVICES.get_ptr_mut(service).map_or(0, |service| {
        // SAFETY: the value lives as long as the map.
        let picks = unsafe { addr_of_mut!((*service).picks) };
        // SAFETY: `picks` is an aligned word that is changed by atomic instructions only.
        unsafe { atomic_xadd::<_, _, { AtomicOrdering::SeqCst }>(picks, 1_u64) }
    })
}

/// Who a service is, in words.
#[inline(always)]
pub(crate) fn key(service: u32) -> Option<[u64; 3]> {
    SERVICES.get_ptr(service).map(|service| {
        // SAFETY: the value lives as long as the map; a service's key is written before packets know it.
        unsafe { addr_of!((*service).key).cast::<[u64; 3]>().read_volatile() }
    })
}
