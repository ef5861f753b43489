//! Another kernel than this machine's: Debian's user-mode Linux, an ordinary process that boots in seconds.
//!
//! The guest sees this machine's files and writes into memory, so every program of this machine is there,
//! and nothing of what it does stays. It has one CPU, no JIT for eBPF and no BTF of its own.
//! Refuses to know what is run in it.

mod alignment;
mod guest;
mod package;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags},
};

pub use alignment::any_alignment;
pub use guest::GuestTest;

/// The guest's memory: the lab and small tables need a quarter of it. The host gives what is touched.
const MEMORY: &str = "mem=1024M";

/// What the kernel says on its console when it starts the first process.
const BOOTED: &str = "as init process";

/// The guest's first process.
const INIT: &str = include_str!("init.sh");

/// An unpacked user-mode Linux.
#[derive(Debug)]
pub struct Uml {
    /// Where runs keep their files.
    directory: PathBuf,
    kernel: PathBuf,
    modules: PathBuf,
}

/// What a command in the guest left.
#[derive(Debug)]
pub struct Ran {
    /// Standard output and standard error, as they came.
    pub output: String,
    /// The exit status as a shell has it: 128 and the number where a signal ended it.
    pub status: i32,
}

/// Why there was no answer from the guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UmlError {
    /// The guest gets a process namespace of its own.
    #[error("user-mode Linux is run in a process namespace, which only root may make: run this as root")]
    NotRoot,
    /// There is no such package for this machine.
    #[error("the Debian package user-mode-linux can't be had here: {0}")]
    NoPackage(String),
    /// A program that runs in the guest is this machine's.
    #[error("{0} isn't installed here: `cargo xtask setup` does it, or install the Debian package {0}")]
    NoProgram(String),
    /// The kernel did not come as far as its first process.
    #[error("user-mode Linux does not boot on this machine; its last words: {console}")]
    NoBoot {
        /// The end of its console.
        console: String,
    },
    /// The guest booted, and then its surroundings could not be made.
    #[error("user-mode Linux booted, but the command was not run to its end: {why}; last words: {console}")]
    Guest {
        /// What the guest said about it.
        why: String,
        /// The end of its console.
        console: String,
    },
    /// The command did not end in time; the guest was killed.
    #[error("the guest was killed because it had not ended after {deadline:?}; output until then:\n{output}")]
    TooSlow {
        /// How long it was given.
        deadline: Duration,
        /// What the command said until then.
        output: String,
    },
    /// The guest's part of a test.
    #[error("the test failed in the guest, with status {status}: its output is above")]
    Failed {
        /// The exit status, as a shell has it.
        status: i32,
    },
    /// Something on this side failed.
    #[error("can't {action}: {source}")]
    System {
        /// What was tried, and on what.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Uml {
    /// The package as `dpkg-deb --extract` left it in this directory.
    pub fn unpacked(directory: &Path) -> Result<Self, UmlError> {
        let (kernel, modules) = (directory.join("usr/bin/linux.uml"), directory.join("usr/lib/uml/modules"));
        for part in [&kernel, &modules] {
            if !part.exists() {
                return Err(UmlError::NoPackage(format!("{} is missing in it", part.display())));
            }
        }
        Ok(Self { directory: directory.to_path_buf(), kernel, modules })
    }

    /// The package in this directory; Debian's is fetched by apt (41 MB) and unpacked there, not installed,
    /// where it isn't there yet.
    pub fn fetched(directory: &Path) -> Result<Self, UmlError> {
        if !directory.exists() {
            package::fetch(directory)?;
        }
        Self::unpacked(directory)
    }

    /// Boots, runs a shell's command as root, and halts.
    ///
    /// The guest dies at the deadline, and with the calling thread. Modules have to be asked for by
    /// `modprobe`: the guest's kernel doesn't find them by itself.
    pub fn run(&self, command: &str, deadline: Duration) -> Result<Ran, UmlError> {
        if !rustix::process::geteuid().is_root() {
            return Err(UmlError::NotRoot);
        }
        let files = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&self.directory)
            .map_err(system(format!("make a directory in {}", self.directory.display())))?;
        let files = files.path();
        for (name, text) in [("init.sh", INIT), ("command", command)] {
            write(&files.join(name), text)?;
        }
        let in_time = self.boot(files, deadline)?;

        let read =
            |name| fs::read(files.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let console = read("console").unwrap_or_default();
        let output = read("output").unwrap_or_default();
        if !console.contains(BOOTED) {
            return Err(UmlError::NoBoot { console: last_words(&console) });
        }
        if !in_time {
            return Err(UmlError::TooSlow { deadline, output });
        }
        if let Some(status) = read("status").ok().and_then(|status| status.trim().parse().ok()) {
            return Ok(Ran { output, status });
        }
        let why = read("failure").unwrap_or_else(|_| "the kernel stopped".to_owned());
        Err(UmlError::Guest { why: why.trim_end().to_owned(), console: last_words(&console) })
    }

    /// Whether the guest halted before the deadline.
    fn boot(&self, files: &Path, deadline: Duration) -> Result<bool, UmlError> {
        let console = files.join("console");
        let out = fs::File::create(&console).map_err(system(format!("write {}", console.display())))?;
        let err = out.try_clone().map_err(system("share the console's file"))?;
        let mut guest = Command::new("setpriv");
        // Each process of the guest is one of ours: a namespace of theirs takes them all down with its first.
        guest.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        guest.arg(&self.kernel).args([MEMORY, "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"]);
        guest.arg(assignment("init=", &files.join("init.sh"))).arg(assignment("modules=", &self.modules));
        // Else it keeps a directory in the user's home.
        guest.arg(assignment("uml_dir=", files)).arg("umid=guest");
        guest.args(["con=null", "con0=null,fd:1", "ssl=null"]);
        let mut guest = guest
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(system("start setpriv, of the package util-linux"))?;
        let ended = ends(&guest, deadline).map_err(system("wait for user-mode Linux"));
        if !matches!(ended, Ok(true)) {
            guest.kill().map_err(system("kill user-mode Linux"))?;
        }
        guest.wait().map_err(system("wait for user-mode Linux"))?;
        ended
    }
}

fn ends(child: &Child, deadline: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(deadline).map_err(io::Error::other)?;
    let child = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    Ok(rustix::event::poll(&mut [PollFd::new(&child, PollFlags::IN)], Some(&timeout))? > 0)
}

fn assignment(name: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(name);
    text.push(path);
    text
}

fn last_words(console: &str) -> String {
    let lines: Vec<_> = console.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

fn write(path: &Path, text: &str) -> Result<(), UmlError> {
    use std::os::unix::fs::PermissionsExt as _;
    let made = fs::write(path, text);
    made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(system(format!("write {}", path.display())))
}

fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> UmlError {
    let action = action.into();
    move |source| UmlError::System { action, source }
}
