//! The daemon: everything that happens becomes an [`Event`], and one task owns what follows from it.
//!
//! Event -> facts -> what is wanted -> plan -> changes to the tables. Nobody else writes to them.

mod attach;
mod control;
mod director;
mod facts;
mod news;
mod packets;
mod report;
mod start;
mod stop;

use std::path::PathBuf;

use tokio::sync::oneshot;

use crate::metrics::Snapshot;
use crate::{check, neighbour};

pub use control::{ControlError, ask};
pub use start::run;
pub use stop::{Stopped, stop};

/// Where a director's tables and links are pinned unless it is told otherwise.
pub const DEFAULT_PINS: &str = "/sys/fs/bpf/lb";

/// What `lb run` was told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The config file, which is read again on reload.
    pub config: PathBuf,
    /// Interfaces besides those of the config.
    pub interfaces: Vec<String>,
    /// A directory on a bpf file system, for tables and links.
    pub pins: PathBuf,
    /// Whether each packet's verdict goes to the log.
    pub debug_packets: bool,
}

/// Everything that can happen to a daemon.
#[derive(Debug)]
enum Event {
    /// A frame gets to an address in another way.
    Neighbour(neighbour::Event),
    /// A real server came up or went down.
    Check(check::Event),
    /// Somebody asks by the control socket.
    Control(control::Request),
    /// Metrics are asked for.
    Metrics(oneshot::Sender<Snapshot>),
    /// Time to walk over the flow table.
    Sweep,
    /// SIGHUP.
    Reload,
    /// SIGTERM: the daemon ends, the data plane goes on.
    Leave,
    /// SIGINT: everything ends.
    End,
    /// News from the kernel ended: nothing is followed any more.
    Blind,
}
