//! What a benchmark yields: rows of figures, the machine that they were measured on, and how both are shown.
//!
//! Refuses to know what was measured and how.

mod growth;
mod html;
mod machine;
mod plot;
mod progress;
mod sample;
mod table;

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Context as _;
use serde::Serialize;

pub use progress::Progress;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// How often everything is measured; 7 and more for figures to believe.
    pub rounds: u32,
    /// Packets of one case in one round.
    pub packets: u32,
    /// The most flows, services and real servers; cases with more are left out.
    pub most: u32,
    /// How long a load that takes time lasts in one round, in milliseconds.
    pub milliseconds: u32,
}

impl Plan {
    /// Enough for figures to believe.
    pub const FULL: Self = Self { rounds: 9, packets: 1 << 20, most: 1 << 22, milliseconds: 2_000 };
    /// Enough to see that everything works.
    pub const SMOKE: Self = Self { rounds: 1, packets: 1 << 12, most: 1 << 10, milliseconds: 300 };
}

/// All that one run found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the machine is, and who was compared.
    pub machine: BTreeMap<&'static str, String>,
    /// One a case and subject.
    pub rows: Vec<Row>,
}

/// What was measured of whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// `testrun`, `veth`, `requests`, `memory`, `control` or `growth`.
    pub suite: &'static str,
    /// What happens, such as `direct/tcp4/established`.
    pub case: String,
    /// Who does it, such as `lb:maglev`, `floor:tx`, `nftables`.
    pub subject: String,
    /// How many flows there are; 0 where there are none to count.
    pub flows: u64,
    /// What the figures are, such as `ns/packet`.
    pub unit: &'static str,
}

/// One case by one subject.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured of whom.
    #[serde(flatten)]
    pub key: Key,
    /// The median of all rounds.
    pub median: f64,
    /// The lowest round.
    pub min: f64,
    /// The highest round.
    pub max: f64,
    /// How many rounds.
    pub rounds: usize,
    /// The median of what a round has more than the same round of `ratio_to`.
    pub net: Option<f64>,
    /// How far apart the quartiles of that are.
    pub noise: Option<f64>,
    /// The subject that it is compared with.
    pub ratio_to: Option<String>,
    /// The median of the rounds' ratios; nothing where the noise is larger than what it would say.
    pub ratio: Option<f64>,
}

impl Report {
    /// Rows, and the machine that we are on.
    pub fn new(mut rows: Vec<Row>) -> Self {
        // A suite's rows stand together, in the order in which suites came first.
        let mut suites = Vec::new();
        for row in &rows {
            if !suites.contains(&row.key.suite) {
                suites.push(row.key.suite);
            }
        }
        rows.sort_by_key(|row| suites.iter().position(|suite| *suite == row.key.suite));
        Self { machine: machine::describe(), rows }
    }

    /// The row of a case by a subject.
    pub fn row(&self, case: &str, subject: &str, flows: u64) -> Option<&Row> {
        let is_it = |key: &Key| key.case == case && key.subject == subject && key.flows == flows;
        self.rows.iter().find(|row| is_it(&row.key))
    }

    /// For people.
    pub fn table(&self) -> String {
        table::table(self)
    }

    /// For people with a browser: one file that needs no other.
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// Writes it as JSON.
    pub fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        write(path, &serde_json::to_string_pretty(self)?)
    }

    /// Writes it as HTML.
    pub fn write_html(&self, path: &Path) -> anyhow::Result<()> {
        write(path, &self.html())
    }
}

/// Whoever interrupts us leaves no half file.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrong = || format!("writing {}", path.display());
    // As any file: the process's umask says who may read it.
    let any = fs::Permissions::from_mode(0o666);
    let new = tempfile::Builder::new().permissions(any).tempfile_in(directory).with_context(wrong)?;
    fs::write(new.path(), text).with_context(wrong)?;
    new.persist(path).with_context(wrong)?;
    Ok(())
}
