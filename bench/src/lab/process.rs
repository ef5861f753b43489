//! A process on a host that goes on running: its log, its signals, its end.
//! Refuses to know what the program does.

use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use super::{Host, LabError, command, namespace::Namespace};

/// How often a log or a port is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// How much of a log an error repeats, in lines.
const TAIL: usize = 20;

/// A running process. Dropping it kills it with SIGKILL, and its process group with it.
#[derive(Debug)]
pub struct Process {
    namespace: Namespace,
    command: String,
    child: Child,
    log: PathBuf,
    /// How far [`Process::wait_for_line`] has read the log, in bytes.
    read: usize,
}

impl Host {
    /// Starts a [`Host::command`] that goes on running, with nothing to read and its output in a log.
    ///
    /// It dies with this process, however that ends, but not with this thread.
    pub fn spawn(&self, mut command: Command) -> Result<Process, LabError> {
        /// Makes the names of logs differ.
        static SPAWNED: AtomicU32 = AtomicU32::new(0);

        let line = command::line(&command);
        let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
        let number = SPAWNED.fetch_add(1, Ordering::Relaxed);
        let log = self.directory().join(format!("{program}.{number}.log"));
        let failed = |source| LabError::system(format!("write the log {}", log.display()), source);
        // Appending, so that the two streams don't overwrite each other.
        let file = File::options().create(true).append(true).open(&log).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(file.try_clone().map_err(failed)?).stderr(file);
        let child = command::launch(&self.name(), command)?;
        Ok(Process { namespace: self.namespace().clone(), command: line, child, log, read: 0 })
    }
}

impl Process {
    /// Its number, which stays its own as long as this value lives and [`Process::wait`] has not said that
    /// it ended.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with its standard output and standard error, in the order of writing.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal to the process alone, not to its group.
    pub fn signal(&mut self, signal: Signal) -> Result<(), LabError> {
        let failed = |source: io::Error| LabError::system(format!("send {signal:?}"), source);
        if let Some(status) = self.child.try_wait().map_err(failed)? {
            return Err(self.ended(status, &format!("it was sent {signal:?}")));
        }
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .map_err(|error| failed(error.into()))
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool, LabError> {
        Ok(self.wait_up_to(Duration::ZERO)?.is_none())
    }

    /// Waits for its end.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus, LabError> {
        self.wait_up_to(deadline)?.ok_or_else(|| self.not_seen("its end", deadline))
    }

    /// Kills it with SIGKILL, its process group too, and waits until it is gone.
    pub fn kill(&mut self) -> Result<(), LabError> {
        command::kill(&mut self.child)
            .map_err(|source| LabError::system(format!("kill {}", self.subject()), source))
    }

    /// Waits for a line of the log that contains `text`, and answers the line.
    ///
    /// The next call goes on behind that line, so it waits for the next "reloaded", not for the same one.
    pub fn wait_for_line(&mut self, text: &str, deadline: Duration) -> Result<String, LabError> {
        let awaited = format!("a line with `{text}`");
        let until = Instant::now() + deadline;
        loop {
            // Asked before reading: what it wrote before it ended is in the log by then.
            let ended = self.wait_up_to(PAUSE)?;
            if let Some(line) = self.next_line_with(text)? {
                return Ok(line);
            }
            if let Some(status) = ended {
                return Err(self.ended(status, &awaited));
            }
            if Instant::now() >= until {
                return Err(self.not_seen(&awaited, deadline));
            }
        }
    }

    /// Waits until a TCP connection to the address succeeds from the process's own host. The connection is
    /// closed at once, which the process may notice.
    pub fn wait_for_listener(&mut self, address: SocketAddr, deadline: Duration) -> Result<(), LabError> {
        let awaited = format!("a listener at {address}");
        let until = Instant::now() + deadline;
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(PAUSE);
            if self.namespace.within(|| TcpStream::connect_timeout(&address, left).is_ok())? {
                return Ok(());
            }
            if let Some(status) = self.wait_up_to(PAUSE)? {
                return Err(self.ended(status, &awaited));
            }
            if Instant::now() >= until {
                return Err(self.not_seen(&awaited, deadline));
            }
        }
    }

    fn wait_up_to(&mut self, deadline: Duration) -> Result<Option<ExitStatus>, LabError> {
        command::wait(&mut self.child, deadline)
            .map_err(|source| LabError::system(format!("wait for {}", self.subject()), source))
    }

    fn next_line_with(&mut self, text: &str) -> Result<Option<String>, LabError> {
        let log = fs::read(&self.log)
            .map_err(|source| LabError::system(format!("read the log {}", self.log.display()), source))?;
        // A last line without its end may still be being written.
        while let Some(length) = log[self.read..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&log[self.read..self.read + length]);
            self.read += length + 1;
            if line.contains(text) {
                return Ok(Some(line.into_owned()));
            }
        }
        Ok(None)
    }

    fn subject(&self) -> String {
        format!("`{}` in {}", self.command, self.namespace.name())
    }

    fn ended(&self, status: ExitStatus, awaited: &str) -> LabError {
        LabError::EndedEarly {
            subject: self.subject(),
            status,
            awaited: awaited.to_owned(),
            log: self.tail(),
        }
    }

    fn not_seen(&self, awaited: &str, deadline: Duration) -> LabError {
        LabError::NotSeen { subject: self.subject(), awaited: awaited.to_owned(), deadline, log: self.tail() }
    }

    /// The end of the log, on lines of its own.
    fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL)..];
        if last.is_empty() {
            "; its log is empty".to_owned()
        } else {
            format!("; its log ends:\n{}", last.join("\n"))
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // While panicking too: whoever reads the failure wants to see what the process said.
        if thread::panicking() {
            eprintln!("{}{}", self.subject(), self.tail());
        }
        if let Err(error) = self.kill() {
            eprintln!("{error}");
        }
    }
}
