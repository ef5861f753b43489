//! The command line of `lb`: what can be said, and what is answered. It does nothing itself.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::daemon::{DEFAULT_PINS, Options, Stopped, ask, run, stop};

/// An LVS director on an XDP data plane.
#[derive(Debug, Parser)]
#[command(name = "lb", version, disable_help_subcommand = true)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the director in the foreground.
    ///
    /// SIGHUP reloads the config. SIGTERM ends the daemon and leaves the data plane at work, for a restart
    /// that no packet notices. Ctrl-C ends both, as `lb stop` does.
    Run(Run),
    /// Ends the director, running or left over: detaches, and leaves nothing.
    Stop(Pins),
    /// Has the running director read its config again.
    Reload(Pins),
    /// Says what is wrong with a config file, if anything.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// The config file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// An interface to work on, besides those of the config; may be given several times.
    #[arg(long = "iface", value_name = "IF")]
    interfaces: Vec<String>,
    #[command(flatten)]
    pins: Pins,
    /// Logs the verdict of every packet. For looking: it costs microseconds each.
    #[arg(long)]
    debug_packets: bool,
}

#[derive(Debug, Args)]
struct Pins {
    /// Where tables and links are pinned: a directory on a bpf file system, one a director.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PINS)]
    pins: PathBuf,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let Command { verb } = Command::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("LB_LOG").unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match answer(verb) {
        Ok(code) => code,
        Err(error) => {
            // Several errors of one config are several lines.
            for line in in_words(&error).lines() {
                eprintln!("lb: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn answer(verb: Verb) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match verb {
        Verb::Run(Run { config, interfaces, pins: Pins { pins }, debug_packets }) => {
            runtime.block_on(run(Options { config, interfaces, pins, debug_packets }))?;
        }
        Verb::Stop(Pins { pins }) => match runtime.block_on(stop(&pins))? {
            Stopped::ByDaemon(said) => println!("{said}"),
            Stopped::LeftOver(said) => println!("no daemon was running; {said}"),
            Stopped::Nothing => println!("nothing to stop: no daemon, and no pins in {}", pins.display()),
        },
        Verb::Reload(Pins { pins }) => {
            let Some(said) = ask(&pins, "reload")? else {
                anyhow::bail!("no director with the pins {} runs in this network namespace", pins.display());
            };
            print!("{said}");
            return Ok(if said.starts_with("reloaded") { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Verb::CheckConfig { file } => {
            let model = crate::config::load(&file)?;
            println!("{}: {} virtual services, nothing wrong", file.display(), model.services.len());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An error and its causes. Many errors repeat their cause in their own words: it is not said twice.
fn in_words(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::in_words;

    #[test]
    fn a_cause_is_said_once() {
        let told = anyhow!("no room").context("the table is full: no room");
        assert_eq!(in_words(&told), "the table is full: no room");
        let untold = anyhow!("no room").context("the table is full");
        assert_eq!(in_words(&untold), "the table is full: no room");
    }
}
