//! Suite `testrun`: nanoseconds a packet, by `BPF_PROG_TEST_RUN` and the restoring harness.
//!
//! Everything is measured in one run, round by round, each case in each round, and in turns with a program
//! that does nothing but return the same: what a program costs is what it takes more in the same round.
//! What became of every packet is counted, and a case whose packets met another fate than it says fails.
//! Refuses to compare runs.

mod bench;
mod cases;
mod frame;
mod growth;
mod harness;
mod tables;

use std::path::Path;

use anyhow::Context as _;

use crate::{
    cpu,
    figures::{Plan, Progress, Row},
};

use bench::{Bench, Figures};
pub(crate) use cases::PLAIN;
pub(crate) use frame::{CLIENT, Content, Target, frame, native_sum};
pub(crate) use harness::{OBJECT, RESTORED, program_mut};
pub(crate) use tables::{Forward, LOOPBACK, Service, Tables, load, wanted};

use cases::Case;

/// Measures all cases.
///
/// `peer` is where somebody else's XDP program is pinned, to be measured beside ours: a balancer that whoever
/// brings it has configured to forward TCP for 10.0.0.0, port 80.
pub fn run(plan: Plan, peer: Option<&Path>) -> anyhow::Result<Vec<Row>> {
    cpu::on_one(|| measure(plan, peer))
}

/// How the cost of a packet grows: with services, real servers and flows.
pub fn growth(plan: Plan) -> anyhow::Result<Vec<Row>> {
    cpu::on_one(|| measure_all("growth", growth::sizes(plan.most), plan, None))
}

fn measure(plan: Plan, peer: Option<&Path>) -> anyhow::Result<Vec<Row>> {
    let most_flows = plan.most.min(1 << 20);
    let mut cases = Case::all(most_flows);
    if peer.is_some() {
        cases.extend(Case::of_peer(most_flows));
    }
    let sizes = vec![Size::of(cases), Size::of(Case::masquerading(most_flows))];
    measure_all("testrun", sizes, plan, peer)
}

/// Tables of a size, and what is measured on them.
struct Size {
    services: Vec<Service>,
    cases: Vec<Case>,
}

impl Size {
    /// Just what these cases need.
    fn of(cases: Vec<Case>) -> Self {
        let mut services: Vec<Service> = Vec::new();
        for case in &cases {
            if !services.contains(&case.service) {
                services.push(case.service);
            }
        }
        Self { services, cases }
    }

    fn tables(&self) -> anyhow::Result<Tables> {
        let flows = self.cases.iter().map(|case| case.flows).max().unwrap_or(1);
        // A masqueraded flow has two entries.
        let entries = if self.services.iter().any(|one| one.forward == Forward::Masquerade) { 2 } else { 1 };
        Tables::new(&self.services, entries * flows, LOOPBACK)
            .with_context(|| format!("tables of {} services and {flows} flows", self.services.len()))
    }
}

/// Measures every case of every size in each round.
fn measure_all(
    suite: &'static str,
    sizes: Vec<Size>,
    plan: Plan,
    peer: Option<&Path>,
) -> anyhow::Result<Vec<Row>> {
    let mut bench = Bench::new(peer)?;
    let mut all = Vec::new();
    for size in sizes {
        let figures = vec![Figures::default(); size.cases.len()];
        all.push((size.tables()?, size.cases, figures));
    }
    let cases: usize = all.iter().map(|(_, cases, _)| cases.len()).sum();
    let mut progress = Progress::new(suite, plan.rounds as usize * cases);
    for _ in 0..plan.rounds {
        for (tables, cases, figures) in &mut all {
            for (case, figures) in cases.iter().zip(figures) {
                progress.step(&case.label());
                bench.round(case, tables, plan.packets, figures).with_context(|| case.label())?;
            }
        }
    }
    let rows = all.iter().flat_map(|(_, cases, figures)| {
        cases.iter().zip(figures).map(|(case, figures)| figures.row(suite, case))
    });
    Ok(rows.collect())
}
