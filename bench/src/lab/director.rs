//! The program under test: `lb run` on a host of the lab, with a config file of its own.
//! Refuses to know what stands in the config.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use super::{Host, LabError, Process, Signal};

/// A start takes this long at most: the checks of dead real servers run into their timeouts.
const START: Duration = Duration::from_secs(20);

/// A director that runs on a host. Dropping it kills the daemon; the data plane goes on until the lab ends.
#[derive(Debug)]
pub struct Director<'a> {
    host: &'a Host,
    config: PathBuf,
    daemon: Process,
}

impl Host {
    /// Starts `lb run` with this config, and waits until it is ready.
    pub fn director(&self, config: &str) -> Result<Director<'_>, LabError> {
        let path = self.directory().join("lb.toml");
        write(&path, config)?;
        let daemon = start(self, &path)?;
        let mut director = Director { host: self, config: path, daemon };
        director.daemon.wait_for_line("ready", START)?;
        Ok(director)
    }

    /// `lb` with these arguments, on this host, to its end.
    pub fn lb(&self, arguments: &[&str]) -> Result<Output, LabError> {
        let mut command = self.command(binary());
        command.args(arguments);
        command.output().map_err(|source| LabError::system(format!("run {}", binary().display()), source))
    }
}

impl Director<'_> {
    /// The config file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The daemon.
    pub fn daemon(&mut self) -> &mut Process {
        &mut self.daemon
    }

    /// Replaces the config file and has it read, and waits until the daemon has said what became of it.
    pub fn reload(&mut self, config: &str) -> Result<String, LabError> {
        write(&self.config, config)?;
        self.daemon.signal(Signal::HUP)?;
        self.daemon.wait_for_line("reloaded", START)
    }

    /// Kills the daemon with SIGKILL and starts another one.
    pub fn crash_and_restart(&mut self) -> Result<(), LabError> {
        self.daemon.kill()?;
        self.daemon = start(self.host, &self.config)?;
        self.daemon.wait_for_line("ready", START).map(drop)
    }
}

fn start(host: &Host, config: &Path) -> Result<Process, LabError> {
    let mut command: Command = host.command(binary());
    command.arg("run").arg("--config").arg(config);
    host.spawn(command)
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(|source| LabError::system(format!("write {}", path.display()), source))
}

/// The binary under test: what the environment names, or what was built beside this program.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LB_BIN") {
        return path.into();
    }
    let beside = std::env::current_exe().ok().and_then(|path| {
        // target/debug/deps/lab-0123 or target/debug/lb-bench
        path.ancestors().skip(1).take(2).map(|directory| directory.join("lb")).find(|path| path.is_file())
    });
    beside.unwrap_or_else(|| "lb".into())
}
