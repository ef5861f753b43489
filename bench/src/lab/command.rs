//! Commands that run to their end, in bounded time, and the thread that starts every process of a lab.
//! Refuses to know about namespaces: a command that is handed in enters its own.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Seek},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        LazyLock,
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, Signal},
};

use super::{LabError, namespace::NAMED};

/// How long `ip`, `ethtool` and their like may take. They need milliseconds; machines are busy.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// The namespace that the process itself is in, for messages.
pub(super) const INITIAL: &str = "initial namespace";

/// What a command left when it ended, or when its time was up.
#[derive(Debug)]
pub(super) struct Output {
    /// `None`: it was killed at the deadline.
    pub(super) status: Option<ExitStatus>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A command outside of every namespace of the lab that dies with this thread's process.
pub(super) fn outside(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // Root's tools are missing from the PATH that some sudo and su configurations leave.
    let mut path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    path.push(":/usr/sbin:/sbin");
    command.env("PATH", path);
    let parent = rustix::process::getpid();
    let tie = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before that took hold.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: `tie` only makes system calls: it allocates nothing and takes no lock.
    unsafe { command.pre_exec(tie) };
    command
}

/// Runs to the end within [`DEADLINE`] and answers standard output.
pub(super) fn run(namespace: &str, command: Command) -> Result<String, LabError> {
    let line = line(&command);
    let output = output(namespace, command, DEADLINE)?;
    let (namespace, stderr) = (namespace.to_owned(), output.stderr.trim_end().to_owned());
    match output.status {
        Some(status) if status.success() => Ok(output.stdout),
        Some(status) => Err(LabError::Command { namespace, command: line, status, stderr }),
        None => Err(LabError::TooSlow { namespace, command: line, deadline: DEADLINE, stderr }),
    }
}

/// Runs to the end or the deadline, whatever the end is.
pub(super) fn output(namespace: &str, mut command: Command, deadline: Duration) -> Result<Output, LabError> {
    let line = line(&command);
    let failed = |source: io::Error| LabError::system(format!("run `{line}` in {namespace}"), source);
    // Files, because a pipe that nobody reads while waiting for the end fills up.
    let mut stdout = tempfile::tempfile().map_err(failed)?;
    let mut stderr = tempfile::tempfile().map_err(failed)?;
    command.stdin(Stdio::null());
    command.stdout(stdout.try_clone().map_err(failed)?);
    command.stderr(stderr.try_clone().map_err(failed)?);
    let mut child = launch(namespace, command)?;
    let status = match wait(&mut child, deadline).map_err(failed)? {
        None => {
            kill(&mut child).map_err(failed)?;
            None
        }
        ended => ended,
    };
    Ok(Output {
        status,
        stdout: read(&mut stdout).map_err(failed)?,
        stderr: read(&mut stderr).map_err(failed)?,
    })
}

/// Starts the command as the leader of a process group.
///
/// The death signal of `PR_SET_PDEATHSIG` is sent when the *thread* that forked ends. Tests run on threads
/// that end early, so all forking is done by one that stays as long as the process.
pub(super) fn launch(namespace: &str, mut command: Command) -> Result<Child, LabError> {
    type Order = (Command, Sender<io::Result<Child>>);
    static STARTER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (orders, incoming) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in incoming {
                // Nobody is left to tell if the one who asked has gone.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });

    let line = line(&command);
    let program = command.get_program().to_string_lossy().into_owned();
    command.process_group(0);
    let (answer, answers) = mpsc::channel();
    // The starter ends only with the process: both failures mean that it panicked.
    let started = match STARTER.send((command, answer)).map(|()| answers.recv()) {
        Ok(Ok(started)) => started,
        Ok(Err(_)) | Err(_) => Err(io::Error::other("the thread that starts processes has ended")),
    };
    started.map_err(|source| {
        // Both the namespace and the program are looked for on the way.
        let is_there = namespace == INITIAL || Path::new(NAMED).join(namespace).exists();
        match source.kind() {
            io::ErrorKind::NotFound if is_there => {
                LabError::NotInstalled { namespace: namespace.to_owned(), program }
            }
            io::ErrorKind::NotFound => {
                LabError::system(format!("start `{line}` in {namespace}, whose lab is gone"), source)
            }
            _ => LabError::system(format!("start `{line}` in {namespace}"), source),
        }
    })
}

/// Waits for the end, no longer than `deadline`; `None` means that it still runs.
pub(super) fn wait(child: &mut Child, deadline: Duration) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        // Not reaped, as `try_wait` just said: the number is still this child's.
        let child = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        readable(&child, left)?;
    }
}

/// Kills a child that has not been waited for, with its process group, and waits for its end.
pub(super) fn kill(child: &mut Child) -> io::Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL)?;
    match wait(child, DEADLINE)? {
        Some(_status) => Ok(()),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Waits until a pidfd says that its process has ended, or for `deadline`.
pub(super) fn readable(pidfd: &impl std::os::fd::AsFd, deadline: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(deadline).map_err(io::Error::other)?;
    match rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Program and arguments, for messages.
pub(super) fn line(command: &Command) -> String {
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn read(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
