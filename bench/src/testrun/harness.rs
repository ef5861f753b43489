//! One case, ready to be measured: the harness's program in front of the program under test.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aya::{
    Ebpf,
    maps::{Array, MapData, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use lb_common::wire::{
    Counters, Destination, FORWARD_DIRECT, FORWARD_LOCAL, Family, Options, Protocol, Restore, ServiceKey,
    Timeouts,
};
use lb_user::{
    dataplane::{Dataplane as _, KernelDataplane, Sizes, clock},
    model::{Scheduler, TableSizes},
    plan::{Health, Wanted, WantedDestination, WantedService, plan},
};

use rustix::time::{ClockId, clock_gettime};

use super::cases::{CLIENT_V4, Case, Kind, SERVICE_V4, Subject, service_v6};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LB_HARNESS_OBJECT"));

/// BPF_PROG_TEST_RUN's packets come in by the loopback interface, so what leaves by it is XDP_TX.
const LOOPBACK: u32 = 1;

const SYN: u8 = 2;
const ACK: u8 = 16;

/// A program under test behind the harness.
pub(super) struct Harness {
    case: Case,
    object: Ebpf,
    restore: Array<MapData, [u64; size_of::<Restore>() / 8]>,
    /// Held open: a program array that nobody holds is emptied.
    _under_test: ProgramArray<MapData>,
    director: Option<KernelDataplane>,
}

impl Harness {
    pub(super) fn of(case: &Case) -> anyhow::Result<Self> {
        let mut harness = Ebpf::load(OBJECT).context("the harness does not load")?;
        for name in ["restore", "floor_tx", "floor_pass", "floor_swap"] {
            program_mut(&mut harness, name)?.load()?;
        }
        let director = if case.subject == Subject::Director { Some(director(case)?) } else { None };
        let under_test: ProgramFd = match (&director, case.subject) {
            (Some(director), _) => director.program()?.fd()?.try_clone()?,
            (_, Subject::FloorSwap) => program_mut(&mut harness, "floor_swap")?.fd()?.try_clone()?,
            (_, Subject::FloorPass) => program_mut(&mut harness, "floor_pass")?.fd()?.try_clone()?,
            _ => program_mut(&mut harness, "floor_tx")?.fd()?.try_clone()?,
        };
        let map = harness.take_map("UNDER_TEST").context("the harness has no program array")?;
        let mut programs: ProgramArray<MapData> = map.try_into()?;
        programs.set(0, &under_test, 0)?;
        let map = harness.take_map("RESTORE").context("the harness has no packet")?;
        Ok(Self { case: *case, object: harness, restore: map.try_into()?, _under_test: programs, director })
    }

    /// Fills the flow table, and the caches.
    pub(super) fn warm_up(&mut self, runs: u32) -> anyhow::Result<()> {
        let is_flow = self.case.subject == Subject::Director && !self.case.is_new;
        if is_flow && matches!(self.case.kind, Kind::Tcp4 | Kind::Tcp6 | Kind::Udp4) {
            self.run_as(SYN, self.case.flows)?;
            self.run_as(ACK, self.case.flows)?;
            let counted = self.connections();
            ensure!(counted == u64::from(self.case.flows), "{counted} flows were entered");
        }
        self.measure(runs / 10 + 1).map(drop)
    }

    /// Nanoseconds of CPU time a run, taken around all of them.
    pub(super) fn measure(&mut self, runs: u32) -> anyhow::Result<f64> {
        self.run_as(if self.case.is_new { SYN } else { ACK }, runs)
    }

    fn run_as(&mut self, tcp_flags: u8, runs: u32) -> anyhow::Result<f64> {
        let frame = self.case.frame(tcp_flags);
        let mut bytes = [0; 64];
        bytes.copy_from_slice(&frame[..64]);
        let next = if self.case.is_new { self.next()? } else { 0 };
        let restore = Restore {
            bytes: bytemuck::cast(bytes),
            fence: 0,
            mask: if self.case.is_new { (1 << 30) - 1 } else { self.case.flows - 1 },
            next,
            first_address: u32::from_be_bytes(CLIENT_V4),
            is_v6: u32::from(self.case.kind == Kind::Tcp6),
        };
        self.restore.set(0, bytemuck::cast::<_, [u64; size_of::<Restore>() / 8]>(restore), 0)?;
        let program: &Xdp =
            self.object.program("restore").context("the harness has no program")?.try_into()?;
        let mut out = vec![0; 256];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame);
        options.data_out = Some(&mut out);
        options.repeat = runs;
        let begin = cpu_time();
        let result = program.test_run(options)?;
        let elapsed = cpu_time().saturating_sub(begin);
        let expected = self.expected();
        ensure!(result.return_value == expected, "XDP action {} instead of {expected}", result.return_value);
        // A Duration would be cut to whole nanoseconds.
        Ok(elapsed.as_secs_f64() * 1e9 / f64::from(runs))
    }

    fn next(&self) -> anyhow::Result<u32> {
        let restore: Restore = bytemuck::cast(self.restore.get(&0, 0)?);
        Ok(restore.next)
    }

    fn expected(&self) -> u32 {
        const XDP_PASS: u32 = 2;
        const XDP_TX: u32 = 3;
        let is_passed = matches!(self.case.kind, Kind::Arp | Kind::OtherAddress | Kind::OtherPort)
            || self.case.is_local
            || self.case.subject == Subject::FloorPass;
        if is_passed { XDP_PASS } else { XDP_TX }
    }

    fn connections(&self) -> u64 {
        let counters = |director: &KernelDataplane| {
            (1..=6)
                .map(|number| director.counters(number))
                .fold(Counters::default(), Counters::plus)
                .connections
        };
        self.director.as_ref().map_or(0, counters)
    }
}

/// This thread's time on a CPU: what other programs take meanwhile is not in it.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn program_mut<'a>(harness: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut Xdp> {
    Ok(harness.program_mut(name).with_context(|| format!("the harness has no program {name}"))?.try_into()?)
}

/// The director's tables: one service an address family and protocol, three real servers each.
fn director(case: &Case) -> anyhow::Result<KernelDataplane> {
    let timeouts = Timeouts::new(900, 120, 300, clock());
    let odd = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
    let seed = [odd[0], odd[1], odd[2], !odd[0] | 1, !odd[1] | 1, !odd[2] | 1];
    let cpus =
        u32::try_from(aya::util::nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?)?;
    let sizes = Sizes::of(&TableSizes::default(), cpus, seed, timeouts, clock());
    let (mut kernel, _) = KernelDataplane::load(&sizes, None, false)?;
    let mut v4 = [0; 16];
    v4[..4].copy_from_slice(&SERVICE_V4);
    let service = match case.kind {
        Kind::Tcp6 => service(service_v6(), Family::V6, Protocol::Tcp, case.is_local),
        Kind::Udp4 => service(v4, Family::V4, Protocol::Udp, case.is_local),
        _ => service(v4, Family::V4, Protocol::Tcp, case.is_local),
    };
    let wanted = Wanted {
        services: vec![service],
        peers: [].into(),
        interfaces: [].into(),
        timeouts,
        options: Options::DEFAULT,
    };
    for change in plan(&kernel.held()?, &wanted, |_| 0)? {
        kernel.apply(&change)?;
    }
    Ok(kernel)
}

fn service(address: [u8; 16], family: Family, protocol: Protocol, is_local: bool) -> WantedService {
    let key = ServiceKey {
        address,
        port: 80_u16.to_be_bytes(),
        protocol: protocol as u8,
        family: family as u8,
        reserved: [0; 4],
    };
    let destinations = (1..=3).map(|host| {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&[10, 0, 0, 10 + host]);
        WantedDestination {
            destination: Destination {
                ethernet: [2, 0, 0, 0, 1, host, 2, 0, 0, 0, 0, 1],
                interface: LOOPBACK,
                address,
                service: key,
                weight: 1,
                port: key.port,
                forward: if is_local { FORWARD_LOCAL } else { FORWARD_DIRECT },
                mtu: 1_500,
                ..bytemuck::Zeroable::zeroed()
            },
            health: Health::Up,
        }
    });
    WantedService::new(key, Scheduler::Rr, destinations.collect())
}
