//! What one scrape tells: plain values, put together by the daemon in one go.
//! It refuses to know names of metrics and where the values come from.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use lb_common::wire::{Counters, Load, State};

use crate::model::{ForwardMethod, Scheduler, ServiceId};
use crate::plan::Health;

/// A director at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Virtual services; none twice.
    pub services: Vec<ServiceSnapshot>,
    /// Packets by [`lb_common::Verdict::index`], since the tables were made. What is missing at the end is 0.
    pub verdicts: Vec<u64>,
    /// Entries of the flow table that gave way to another flow, by the number of their [`State`].
    pub evictions: [u64; State::NUMBERS],
    /// Connections to persistent services that went without a template, there being no room.
    pub without_template: u64,
    /// The flow table.
    pub flows: FlowTableSnapshot,
    /// How full the other tables are.
    pub tables: TablesSnapshot,
    /// Checks of real servers that run.
    pub checks: u64,
    /// Interfaces of the config.
    pub interfaces: Vec<InterfaceSnapshot>,
    /// The daemon itself.
    pub daemon: DaemonSnapshot,
}

/// A virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSnapshot {
    /// Who it is.
    pub id: ServiceId,
    /// How it picks.
    pub scheduler: Scheduler,
    /// What it has; no (address, port) twice.
    pub real_servers: Vec<RealServerSnapshot>,
    /// What real servers had counted that it has no more. Without it the service's counters would
    /// fall when one leaves, and Prometheus would take that for a restart.
    pub departed: Counters,
}

/// A real server of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServerSnapshot {
    /// What people call it.
    pub name: Option<String>,
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// How packets get there now.
    pub forward: ForwardMethod,
    /// Its weight.
    pub weight: u32,
    /// Whether its check passes.
    pub health: Health,
    /// Whether a frame can be addressed to it. True for this host.
    pub resolved: bool,
    /// Summed over CPUs.
    pub counters: Counters,
    /// Connections that it holds. Below 0, as it may be for a moment between two CPUs, counts as 0.
    pub load: Load,
    /// Clients that are remembered for it, as the last sweep found them.
    pub templates: u64,
}

/// The flow table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTableSnapshot {
    /// How many entries it can hold.
    pub slots: u64,
    /// Entries that were ended because they were idle for too long.
    pub expired: u64,
    /// The last walk over it; `None`: there was none yet.
    pub sweep: Option<SweepSnapshot>,
}

/// A walk over the flow table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepSnapshot {
    /// Live entries that it found, by the number of their [`State`].
    pub states: [u64; State::NUMBERS],
    /// When it ended.
    pub ended: SystemTime,
    /// How long it took.
    pub duration: Duration,
}

/// How full tables are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TablesSnapshot {
    /// Virtual services.
    pub services: Fill,
    /// Real servers, counted once for each service; those that are removed and still named by flows too.
    pub destinations: Fill,
    /// Slots of all services' rings together.
    pub ring_slots: Fill,
    /// Clients that persistent services remember, as the last sweep found them.
    pub templates: Fill,
    /// Addresses of classes that are no service's own.
    pub class_addresses: Fill,
    /// Rules of classes.
    pub class_rules: Fill,
    /// Prefixes in lists of sources.
    pub sources: Fill,
    /// Addresses that lblc remembers.
    pub localities: Fill,
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Entries in use.
    pub used: u64,
    /// Entries that there is room for.
    pub size: u64,
}

/// An interface of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSnapshot {
    /// Its name.
    pub name: String,
    /// How the program is attached: `native`, `generic`, `offloaded`; `None`: it is not.
    pub xdp_mode: Option<&'static str>,
}

/// The daemon itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaemonSnapshot {
    /// When it started.
    pub started: SystemTime,
    /// When a config was taken up last, at the start or by a reload.
    pub loaded: SystemTime,
    /// Reloads that were taken up.
    pub reloads_ok: u64,
    /// Reloads that were refused.
    pub reloads_failed: u64,
}
