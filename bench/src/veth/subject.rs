//! Who forwards the frames: XDP programs back by the wire that they came in by, kernels on to the next one.

use std::os::fd::OwnedFd;

use aya::programs::ProgramFd;
use lb_common::{
    verdict::{Action, Verdict},
    wire::{Family, Protocol},
};
use lb_user::model::Scheduler;

use super::wire::Wire;
use crate::testrun::{Forward, PLAIN, Service, Tables, Target};

/// What kernels forward.
pub(super) const TARGET: Target = Target {
    family: Family::V4,
    protocol: Protocol::Udp,
    address: [10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    port: 80,
    real_server: [0; 16],
};

/// Destination NAT to three real servers, one after the other or by the client's address and port.
const NUMGEN: &str = "numgen inc mod 3";
const JHASH: &str = "jhash ip saddr . udp sport mod 3";

pub(super) struct Subject {
    pub(super) case: &'static str,
    pub(super) name: &'static str,
    program: ProgramFd,
    pub(super) tables: Option<Tables>,
    is_kernel: bool,
    /// By what nftables picks a real server.
    nat: Option<&'static str>,
}

pub(super) fn subjects(wire: &Wire) -> anyhow::Result<Vec<Subject>> {
    let plain = |case, name, program| -> anyhow::Result<_> {
        let program = wire.program(program)?;
        Ok(Subject { case, name, program, tables: None, is_kernel: false, nat: None })
    };
    let interface = wire.director.interface_index("eth0")?;
    let director = |case, name, scheduler, forward| -> anyhow::Result<_> {
        let service = Service { protocol: Protocol::Udp, scheduler, forward, ..PLAIN };
        let tables = Tables::new(&[service], 1 << 18, interface)?;
        let program = tables.program()?;
        Ok(Subject { case, name, program, tables: Some(tables), is_kernel: false, nat: None })
    };
    // A veth that has a program polls: kernels get their frames so too.
    let kernel = |name, nat: Option<&'static str>| -> anyhow::Result<_> {
        let case = if nat.is_some() { "masquerade/udp4" } else { "forward/udp4" };
        Ok(Subject { is_kernel: true, nat, ..plain(case, name, "floor_pass")? })
    };
    let (direct, tunnel) = ("direct/udp4", "tunnel/udp4");
    Ok(vec![
        plain("floor/tx", "floor:tx", "floor_tx")?,
        plain("floor/swap", "floor:swap", "floor_swap")?,
        director(direct, "lb:rr", Scheduler::Rr, Forward::Direct)?,
        director(direct, "lb:maglev", Scheduler::Maglev, Forward::Direct)?,
        director(tunnel, "lb:rr", Scheduler::Rr, Forward::Ipip)?,
        director("masquerade/udp4", "lb:rr", Scheduler::Rr, Forward::Masquerade)?,
        kernel("kernel", None)?,
        kernel("nftables:numgen", Some(NUMGEN))?,
        kernel("nftables:jhash", Some(JHASH))?,
    ])
}

impl Subject {
    /// Puts it in front of the frames, for as long as the answer lives.
    pub(super) fn start(&mut self, wire: &Wire) -> anyhow::Result<OwnedFd> {
        if let Some(pick) = self.nat {
            let map = "map { 0 : 192.168.0.1, 1 : 192.168.0.2, 2 : 192.168.0.3 }";
            let rules = format!(
                "table ip bench {{\nchain prerouting {{\ntype nat hook prerouting priority dstnat\n\
                 ip daddr 10.0.0.0 udp dport 80 dnat to {pick} {map}\n}}\n}}\n"
            );
            wire.director.run("nft", [rules])?;
        }
        if let Some(tables) = &mut self.tables {
            tables.clear()?;
        }
        wire.attach(&self.program)
    }

    /// Takes back what [`Self::start`] has told the kernel.
    pub(super) fn stop(&self, wire: &Wire) -> anyhow::Result<()> {
        if self.nat.is_some() {
            wire.director.run("nft", ["delete", "table", "ip", "bench"])?;
        }
        Ok(())
    }

    /// How many frames came out so far.
    pub(super) fn arrived(&self, wire: &Wire) -> anyhow::Result<u64> {
        if self.is_kernel { wire.came_through() } else { wire.came_back() }
    }

    /// How many the director says that it has forwarded.
    pub(super) fn met(&self) -> Option<u64> {
        let verdicts = self.tables.as_ref()?.counts().verdicts;
        let forwarded = Verdict::ALL.iter().filter(|verdict| verdict.action() == Action::Forward);
        Some(forwarded.filter_map(|verdict| verdicts.get(verdict.index())).sum())
    }
}
