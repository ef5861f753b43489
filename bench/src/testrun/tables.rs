//! The director's tables for a measurement: services with their real servers, and what became of packets.

use anyhow::ensure;
use aya::programs::ProgramFd;
use lb_common::{
    verdict::Verdict,
    wire::{
        Counters, Destination, FORWARD_DIRECT, FORWARD_LOCAL, FORWARD_MASQUERADE, FORWARD_REPLY,
        FORWARD_TUNNEL, Family, Options, OuterHeader, Protocol, ServiceKey, Timeouts,
    },
};
use lb_user::{
    dataplane::{Change, Dataplane as _, KernelDataplane, Sizes, VerdictCounts, clock},
    model::{RingSize, Scheduler, TableSizes},
    plan::{Health, Wanted, WantedDestination, WantedService, plan},
};

use super::frame::Target;

/// BPF_PROG_TEST_RUN's packets come in by the loopback interface, so what leaves by it is XDP_TX.
pub(crate) const LOOPBACK: u32 = 1;

/// How packets get to a service's real servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    Direct,
    Local,
    Ipip,
    Gue,
    Masquerade,
}

/// A service to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) family: Family,
    pub(crate) protocol: Protocol,
    pub(crate) scheduler: Scheduler,
    pub(crate) forward: Forward,
    pub(crate) real_servers: u32,
}

/// Tables in the kernel, and the program that decides on them.
pub(crate) struct Tables {
    kernel: KernelDataplane,
    services: Vec<Service>,
    /// The numbers of all real servers, those of their replies not among them.
    real_servers: Vec<u32>,
    timeouts: Timeouts,
}

impl Tables {
    /// With room for so many flows. Packets come in and leave by `interface` (ifindex).
    pub(crate) fn new(services: &[Service], flows: u32, interface: u32) -> anyhow::Result<Self> {
        let timeouts = Timeouts::new(900, 120, 300, clock());
        let mut kernel = load(&sizes_for(services, flows), timeouts)?;
        let wanted = wanted(services, interface, timeouts);
        for change in plan(&kernel.held()?, &wanted, |_| 0)? {
            kernel.apply(&change)?;
        }
        let held = kernel.held()?.destinations.into_iter();
        let real_servers = held.filter(|(_, held)| held.destination.forward != FORWARD_REPLY);
        let real_servers = real_servers.map(|(number, _)| number).collect();
        Ok(Self { kernel, services: services.to_vec(), real_servers, timeouts })
    }

    /// The program that packets meet first.
    pub(crate) fn program(&self) -> anyhow::Result<ProgramFd> {
        Ok(self.kernel.program()?.fd()?.try_clone()?)
    }

    /// Where a packet for a service goes; to the first one if there is no such service.
    pub(crate) fn target(&self, service: &Service) -> Target {
        let index = self.services.iter().position(|there| there == service).unwrap_or_default();
        Target {
            family: service.family,
            protocol: service.protocol,
            address: address(index as u32, service.family),
            port: PORT,
            real_server: real_server(1),
        }
    }

    /// Where a packet for the first service goes.
    pub(crate) fn first_target(&self) -> Target {
        self.target(&self.services[0])
    }

    /// How many flows its table can hold.
    pub(super) fn slots(&self) -> u32 {
        let lines = self.kernel.sizes().settings().lines;
        lines * lb_common::wire::LINE_SLOTS as u32
    }

    /// Takes all flows away.
    pub(crate) fn clear(&mut self) -> anyhow::Result<()> {
        // No time at all: whatever was seen is over.
        self.kernel.apply(&Change::SetTimeouts(bytemuck::Zeroable::zeroed()))?;
        let sweep = self.kernel.sweep()?;
        self.kernel.apply(&Change::SetTimeouts(self.timeouts))?;
        let left: u64 = sweep.states.iter().sum();
        ensure!(left == 0, "{left} flows were not taken away");
        Ok(())
    }

    /// Connections that were scheduled since the tables were made.
    pub(super) fn connections(&self) -> u64 {
        let counters = self.real_servers.iter().map(|&number| self.kernel.counters(number));
        counters.fold(Counters::default(), Counters::plus).connections
    }

    /// What became of packets since the tables were made.
    pub(crate) fn counts(&self) -> VerdictCounts {
        self.kernel.verdict_counts()
    }
}

/// Fails unless exactly so many packets met this verdict, and no packet another one.
pub(crate) fn check(
    before: &VerdictCounts,
    after: &VerdictCounts,
    verdict: Verdict,
    packets: u64,
) -> anyhow::Result<()> {
    let met: Vec<(Verdict, u64)> = Verdict::ALL
        .iter()
        .map(|&verdict| (verdict, after.verdicts[verdict.index()] - before.verdicts[verdict.index()]))
        .filter(|&(_, count)| count > 0)
        .collect();
    ensure!(
        met == [(verdict, packets)],
        "{packets} packets were to be {}, and these were counted: {}",
        verdict.label(),
        met.iter()
            .map(|(verdict, count)| format!("{count} {}", verdict.label()))
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(())
}

/// The port of every service.
pub(crate) const PORT: u16 = 80;

/// Empty tables of these sizes.
pub(crate) fn load(sizes: &TableSizes, timeouts: Timeouts) -> anyhow::Result<KernelDataplane> {
    let odd = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
    let seed = [odd[0], odd[1], odd[2], !odd[0] | 1, !odd[1] | 1, !odd[2] | 1];
    let cpus = aya::util::nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?;
    let sizes = Sizes::of(sizes, u32::try_from(cpus)?, seed, timeouts, clock());
    Ok(KernelDataplane::load(&sizes, None, false)?.0)
}

/// Tables just large enough for these services.
fn sizes_for(services: &[Service], flows: u32) -> TableSizes {
    let slots: u32 =
        services.iter().map(|service| service.real_servers.max(ring_size(service).slots())).sum();
    TableSizes {
        flows: flows.max(1_024),
        services: services.len() as u32 + 1,
        // Masqueraded ones have one more each, for what they answer.
        destinations: services.iter().map(|service| 2 * service.real_servers).sum::<u32>() + 1,
        ring_slots: slots + 1,
        templates: 1_024,
        ..TableSizes::default()
    }
}

/// Some hundred slots a real server, as the config's documentation wants it; none but for hash rings.
fn ring_size(service: &Service) -> RingSize {
    let is_large =
        service.real_servers > 40 && matches!(service.scheduler, Scheduler::Mh | Scheduler::Maglev);
    let slots = if is_large { 131_071 } else { RingSize::default().slots() };
    RingSize::new(slots).unwrap_or_default()
}

/// The address of the service of an index: 10.0.0.0 and on, or fd00:10:: and on.
fn address(index: u32, family: Family) -> [u8; 16] {
    let mut address = [0; 16];
    if family == Family::V6 {
        address[..4].copy_from_slice(&[0xfd, 0, 0, 0x10]);
        address[12..].copy_from_slice(&index.to_be_bytes());
    } else {
        address[..4].copy_from_slice(&(0x0a00_0000 + index).to_be_bytes());
    }
    address
}

/// What a daemon would want for these services.
pub(crate) fn wanted(services: &[Service], interface: u32, timeouts: Timeouts) -> Wanted {
    let services = (0..).zip(services).map(|(index, service)| wanted_service(index, service, interface));
    let options = Options::DEFAULT;
    Wanted {
        services: services.collect(),
        rules: [].into(),
        peers: [].into(),
        interfaces: [].into(),
        timeouts,
        options,
    }
}

fn wanted_service(index: u32, service: &Service, interface: u32) -> WantedService {
    let key = ServiceKey {
        address: address(index, service.family),
        port: PORT.to_be_bytes(),
        protocol: service.protocol as u8,
        family: service.family as u8,
        reserved: [0; 4],
    };
    let destinations = (1..=service.real_servers).map(|host| destination(key, service, host, interface));
    let destinations = destinations.collect();
    WantedService {
        ring_size: ring_size(service),
        ..WantedService::new(key, service.scheduler, destinations)
    }
}

/// The address of a service's real server of a number: 192.168.0.1 and on, or as many bytes of an IPv6 address.
fn real_server(host: u32) -> [u8; 16] {
    let [_, _, high, low] = host.to_be_bytes();
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[192, 168, high, low]);
    address
}

fn destination(key: ServiceKey, service: &Service, host: u32, interface: u32) -> WantedDestination {
    let [_, _, high, low] = host.to_be_bytes();
    let address = real_server(host);
    let real_server = std::net::Ipv4Addr::new(192, 168, high, low);
    let director = std::net::Ipv4Addr::new(192, 168, 255, 254);
    let (source, end) = match service.family {
        Family::V4 => (director.into(), real_server.into()),
        Family::V6 => (director.to_ipv6_mapped().into(), real_server.to_ipv6_mapped().into()),
    };
    let outer = match service.forward {
        Forward::Ipip => OuterHeader::ipip(source, end, service.family),
        Forward::Gue => OuterHeader::gue(source, end, service.family, 6_080, false),
        Forward::Direct | Forward::Local | Forward::Masquerade => None,
    };
    WantedDestination {
        destination: Destination {
            ethernet: [2, 0, 0, 1, high, low, 2, 0, 0, 0, 0, 1],
            interface,
            address,
            service: key,
            // Room for all that overflow would leave to the next one.
            weight: if service.scheduler == Scheduler::Ovf { 65_535 } else { 1 },
            port: key.port,
            forward: match service.forward {
                Forward::Direct => FORWARD_DIRECT,
                Forward::Local => FORWARD_LOCAL,
                Forward::Ipip | Forward::Gue => FORWARD_TUNNEL,
                Forward::Masquerade => FORWARD_MASQUERADE,
            },
            mtu: 1_500,
            outer: outer.unwrap_or_else(bytemuck::Zeroable::zeroed),
            ..bytemuck::Zeroable::zeroed()
        },
        health: Health::Up,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn counts(those: &[(Verdict, u64)]) -> VerdictCounts {
        let mut counts = VerdictCounts { verdicts: vec![7; Verdict::COUNT], ..VerdictCounts::default() };
        for (verdict, count) in those {
            counts.verdicts[verdict.index()] += count;
        }
        counts
    }

    #[test]
    fn packets_that_met_another_fate_are_not_overlooked() {
        let (before, tunnel, direct) = (counts(&[]), Verdict::Tunnel, Verdict::DirectRouting);
        check(&before, &counts(&[(tunnel, 10)]), tunnel, 10).unwrap();
        for wrong in [&[(tunnel, 9)][..], &[(direct, 10)], &[(tunnel, 10), (direct, 1)], &[]] {
            let said = check(&before, &counts(wrong), tunnel, 10).unwrap_err().to_string();
            assert!(said.starts_with("10 packets were to be tunnel"), "{said}");
        }
    }
}
