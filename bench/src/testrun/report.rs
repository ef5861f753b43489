//! What came out: a table for people, rows for programs.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::Plan;
use super::cases::Case;

/// All that a run of the suite found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the machine is.
    pub machine: BTreeMap<&'static str, String>,
    /// One a case.
    pub rows: Vec<Row>,
}

/// One case. Times are nanoseconds a packet, the harness's own cost included, but for `net`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `testrun`.
    pub suite: &'static str,
    /// What happens to the packet.
    pub case: &'static str,
    /// The program.
    pub subject: &'static str,
    /// How many flows are visited in turn.
    pub flows: u32,
    /// `ns/packet`.
    pub unit: &'static str,
    /// The median of all rounds.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
    /// How many rounds.
    pub rounds: u32,
    /// What the program costs more than the floor: the difference of the lowest times, which noise can't
    /// lower. Nothing for the floor itself.
    pub net: Option<f64>,
    /// What it is compared with.
    pub ratio_to: Option<&'static str>,
    /// Its median by the floor's; nothing where the spread of either is larger than the difference.
    pub ratio: Option<f64>,
}

impl Report {
    pub(super) fn new(
        machine: BTreeMap<&'static str, String>,
        measured: Vec<(Case, Vec<f64>)>,
        plan: Plan,
    ) -> Self {
        let mut rows: Vec<Row> = measured
            .into_iter()
            .map(|(case, mut times)| {
                times.sort_by(f64::total_cmp);
                Row {
                    suite: "testrun",
                    case: case.name,
                    subject: case.subject_name(),
                    flows: case.flows,
                    unit: "ns/packet",
                    median: times[times.len() / 2],
                    min: times[0],
                    max: times[times.len() - 1],
                    rounds: plan.rounds,
                    net: None,
                    ratio_to: None,
                    ratio: None,
                }
            })
            .collect();
        let floors: Vec<Row> = rows.iter().filter(|row| row.case == "floor/tx").cloned().collect();
        for row in rows.iter_mut().filter(|row| row.case != "floor/tx") {
            let Some(floor) = floors.iter().find(|floor| floor.flows == row.flows).or(floors.first()) else {
                continue;
            };
            row.net = Some(row.min - floor.min);
            row.ratio_to = Some(floor.subject);
            let spread = |row: &Row| row.median - row.min;
            let difference = row.median - floor.median;
            if difference.abs() > spread(row).max(spread(floor)) {
                row.ratio = Some(row.median / floor.median);
            }
        }
        Self { machine, rows }
    }

    /// The row of a case.
    pub fn row(&self, case: &str, flows: u32) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case && row.flows == flows)
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.machine {
            let _infallible = writeln!(text, "{key:<12} {value}");
        }
        let _infallible = writeln!(
            text,
            "\n{:<26} {:>9} {:>8} {:>8} {:>8} {:>8} {:>7}",
            "ns a packet", "flows", "median", "lowest", "highest", "net", "ratio"
        );
        for row in &self.rows {
            let net = row.net.map_or_else(String::new, |net| format!("{net:.1}"));
            let ratio = match (row.ratio_to, row.ratio) {
                (None, _) => String::new(),
                (_, None) => "noise".into(),
                (_, Some(ratio)) => format!("{ratio:.2}"),
            };
            let _infallible = writeln!(
                text,
                "{:<26} {:>9} {:>8.1} {:>8.1} {:>8.1} {net:>8} {ratio:>7}",
                row.case, row.flows, row.median, row.min, row.max
            );
        }
        text
    }
}
