//! `lb-bench`: the lab to look at, and the benchmarks. `cargo xtask run` and `cargo xtask bench` call it.

mod run;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use lb_bench::{
    control,
    figures::{Plan, Report, Row},
    memory, requests, testrun, veth,
};

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
        /// Only this suite; may be given several times.
        #[arg(long, value_enum)]
        suite: Vec<Suite>,
        /// Writes the results to this file as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Writes the results to this file as a page with plots.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// How often everything is measured.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        rounds: Option<u32>,
        /// So little that the figures mean nothing, to see that everything works.
        #[arg(long)]
        smoke: bool,
        /// An XDP program that is pinned here is measured beside ours by the suite testrun. Whoever brings it
        /// has configured it to forward TCP for 10.0.0.0, port 80; the clients are 172.16.0.0 and on.
        #[arg(long, value_name = "PIN")]
        peer_program: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Nanoseconds a packet, by BPF_PROG_TEST_RUN.
    Testrun,
    /// How the cost of a packet grows with services, real servers and flows.
    Growth,
    /// Packets a second over the lab's wires.
    Veth,
    /// Requests and connections a second, latency and CPU time, with real programs.
    Requests,
    /// Bytes a flow, a service, a real server.
    Memory,
    /// How long starts, reloads and a real server's death take.
    Control,
}

impl Suite {
    fn run(self, plan: Plan, peer: Option<&Path>) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Testrun => testrun::run(plan, peer),
            Self::Growth => testrun::growth(plan),
            Self::Veth => veth::run(plan),
            Self::Requests => requests::run(plan),
            Self::Memory => memory::run(plan),
            Self::Control => control::run(plan),
        }
    }
}

fn main() -> ExitCode {
    match command(Command::parse()) {
        Ok(code) => code,
        // One line from what was wanted down to what went wrong.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(Command { verb }: Command) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Lab { once, json } => run::run(once, json),
        Verb::Bench { suite, json, html, rounds, smoke, peer_program } => {
            let plan = if smoke { Plan::SMOKE } else { Plan::FULL };
            let plan = Plan { rounds: rounds.unwrap_or(plan.rounds), ..plan };
            let suites = if suite.is_empty() { Suite::value_variants() } else { &suite };
            let mut rows = Vec::new();
            for suite in suites {
                rows.extend(suite.run(plan, peer_program.as_deref())?);
            }
            let report = Report::new(rows);
            print!("{}", report.table());
            json.map(|path| report.write_json(&path)).transpose()?;
            html.map(|path| report.write_html(&path)).transpose()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
