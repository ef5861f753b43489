//! The test programs: which packages have them, building them, running them one after the other.
//!
//! Refuses to know what a test does; only how many may run at once.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::cargo_on;
use super::libtest::{self, Report};
use super::tally::Tally;
use crate::workspace::Workspace;
use crate::{cargo, child};

/// What every test program gets.
pub(super) struct Surroundings<'a> {
    pub(super) workspace: &'a Workspace,
    /// The command lb, where it could be built.
    pub(super) lb: Option<PathBuf>,
    /// Where a test that can't run here appends the line `name: why`.
    pub(super) reports: &'a Path,
    /// Only tests with this in their name.
    pub(super) filter: Option<&'a str>,
}

/// A package with tests.
struct Suite {
    package: &'static str,
    /// Features, as cargo wants them: `package/feature`.
    features: Option<&'static str>,
    /// Whether it has a library, which may have examples in its documentation.
    library: bool,
    /// How many tests run at once; libtest's own choice if none.
    threads: Option<&'static str>,
}

/// Labs measure loss and time, and a neighbour's load on the same few CPUs would look like the director's doing.
const ONE_LAB_AT_A_TIME: &str = "1";

const SUITES: [Suite; 4] = [
    Suite { package: "lb-common", features: Some("lb-common/host"), library: true, threads: None },
    Suite { package: "xtask", features: None, library: false, threads: None },
    Suite { package: "lb-user", features: None, library: true, threads: None },
    Suite { package: "lb-bench", features: None, library: true, threads: Some(ONE_LAB_AT_A_TIME) },
];

/// Builds every test program, then runs them, cheapest packages first.
pub(super) fn run(surroundings: &Surroundings<'_>, tally: &mut Tally) -> Result<()> {
    let mut cargo = cargo::command(surroundings.workspace, "build");
    // Not `test --no-run`: it stops at the first program that doesn't compile.
    cargo.args(["--tests", "--keep-going"]);
    for suite in &SUITES {
        cargo
            .args(["--package", suite.package])
            .args(suite.features.map(|features| format!("--features={features}")));
    }
    let built = cargo::build(&mut cargo)?;
    for name in &built.failed {
        tally.failed(name, "does not compile");
    }
    for suite in &SUITES {
        let programs = built.executables.iter().filter(|built| built.package == suite.package);
        // Next to test programs stand the programs that they run.
        for program in programs.filter(|program| program.is_test) {
            let name = format!("{} ({})", program.package, program.target);
            let mut command = child::own(&program.path);
            command.current_dir(&program.directory).env("CARGO_MANIFEST_DIR", &program.directory);
            command.args(suite.threads.map(|threads| format!("--test-threads={threads}")));
            run_one(surroundings, &name, &mut command, tally)?;
        }
        let compiles = !built.failed.iter().any(|name| name.starts_with(&format!("{} (lib)", suite.package)));
        if suite.library && compiles {
            examples(surroundings, suite, tally)?;
        }
    }
    Ok(())
}

/// The examples in a library's documentation, which cargo can only build and run in one go.
fn examples(surroundings: &Surroundings<'_>, suite: &Suite, tally: &mut Tally) -> Result<()> {
    let mut command = cargo_on(surroundings.workspace, "test", suite.package);
    command.args(["--doc", "--quiet"]).args(suite.features.map(|features| format!("--features={features}")));
    command.arg("--");
    run_one(surroundings, &format!("{} (documentation)", suite.package), &mut command, tally)
}

/// Runs a test program, or a cargo that ends in one, and counts what it says.
pub(super) fn run_one(
    surroundings: &Surroundings<'_>,
    name: &str,
    command: &mut Command,
    tally: &mut Tally,
) -> Result<()> {
    println!("\n{name}");
    command.env("LB_SKIPPED", surroundings.reports).env("LB_EBPF_OBJECT", surroundings.workspace.object());
    if let Some(lb) = &surroundings.lb {
        command.env("LB_BIN", lb);
    }
    if io::stdout().is_terminal() {
        command.arg("--color=always");
    }
    command.args(surroundings.filter);
    let mut program =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("can't start {name}"))?;
    let report = match program.stdout.take() {
        Some(output) => {
            libtest::follow(output, io::stdout()).with_context(|| format!("reading from {name}"))?
        }
        None => Report::default(),
    };
    let status = program.wait().with_context(|| format!("waiting for {name}"))?;
    tally.add(name, &report, status);
    Ok(())
}
