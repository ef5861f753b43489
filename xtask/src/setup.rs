//! `cargo xtask setup`: finds what building, testing and the lab need, and installs what is missing.
//!
//! One function a set of needs, so that no command waits for another's tools.
//! Refuses to know what is done with any of it.

mod compiler;
mod debian;
mod linker;
mod lint_tools;
mod needs;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

pub(crate) use compiler::{Compiler, rustup_program};
pub(crate) use lint_tools::LintTools;

use crate::workspace::Workspace;

/// Find the compiler for eBPF and the programs of the lab; install what is missing.
///
/// On Debian, as root, it installs by apt what is missing; elsewhere it says what to install.
/// Tools that it builds go to target/tools and nowhere else.
/// `LB_BPF_LINKER` in the environment names a bpf-linker to be used as it is.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only what `run`, `test` and `bench` need, not the tools of `lint` (one of them takes minutes to build)
    #[arg(long)]
    for_run: bool,
}

/// Runs the command.
pub(crate) fn command(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let compiler = for_run(workspace)?;
    eprintln!("compiler for eBPF: {compiler}");
    if !arguments.for_run {
        for_lint(workspace)?;
    }
    eprintln!("setup: complete");
    Ok(ExitCode::SUCCESS)
}

/// What `build` needs.
pub(crate) fn for_build(workspace: &Workspace) -> Result<Compiler> {
    compiler::ready(workspace)
}

/// What `run`, `test` and `bench` need: a build, and the programs of the lab.
pub(crate) fn for_run(workspace: &Workspace) -> Result<Compiler> {
    debian::install_missing(needs::LAB)?;
    for_build(workspace)
}

/// What `lint` needs beyond a build.
pub(crate) fn for_lint(workspace: &Workspace) -> Result<LintTools> {
    lint_tools::ready(workspace)
}
