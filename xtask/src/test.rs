//! `cargo xtask test`: every test that this machine can run, and one closing line with the counts.
//!
//! Refuses to know what is tested.

mod libtest;
mod miri;
mod suites;
mod tally;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use tally::Tally;

use crate::build::{self, Profile};
use crate::workspace::Workspace;
use crate::{cargo, setup};

/// Build everything and run every test; what can't run on this machine is named with its reason.
///
/// The last line is `N passed, N failed, N skipped`; the exit code is 1 if anything failed.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only tests with this in their name
    filter: Option<String>,
}

/// Runs the command.
pub(crate) fn command(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let compiler = setup::for_run(workspace)?;
    let mut tally = Tally::default();
    if let Err(error) = build::object(workspace, &compiler) {
        tally.failed("lb-ebpf", &format!("{error:#}"));
    }
    // Tests of the lab run it as a user would.
    let lb =
        build::programs(workspace, Profile::Dev, &[("lb-user", "lb")]).and_then(|built| built.program("lb"));
    if let Err(error) = &lb {
        tally.failed("lb", &format!("{error:#}"));
    }

    let reports = tempfile::Builder::new()
        .prefix("skipped-")
        .tempfile_in(&workspace.target)
        .context("making the file for tests that can't run here")?;
    let surroundings = suites::Surroundings {
        workspace,
        lb: lb.ok(),
        reports: reports.path(),
        filter: arguments.filter.as_deref(),
    };
    suites::run(&surroundings, &mut tally)?;
    miri::run(&surroundings, &mut tally)?;

    let text = std::fs::read_to_string(reports.path()).context("reading which tests could not run here")?;
    tally.skipped_by_themselves(&text);
    print!("\n{tally}");
    if let (Some(filter), true) = (&arguments.filter, tally.is_empty()) {
        eprintln!("error: no test has {filter:?} in its name");
        return Ok(ExitCode::FAILURE);
    }
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The host's cargo with a sub-command on one package.
fn cargo_on(workspace: &Workspace, subcommand: &str, package: &str) -> std::process::Command {
    let mut command = cargo::command(workspace, subcommand);
    command.args(["--package", package]);
    command
}
