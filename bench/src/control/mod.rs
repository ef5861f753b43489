//! Suite `control`: how long it takes until what an operator wants is so. In milliseconds.
//!
//! [`tables`] asks the parts of a daemon, one by one; [`daemon`] asks a whole one, in the lab.

mod daemon;
mod tables;

use crate::figures::{Key, Plan, Row};

/// Measures everything.
pub fn run(plan: Plan) -> anyhow::Result<Vec<Row>> {
    let mut rows = tables::run(plan)?;
    rows.extend(daemon::run(plan)?);
    Ok(rows)
}

/// How many services a director of some size has.
const SERVICES: [u32; 4] = [1, 100, 1_000, 10_000];

fn row(case: &str, milliseconds: &[f64]) -> Row {
    let key = Key { suite: "control", case: case.into(), subject: "lb".into(), flows: 0, unit: "ms" };
    Row::alone(key, milliseconds)
}
