//! The project's own commands, `cargo xtask --help`: one module a command.
//!
//! Knows how to fetch compilers, build, test and check. Knows nothing of packets, services or namespaces.

mod bench;
mod build;
mod cargo;
mod child;
mod lint;
mod run;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use workspace::Workspace;

/// The project's own commands. Each sets up what it needs by itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Run(run::Arguments),
    Test(test::Arguments),
    Lint(lint::Arguments),
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let done = Workspace::find().and_then(|workspace| match command {
        Command::Setup(arguments) => setup::command(&workspace, &arguments),
        Command::Build(arguments) => build::command(&workspace, &arguments),
        Command::Run(arguments) => run::command(&workspace, &arguments),
        Command::Test(arguments) => test::command(&workspace, &arguments),
        Command::Lint(arguments) => lint::command(&workspace, &arguments),
        Command::Bench(arguments) => bench::command(&workspace, &arguments),
    });
    match done {
        Ok(code) => code,
        // `{:#}`: one line from what was wanted down to what went wrong; never a backtrace, whatever RUST_BACKTRACE says.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
