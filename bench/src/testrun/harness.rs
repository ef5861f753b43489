//! A program under test behind the harness's program, which makes its packet anew for every run.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aya::{
    Ebpf,
    maps::{Array, MapData, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use lb_common::wire::Restore;
use rustix::time::{ClockId, clock_gettime};

pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LB_HARNESS_OBJECT"));

/// Bytes of a packet that are made anew.
pub(crate) const RESTORED: usize = 64;

/// A program that does next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Floor {
    /// Returns XDP_TX.
    Tx,
    /// Returns XDP_PASS.
    Pass,
    /// Returns XDP_DROP.
    Drop,
    /// Swaps the Ethernet addresses, returns XDP_TX.
    Swap,
    /// Puts a header of 20 bytes in front that is always the same, returns XDP_TX.
    Grow,
}

impl Floor {
    pub(super) const ALL: [Self; 5] = [Self::Tx, Self::Pass, Self::Drop, Self::Swap, Self::Grow];

    /// What rows call it.
    pub(super) const fn subject(self) -> &'static str {
        match self {
            Self::Tx => "floor:tx",
            Self::Pass => "floor:pass",
            Self::Drop => "floor:drop",
            Self::Swap => "floor:swap",
            Self::Grow => "floor:grow",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Tx => "floor_tx",
            Self::Pass => "floor_pass",
            Self::Drop => "floor_drop",
            Self::Swap => "floor_swap",
            Self::Grow => "floor_grow",
        }
    }
}

/// Which packets the program meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    /// How many flows there are, a power of two.
    pub(super) flows: u32,
    /// Which comes next; moved by every run.
    pub(super) next: u32,
    /// The first client, IPv4 or the end of its IPv6 address.
    pub(super) first: [u8; 4],
    pub(super) is_v6: bool,
    /// Whether the packets are for the clients.
    pub(super) is_reply: bool,
    /// [`lb_common::wire::RESTORE_HEAD`] and [`lb_common::wire::RESTORE_TAIL`].
    pub(super) moves: u32,
}

/// The harness, and the floors.
pub(super) struct Harness {
    object: Ebpf,
    restore: Array<MapData, [u64; size_of::<Restore>() / 8]>,
    under_test: ProgramArray<MapData>,
}

impl Harness {
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut object = Ebpf::load(OBJECT).context("the harness does not load")?;
        program_mut(&mut object, "restore")?.load()?;
        for floor in Floor::ALL {
            program_mut(&mut object, floor.program())?.load()?;
        }
        let under_test = object.take_map("UNDER_TEST").context("the harness has no program array")?;
        let restore = object.take_map("RESTORE").context("the harness has no packet")?;
        Ok(Self { object, restore: restore.try_into()?, under_test: under_test.try_into()? })
    }

    pub(super) fn floor(&mut self, floor: Floor) -> anyhow::Result<ProgramFd> {
        Ok(program_mut(&mut self.object, floor.program())?.fd()?.try_clone()?)
    }

    /// Which program meets the packets from now on.
    pub(super) fn test(&mut self, program: &ProgramFd) -> anyhow::Result<()> {
        Ok(self.under_test.set(0, program, 0)?)
    }

    /// Runs so often, and says how long all of them took together.
    pub(super) fn run(
        &mut self,
        frame: &[u8],
        visit: &mut Visit,
        runs: u32,
        action: Option<u32>,
    ) -> anyhow::Result<Duration> {
        let mut bytes = [0; RESTORED];
        bytes.copy_from_slice(frame.get(..RESTORED).context("a frame of less than 64 bytes")?);
        let restore = Restore {
            bytes: bytemuck::cast(bytes),
            mask: visit.flows - 1,
            next: visit.next,
            first_address: u32::from_be_bytes(visit.first),
            is_v6: u32::from(visit.is_v6),
            is_reply: u32::from(visit.is_reply),
            moves: visit.moves,
            length: frame.len() as u32,
            ..bytemuck::Zeroable::zeroed()
        };
        self.restore.set(0, bytemuck::cast::<_, [u64; size_of::<Restore>() / 8]>(restore), 0)?;
        let program = program_mut(&mut self.object, "restore")?;
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = runs;
        let begin = cpu_time();
        let result = program.test_run(options)?;
        let elapsed = cpu_time().saturating_sub(begin);
        if let Some(action) = action {
            ensure!(result.return_value == action, "XDP action {} instead of {action}", result.return_value);
        }
        if visit.flows > 1 {
            let restore: Restore = bytemuck::cast(self.restore.get(&0, 0)?);
            visit.next = restore.next;
        }
        Ok(elapsed)
    }
}

/// This thread's time on a CPU: what other programs take meanwhile is not in it. A test run's own answer is
/// whole nanoseconds a run.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

pub(crate) fn program_mut<'a>(harness: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut Xdp> {
    Ok(harness.program_mut(name).with_context(|| format!("the harness has no program {name}"))?.try_into()?)
}
