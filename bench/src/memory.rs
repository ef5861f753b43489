//! Suite `memory`: bytes of kernel memory for each flow, service and real server, as the kernel accounts for
//! them.
//!
//! Tables are made twice, and what the larger ones take more is shared among what they hold more. Refuses to
//! compute what it can ask.

use std::fs;

use anyhow::{Context as _, ensure};
use lb_common::wire::Timeouts;
use lb_user::{
    dataplane::{KernelDataplane, clock},
    model::TableSizes,
};

use crate::{
    figures::{Key, Plan, Progress, Row},
    testrun::load,
};

/// How much larger the larger tables are.
const MORE: u32 = 1 << 16;

/// Measures.
pub fn run(_: Plan) -> anyhow::Result<Vec<Row>> {
    let small = TableSizes { flows: 1 << 16, services: 64, destinations: 1 << 10, ring_slots: 1 << 12 };
    let larger = [
        ("flow", TableSizes { flows: small.flows + MORE, ..small }),
        ("service", TableSizes { services: small.services + MORE, ..small }),
        ("real-server", TableSizes { destinations: small.destinations + MORE, ..small }),
        ("ring-slot", TableSizes { ring_slots: small.ring_slots + MORE, ..small }),
    ];
    let mut progress = Progress::new("memory", larger.len() + 2);
    progress.step("small tables");
    let base = bytes_of(&small)?;
    let mut rows = Vec::new();
    for (what, sizes) in larger {
        progress.step(what);
        let more = bytes_of(&sizes)?.saturating_sub(base);
        rows.push(row(what, "lb", 0, more as f64 / f64::from(MORE)));
    }
    progress.step("a million flows");
    let all = bytes_of(&TableSizes::default())?;
    rows.push(row("all-tables", "lb", TableSizes::default().flows.into(), all as f64));
    if let Some(bytes) = connection_of_the_kernel() {
        rows.push(row("flow", "nftables", 0, bytes));
    }
    Ok(rows)
}

fn row(case: &str, subject: &str, flows: u64, bytes: f64) -> Row {
    let key = Key { suite: "memory", case: case.into(), subject: subject.into(), flows, unit: "bytes" };
    // The kernel's word, not a measurement: it has no spread.
    Row::alone(key, &[bytes])
}

/// What all maps of these tables take together.
fn bytes_of(sizes: &TableSizes) -> anyhow::Result<u64> {
    let timeouts = Timeouts::new(900, 120, 300, clock());
    let before = locked()?;
    let kernel: KernelDataplane = load(sizes, timeouts)?;
    let after = locked()?;
    drop(kernel);
    ensure!(after > before, "no memory is accounted for maps: /proc/self/fdinfo has no memlock");
    Ok(after - before)
}

/// The memory of all maps that this process holds, in bytes (`bpf_map_show_fdinfo`). A map that it holds twice
/// is one.
fn locked() -> anyhow::Result<u64> {
    let mut maps = std::collections::BTreeMap::new();
    for file in fs::read_dir("/proc/self/fdinfo").context("reading /proc/self/fdinfo")?.flatten() {
        // The descriptor that the directory is read by is gone again.
        let Ok(text) = fs::read_to_string(file.path()) else { continue };
        let number = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim_start_matches(':').trim().parse::<u64>().ok()
        };
        if let (Some(id), Some(bytes)) = (number("map_id"), number("memlock")) {
            maps.insert(id, bytes);
        }
    }
    Ok(maps.values().sum())
}

/// What a connection takes in the kernel's own table (`nf_conntrack`), without its place in the hash table.
/// Nothing where the kernel doesn't tell, or has none.
fn connection_of_the_kernel() -> Option<f64> {
    let slabs = fs::read_to_string("/proc/slabinfo").ok()?;
    let line = slabs.lines().find(|line| line.starts_with("nf_conntrack "))?;
    // name, active objects, all objects, bytes of one (slabinfo(5)).
    line.split_whitespace().nth(3)?.parse().ok()
}
