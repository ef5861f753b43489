//! A director's tables for tests: their key, their sizes, and the kernel's side of them.

use lb_common::wire::{Seed, Timeouts};
use lb_user::dataplane::{KernelDataplane, Sizes, clock};
use lb_user::model::TableSizes;

/// LVS's own idle timeouts, in seconds.
pub(crate) fn timeouts() -> Timeouts {
    Timeouts::new(900, 120, 300, clock())
}

/// The key of the flow hash: odd numbers without pattern, the same in every run.
const SEED: Seed = [
    0x9e37_79b9_7f4a_7c15,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0xd6e8_feb8_6659_fd93,
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
];

pub(crate) fn sizes(tables: &TableSizes) -> Sizes {
    Sizes::of(tables, aya::util::nr_cpus().unwrap() as u32, SEED, timeouts(), clock())
}

/// Loads the shipped object with empty tables.
pub(crate) fn load(sizes: &Sizes) -> KernelDataplane {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test loads the XDP program into the kernel: run it as root"
    );
    match KernelDataplane::load(sizes, None, false) {
        Ok((kernel, _)) => kernel,
        Err(error) => panic!("the shipped object does not load here: {error}"),
    }
}
