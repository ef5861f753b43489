//! Whether real servers answer: one check each, in its own rhythm, that tells when one comes up or goes down.
//!
//! ```text
//! pace     when the next probe is due: jittered, so that checks don't march in step
//! probe    one TCP connection, and what its end means
//! rise     results in a row -> up or down; pure
//! task     one check: the three above in a loop
//! ```
//!
//! It refuses to know tables, weights, and what becomes of a real server that is down.

mod pace;
mod probe;
mod rise;
mod task;

use std::collections::BTreeMap;
use std::net::IpAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::model::{Check, ServiceId};

/// Which real server of which service is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId {
    /// The service that it belongs to.
    pub service: ServiceId,
    /// The real server's address.
    pub address: IpAddr,
    /// The real server's port. [`crate::model::CheckKind::Tcp`] may name another one to ask.
    pub port: u16,
}

/// What a check has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// It answers.
    Up,
    /// It doesn't.
    Down,
}

/// A check's first decision, or a change.
///
/// One that was under way when its check was removed may still come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub id: CheckId,
    /// What it is now.
    pub health: Health,
    /// The failure that decided, in words (`connection refused`); `None` when it came up.
    pub why: Option<String>,
}

/// A check that is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckSpec {
    /// How, and how often.
    pub check: Check,
    /// What is known already, and will be told again only when it changes. `None`: the first result
    /// decides at once. Counts for a check that is new, no longer for one that runs.
    pub initial: Option<Health>,
}

/// All checks that run. Those of one that is dropped end.
#[derive(Debug)]
pub struct Checks {
    events: mpsc::UnboundedSender<Event>,
    /// A check runs by what its sender holds, and ends with it.
    running: BTreeMap<CheckId, watch::Sender<Check>>,
    tasks: JoinSet<()>,
}

impl Checks {
    /// No checks yet; what they find will go to `events`.
    ///
    /// Raises this process's soft limit of open files to its hard one: each probe that waits for an
    /// answer holds a socket, and the usual limit of 1,024 is for programs with `select(2)`.
    pub fn start(events: mpsc::UnboundedSender<Event>) -> Self {
        raise_open_files();
        Self { events, running: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Replaces the set of checks. Must be called within a tokio runtime.
    ///
    /// Those that are gone end, with the probe that they were at; new ones begin; unchanged ones go on
    /// undisturbed with their counts. One whose [`Check`] changed keeps its health and counts anew.
    pub fn set(&mut self, wanted: BTreeMap<CheckId, CheckSpec>) {
        self.running.retain(|id, _| wanted.contains_key(id));
        for (id, CheckSpec { check, initial }) in wanted {
            if let Some(running) = self.running.get(&id) {
                running.send_if_modified(|held| std::mem::replace(held, check) != check);
                continue;
            }
            let (sender, receiver) = watch::channel(check);
            self.tasks.spawn(task::run(id, initial, receiver, self.events.clone(), probe::probe));
            self.running.insert(id, sender);
        }
        // Those that have ended are forgotten.
        while self.tasks.try_join_next().is_some() {}
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Ends all checks; returns when none sends anything any more.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Where it fails there is the old limit, and whoever reaches it is told.
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(?current, ?maximum, %error, "the limit of open files could not be raised");
    }
}

#[cfg(test)]
mod tests;
