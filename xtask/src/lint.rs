//! `cargo xtask lint`: every check that needs no packet. All run; the last line names those that failed.
//!
//! Refuses to change a file.

mod source;
mod tidy;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::workspace::Workspace;
use crate::{build, cargo, child, setup};

/// Check format, clippy, licences, spelling and the house rules; nothing is changed.
#[derive(Args)]
pub(crate) struct Arguments {}

/// Runs the command.
pub(crate) fn command(workspace: &Workspace, _: &Arguments) -> Result<ExitCode> {
    let compiler = setup::for_build(workspace)?;
    compiler.clippy()?;
    let tools = setup::for_lint(workspace)?;

    let mut checks = Checks::default();
    checks.run("tidy", || tidy::check(&workspace.root));
    checks.run("format", || child::shown(cargo_here(workspace, "fmt").args(["--all", "--", "--check"])));
    checks.run("spelling", || child::shown(child::own(&tools.typos).current_dir(&workspace.root)));
    checks.run("licences, bans, sources", || {
        // Not `advisories`: its database is fetched from a host of its own at every call, and a check that depends on
        // the day fails on changes that did nothing wrong. Run it by `cargo deny check advisories`.
        let mut deny = child::own(&tools.cargo_deny);
        deny.current_dir(&workspace.root).args(["--all-features", "check", "--hide-inclusion-graph"]);
        child::shown(deny.args(["bans", "licenses", "sources"]))
    });
    checks.run("clippy of lb-ebpf", || {
        let mut clippy = build::ebpf_cargo(workspace, &compiler, "clippy");
        child::shown(clippy.args(["--bin", "lb-ebpf", "--bin", "real_server", "--", "-D", "warnings"]))
    });
    checks.run("the eBPF object", || build::object(workspace, &compiler).map(|()| true));
    checks.run("clippy", || {
        let mut clippy = cargo::command(workspace, "clippy");
        clippy.args(["--workspace", "--exclude", "lb-ebpf", "--all-targets", "--all-features"]);
        child::shown(clippy.args(["--", "-D", "warnings"]))
    });
    Ok(checks.conclude())
}

/// What ran and what failed.
#[derive(Default)]
struct Checks {
    count: usize,
    failed: Vec<&'static str>,
}

impl Checks {
    fn run(&mut self, name: &'static str, check: impl FnOnce() -> Result<bool>) {
        eprintln!("lint: {name}");
        let started = Instant::now();
        let good = check().with_context(|| name).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            false
        });
        self.count += 1;
        let seconds = started.elapsed().as_secs_f32();
        eprintln!("lint: {name} {}, {seconds:.1} s", if good { "holds" } else { "FAILED" });
        if !good {
            self.failed.push(name);
        }
    }

    fn conclude(&self) -> ExitCode {
        if self.failed.is_empty() {
            eprintln!("lint: all {} checks hold", self.count);
            return ExitCode::SUCCESS;
        }
        eprintln!("lint: {} of {} checks failed: {}", self.failed.len(), self.count, self.failed.join(", "));
        ExitCode::FAILURE
    }
}

fn cargo_here(workspace: &Workspace, subcommand: &str) -> Command {
    let mut command = child::cargo();
    command.arg(subcommand).current_dir(&workspace.root);
    command
}
