//! What can go wrong in a lab, said so that the line alone is enough to act on.
//! Refuses to know how to recover: a lab that failed is torn down.

use std::{io, process::ExitStatus, time::Duration};

/// Why the lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Namespaces and mounts need root.
    #[error(
        "the lab makes network namespaces and mounts, which only root may do: run this as root, such as with `sudo -E`"
    )]
    NotRoot,

    /// A program that the lab runs is not there.
    #[error(
        "{namespace}: `{program}` is not installed: run `cargo xtask setup`, which installs what the lab needs"
    )]
    NotInstalled {
        /// Where it should have run.
        namespace: String,
        /// What was looked for in `PATH`, `/usr/sbin` and `/sbin`.
        program: String,
    },

    /// A command ended badly.
    #[error("{namespace}: `{command}` ended with {status}: {stderr}")]
    Command {
        /// Where it ran.
        namespace: String,
        /// Program and arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, or the end of its log.
        stderr: String,
    },

    /// A command did not end in time and was killed.
    #[error("{namespace}: `{command}` was killed because it had not ended after {deadline:?}: {stderr}")]
    TooSlow {
        /// Where it ran.
        namespace: String,
        /// Program and arguments.
        command: String,
        /// How long it was given.
        deadline: Duration,
        /// What it said until then, or the end of its log.
        stderr: String,
    },

    /// Something that was waited for did not happen.
    #[error("{subject}: waited {deadline:?} in vain for {awaited}{log}")]
    NotSeen {
        /// The host, interface or process that was watched.
        subject: String,
        /// What should have happened.
        awaited: String,
        /// How long it was given.
        deadline: Duration,
        /// Empty, or the end of the process's log.
        log: String,
    },

    /// A process ended while something else was expected of it.
    #[error("{subject}: ended with {status} before {awaited}{log}")]
    EndedEarly {
        /// Namespace and command line.
        subject: String,
        /// How it ended.
        status: ExitStatus,
        /// What should have happened.
        awaited: String,
        /// The end of its log.
        log: String,
    },

    /// A system call failed.
    #[error("can't {action}: {source}")]
    System {
        /// What was tried, and on what.
        action: String,
        /// What the kernel answered.
        source: io::Error,
    },

    /// A name that can't be used.
    #[error("`{name}` can't be the name of {what}: {rule}")]
    Name {
        /// The name.
        name: String,
        /// What it was meant for.
        what: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },

    /// The lab's numbering is used up.
    #[error("a lab has room for 255 {what} and no more")]
    Full {
        /// Of what there are too many.
        what: &'static str,
    },

    /// A topology was asked for more real servers than its addresses allow.
    #[error("{asked} real servers were asked for; the topology has addresses for {most}")]
    TooManyRealServers {
        /// How many were asked for.
        asked: usize,
        /// How many there can be.
        most: usize,
    },
}

impl LabError {
    pub(super) fn system(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System { action: action.into(), source: source.into() }
    }
}
