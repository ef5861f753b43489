//! `lb-bench`: the lab to look at, and the benchmarks. `cargo xtask run` and `cargo xtask bench` call it.

mod run;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use lb_bench::testrun::{self, Plan};

/// The lab of lb, and the benchmarks on it.
#[derive(Debug, Parser)]
#[command(name = "lb-bench", disable_help_subcommand = true)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Builds a cluster of network namespaces, sends real requests through the director, shows who answered.
    Lab {
        /// Ends after the table.
        #[arg(long)]
        once: bool,
        /// Prints as its last line what happened, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measures, and prints tables.
    Bench {
        /// Only this suite.
        #[arg(long, value_enum)]
        suite: Option<Suite>,
        /// Writes the results to this file as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// How often everything is measured.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        rounds: Option<u32>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Suite {
    /// Nanoseconds a packet, by BPF_PROG_TEST_RUN.
    Testrun,
}

fn main() -> anyhow::Result<ExitCode> {
    let Command { verb } = Command::parse();
    match verb {
        Verb::Lab { once, json } => run::run(once, json),
        // There is one suite.
        Verb::Bench { suite: Some(Suite::Testrun) | None, json, rounds } => {
            let plan = Plan { rounds: rounds.unwrap_or(Plan::FULL.rounds), ..Plan::FULL };
            testrun::run(plan, json.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
