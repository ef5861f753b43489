//! `cargo xtask bench`: the benchmarks, on optimised programs.
//!
//! Refuses to know which suites there are: lb-bench does.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::workspace::Workspace;
use crate::{build, child};

/// Build everything and run the benchmarks.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only this suite; may be given several times
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Write the results to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results to this file as a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How often everything is measured, each round against every other: more rounds, less noise
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// So little that the figures mean nothing, to see that everything works
    #[arg(long)]
    smoke: bool,
    /// Measure the XDP program that is pinned here beside ours, in the suite testrun; see docs/benchmark.md
    #[arg(long, value_name = "PIN")]
    peer_program: Option<PathBuf>,
}

/// Runs the command: becomes the bench, so that signals reach it.
pub(crate) fn command(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let (lb, bench) = build::release_with_bench(workspace)?;
    let mut command = child::own(bench);
    command.env("LB_BIN", lb).env("LB_EBPF_OBJECT", workspace.object()).arg("bench");
    for suite in &arguments.suite {
        command.arg("--suite").arg(suite);
    }
    let files = [
        ("--json", &arguments.json),
        ("--html", &arguments.html),
        ("--peer-program", &arguments.peer_program),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            command.arg(name).arg(file);
        }
    }
    command.args(arguments.smoke.then_some("--smoke"));
    if let Some(rounds) = arguments.rounds {
        command.arg("--rounds").arg(rounds.to_string());
    }
    Err(child::become_it(&mut command))
}
