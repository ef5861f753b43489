//! Suite `testrun`: nanoseconds a packet, by `BPF_PROG_TEST_RUN` and the restoring harness.
//!
//! Everything is measured in one run, round by round, each case in each round; what a program costs
//! is its median less that of a program that only returns XDP_TX. Refuses to compare runs.

mod cases;
mod harness;
mod machine;
mod report;

use std::path::Path;

use anyhow::Context as _;

pub use report::{Report, Row};

use cases::Case;
use harness::Harness;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often everything is measured; the guidance is 7 and more.
    pub rounds: u32,
    /// Runs of a program in one measurement.
    pub runs: u32,
    /// The most flows that a case visits; cases with more are left out.
    pub most_flows: u32,
}

impl Plan {
    /// Enough for figures to believe.
    pub const FULL: Self = Self { rounds: 9, runs: 1_000_000, most_flows: 1 << 20 };
    /// Enough to see that everything works.
    pub const SMOKE: Self = Self { rounds: 3, runs: 20_000, most_flows: 1 << 10 };
}

/// Measures all cases, and writes what came out.
pub fn run(plan: Plan, json: Option<&Path>) -> anyhow::Result<Report> {
    let report = measure(plan)?;
    print!("{}", report.table());
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(report)
}

/// Measures all cases.
pub fn measure(plan: Plan) -> anyhow::Result<Report> {
    let cases: Vec<Case> = Case::all().into_iter().filter(|case| case.flows <= plan.most_flows).collect();
    let mut harnesses = Vec::new();
    for case in cases {
        let mut harness = Harness::of(&case).with_context(|| case.name())?;
        harness.warm_up(plan.runs).with_context(|| case.name())?;
        harnesses.push((case, harness, Vec::<f64>::new()));
    }
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        for (case, harness, times) in &mut harnesses {
            times.push(harness.measure(plan.runs).with_context(|| case.name())?);
        }
    }
    let measured = harnesses.into_iter().map(|(case, _, times)| (case, times));
    Ok(Report::new(machine::describe(), measured.collect(), plan))
}
