//! Loading the programs, planning and writing the tables, building rings: each alone, in this process.

use std::time::{Duration, Instant};

use lb_common::wire::{Family, Protocol, Timeouts};
use lb_user::{
    dataplane::{Change, Dataplane as _, Held, KernelDataplane, clock},
    model::{RingSize, Scheduler, TableSizes},
    plan::{Wanted, plan},
};

use super::{SERVICES, row};
use crate::{
    figures::{Plan, Progress, Row},
    testrun::{Forward, LOOPBACK, Service, load, wanted},
};

/// Real servers of each service.
const REAL_SERVERS: u32 = 3;

pub(super) fn run(plan: Plan) -> anyhow::Result<Vec<Row>> {
    let services: Vec<u32> = SERVICES.into_iter().filter(|&services| services <= plan.most).collect();
    let mut progress = Progress::new("control", plan.rounds as usize * (1 + services.len() + 1));
    let mut figures = Figures::default();
    for _ in 0..plan.rounds {
        progress.step("load");
        let (mut kernel, elapsed) = time(|| load(&sizes(plan.most), timeouts()));
        figures.add("load", elapsed);
        let kernel = kernel.as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        for &services in &services {
            progress.step(&format!("{services} services"));
            changes(kernel, services, &mut figures)?;
        }
        progress.step("rings");
        for slots in RingSize::PRIMES {
            figures.add(&format!("ring/maglev-{slots}"), ring(slots)?);
        }
    }
    Ok(figures.rows())
}

/// What each case took, in the order in which they came first.
#[derive(Debug, Default)]
struct Figures(Vec<(String, Vec<f64>)>);

impl Figures {
    fn add(&mut self, case: &str, elapsed: Duration) {
        let milliseconds = elapsed.as_secs_f64() * 1e3;
        match self.0.iter_mut().find(|(there, _)| there == case) {
            Some((_, values)) => values.push(milliseconds),
            None => self.0.push((case.to_owned(), vec![milliseconds])),
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.0.iter().map(|(case, values)| row(case, values)).collect()
    }
}

fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed())
}

fn timeouts() -> Timeouts {
    Timeouts::new(900, 120, 300, clock())
}

fn sizes(services: u32) -> TableSizes {
    let services = services.min(10_000);
    // As many again while all are replaced, and then as many rings.
    TableSizes {
        flows: 1_024,
        services: services + 1,
        destinations: 2 * REAL_SERVERS * services,
        ring_slots: 8 * REAL_SERVERS * services,
        templates: 1_024,
        ..TableSizes::default()
    }
}

const PLAIN: Service = Service {
    family: Family::V4,
    protocol: Protocol::Tcp,
    scheduler: Scheduler::Wrr,
    forward: Forward::Direct,
    real_servers: REAL_SERVERS,
};

/// From no service to so many, then one weight changed, then all, then none again.
fn changes(kernel: &mut KernelDataplane, services: u32, figures: &mut Figures) -> anyhow::Result<()> {
    let mut held = kernel.held()?;
    let mut wanted = wanted(&vec![PLAIN; services as usize], LOOPBACK, timeouts());
    let name = |what: &str| format!("tables/{what}/services-{services}");
    figures.add(&name("first"), apply(kernel, &mut held, &wanted)?);
    // Heavier than the others: its ring is another one.
    if let Some(last) = wanted.services.last_mut() {
        last.destinations[0].destination.weight = 2;
    }
    figures.add(&name("reload-one"), apply(kernel, &mut held, &wanted)?);
    for service in &mut wanted.services {
        service.destinations[1].destination.weight = 3;
    }
    figures.add(&name("reload-all"), apply(kernel, &mut held, &wanted)?);
    wanted.services.clear();
    apply(kernel, &mut held, &wanted)?;
    // No connection names them.
    let free: Vec<Change> = lb_user::plan::free(&held, |_| false);
    for change in &free {
        kernel.apply(change)?;
    }
    Ok(())
}

/// As the daemon does it.
fn apply(kernel: &mut KernelDataplane, held: &mut Held, wanted: &Wanted) -> anyhow::Result<Duration> {
    let (changes, planned) = time(|| plan(held, wanted, |service| kernel.picks(service)));
    let changes = changes?;
    let (written, elapsed) = time(|| changes.iter().try_for_each(|change| kernel.apply(change)));
    written?;
    held.follow(&changes);
    Ok(planned + elapsed)
}

/// A ring of so many slots for a hundred real servers.
fn ring(slots: u32) -> anyhow::Result<Duration> {
    let service = Service { scheduler: Scheduler::Maglev, real_servers: 100, ..PLAIN };
    let mut wanted = wanted(&[service], LOOPBACK, timeouts());
    for service in &mut wanted.services {
        service.ring_size = RingSize::new(slots).unwrap_or_default();
    }
    let sizes = TableSizes {
        flows: 1_024,
        services: 1,
        destinations: 128,
        ring_slots: 1 << 18,
        templates: 1_024,
        ..TableSizes::default()
    };
    let settings = lb_user::dataplane::Sizes::of(&sizes, 1, [1; 6], timeouts(), clock()).settings();
    let held = Held::empty(settings);
    let (changes, elapsed) = time(|| plan(&held, &wanted, |_| 0));
    changes?;
    Ok(elapsed)
}
