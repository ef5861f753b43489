//! The two data planes side by side: tables in memory, and the shipped object in the kernel's test run.
//!
//! Both are configured by the same plans and get the same frames at the same time; whoever differs
//! fails the test. It refuses to know which verdict is right.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::director::{load, sizes};
use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::director::{Decision, Tables as _, direct};
use lb_common::net::PacketBuffer;
use lb_common::verdict::{Action, Verdict};
use lb_common::wire::{BUSY, Connection, EMPTY, LINE_SLOTS, Line, Place, State, Template, Tick};
use lb_user::dataplane::{Dataplane, Held, KernelDataplane, MemoryDataplane};
use lb_user::model::TableSizes;
use lb_user::plan::{Wanted, plan};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What the kernel takes every frame of a test run to have come in by: the namespace's loopback.
pub(crate) const INGRESS: u32 = 1;

/// No packet is run so few milliseconds before a tick.
const TICK_MARGIN: u64 = 25;

/// What happened to one frame, on both sides alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) verdict: Verdict,
    /// As the XDP action is called.
    pub(crate) action: &'static str,
    pub(crate) frame: Vec<u8>,
}

pub(crate) struct Twins {
    pub(crate) host: MemoryDataplane,
    pub(crate) kernel: KernelDataplane,
    /// The kernel's time when the host's was last set.
    kernel_tick: Tick,
    /// Whether a packet may have met two ticks on the two sides.
    is_tick_uncertain: bool,
    /// The tick of which the two may have counted answers differently: no packet is run in what is left of it.
    uncertain_tick: Option<Tick>,
    interfaces: BTreeSet<u32>,
    out: Vec<u8>,
}

impl Twins {
    /// Empty tables on both sides. Needs root.
    pub(crate) fn new(tables: &TableSizes) -> Self {
        stay_on_one_cpu();
        let sizes = sizes(tables);
        let kernel = load(&sizes);
        let host = MemoryDataplane::new(sizes.settings());
        Self {
            host,
            kernel_tick: kernel.now().unwrap(),
            kernel,
            is_tick_uncertain: false,
            uncertain_tick: None,
            interfaces: BTreeSet::new(),
            out: vec![0; 4096],
        }
    }

    /// Takes both from what they hold to what is wanted, by one plan.
    pub(crate) fn apply(&mut self, wanted: &Wanted) {
        let held = self.held();
        let changes = plan(&held, wanted, |service| self.host.picks(service)).unwrap();
        assert_eq!(
            changes,
            plan(&held, wanted, |service| self.kernel.picks(service)).unwrap(),
            "picks differ"
        );
        for change in changes {
            self.host.apply(&change).unwrap();
            self.kernel.apply(&change).unwrap();
        }
        self.interfaces.clone_from(&wanted.interfaces);
    }

    fn held(&self) -> Held {
        let (host, kernel) = (self.host.held().unwrap(), self.kernel.held().unwrap());
        assert_eq!(host.services, kernel.services, "services that are held");
        assert_eq!(host.destinations, kernel.destinations, "destinations that are held");
        assert_eq!(host.addresses, kernel.addresses, "addresses that are held, and their rules");
        assert_eq!(host.lists, kernel.lists, "lists of sources that are held");
        assert_eq!(
            (&host.peers, &host.interfaces),
            (&kernel.peers, &kernel.interfaces),
            "peers and interfaces"
        );
        host
    }

    /// Runs a frame through both. They agree on the action and on every byte, or the test fails.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Fate {
        self.follow_clock();
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut self.out), ..TestRunOptions::new() };
        let result = self.kernel.program().unwrap().test_run(options).unwrap();
        // The machine kept us waiting for longer than the margin: the program saw the one tick or the other.
        let after = self.kernel.now().unwrap();
        let is_uncertain = after != self.kernel_tick;
        if is_uncertain {
            (self.is_tick_uncertain, self.uncertain_tick) = (true, Some(after));
        }
        if is_uncertain && self.has_asked_a_gate_in(after) {
            // Then the whole packet was of that tick.
            self.host.tables.set_jiffies(self.kernel.jiffies().unwrap());
            self.kernel_tick = after;
        }
        let mut packet = PacketBuffer { bytes: frame.to_vec(), interface: INGRESS };
        let decision = direct(&mut packet, &&self.host.tables);
        let kernel_frame = &self.out[..result.data_size_out as usize];
        let action = self.action(decision);
        let verdict = decision.verdict;
        let in_kernel = xdp_name(result.return_value);
        let is_limited = matches!((action, in_kernel), ("drop", "tx") | ("tx", "drop"));
        if is_uncertain && is_limited {
            // In the one tick it was still answered, or in the other one again.
            return Fate { verdict, action: in_kernel, frame: kernel_frame.to_vec() };
        }
        assert_eq!(action, in_kernel, "host (left) and kernel differ on {frame:02x?}: {verdict:?}");
        assert!(
            packet.bytes == kernel_frame,
            "host and kernel make different bytes of {frame:02x?} ({verdict:?}):\n{:02x?}\n{kernel_frame:02x?}",
            packet.bytes,
        );
        Fate { verdict, action, frame: packet.bytes }
    }

    /// Whether a gate of the kernel's was asked in a tick.
    fn has_asked_a_gate_in(&self, tick: Tick) -> bool {
        let services = 0..self.host.tables.settings.services;
        services
            .into_iter()
            .any(|service| self.kernel.gate_ticks(service).any(|asked| asked == tick.number()))
    }

    /// Every counter, every load and every entry of the flow table is the same on both sides, or the test fails.
    pub(crate) fn assert_same_tables(&mut self) {
        self.follow_clock();
        let tables = &self.host.tables;
        let counts = self.kernel.verdict_counts();
        let host: Vec<u64> = Verdict::ALL.iter().map(|&verdict| tables.verdicts(verdict)).collect();
        assert_eq!(
            host,
            counts.verdicts,
            "verdicts: host (left) and kernel, in the order of {:?}",
            Verdict::ALL
        );
        let host = State::ALL.map(|state| tables.evictions(state));
        assert_eq!(
            host,
            State::ALL.map(|state| counts.evictions[state as usize]),
            "evictions: host (left) and kernel, in the order of {:?}",
            State::ALL
        );
        assert_eq!(tables.without_template(), counts.without_template, "connections without a template");
        for number in 0..tables.settings.destinations {
            assert_eq!(
                tables.counters(number),
                self.kernel.counters(number),
                "counters of destination {number}"
            );
            assert_eq!(tables.load(number), self.kernel.load_of(number), "load of destination {number}");
        }
        for &service in tables.service_index.values() {
            assert_eq!(tables.picks(service), self.kernel.picks(service), "picks of service {service}");
        }
        let localities = tables.guards.localities.lock().unwrap();
        let host: BTreeMap<_, _> = localities.iter().map(|(key, locality)| (*key, locality.number)).collect();
        let kernel = self.kernel.localities().unwrap();
        let kernel: BTreeMap<_, _> = kernel.iter().map(|(key, locality)| (*key, locality.number)).collect();
        assert_eq!(host, kernel, "what lblc remembers: host (left) and kernel");
        let host_tick = (&tables).now();
        let host = tables.lines().map(|line| comparable(&line, host_tick)).collect::<Vec<_>>();
        let kernel: Vec<Line> = self.kernel.lines().collect();
        for (index, (host, kernel)) in host.iter().zip(&kernel).enumerate() {
            let kernel = comparable(kernel, self.kernel_tick);
            let is_same = host.iter().zip(&kernel).all(|(host, kernel)| match (host, kernel) {
                ((a, Some((state, idle))), (b, Some((other, other_idle)))) => {
                    (a, state) == (b, other)
                        && idle.abs_diff(*other_idle) <= u32::from(self.is_tick_uncertain)
                }
                _ => host == kernel,
            });
            assert!(is_same, "line {index} of the flow table, host and kernel:\n{host:x?}\n{kernel:x?}");
        }
        assert_eq!(host.len(), kernel.len());
        let taken = |(line, entries): (usize, &[(u64, _); LINE_SLOTS])| {
            let slots = (0..LINE_SLOTS).filter(|&slot| entries[slot].0 != EMPTY);
            slots.map(|slot| Place::new(line as u32, slot)).collect::<Vec<_>>()
        };
        for place in host.iter().enumerate().flat_map(taken) {
            let (mut host, mut kernel) = (tables.connection(place), self.kernel.connection(place));
            if place.line() >= tables.settings.lines {
                // Templates end to the jiffy, and the two sides are not run in the same one.
                (host, kernel) = self.without_end(host, kernel);
            }
            assert_eq!(host, kernel, "what is kept of the connection at {place:?}: host (left) and kernel");
        }
    }

    /// Two records of templates that end at about the same time, both without it.
    fn without_end(&self, host: Connection, kernel: Connection) -> (Connection, Connection) {
        let [mut host, mut kernel] = [host, kernel].map(bytemuck::cast::<_, Template>);
        let tick = 1 << self.kernel.sizes().clock().shift();
        let apart = host.expires.abs_diff(kernel.expires);
        assert!(apart <= tick || self.is_tick_uncertain, "templates end {apart} jiffies apart");
        (host.expires, kernel.expires) = (0, 0);
        (bytemuck::cast(host), bytemuck::cast(kernel))
    }

    /// The XDP action that the program is to make of a decision.
    fn action(&self, decision: Decision) -> &'static str {
        match decision.verdict.action() {
            Action::Forward | Action::Drop if decision.interface == INGRESS => "tx",
            Action::Forward if self.interfaces.contains(&decision.interface) => "redirect",
            Action::Forward => "aborted",
            Action::Pass => "pass",
            Action::Drop => "drop",
        }
    }

    /// Lets as many ticks pass on the host as have passed in the kernel.
    fn follow_clock(&mut self) {
        let clock = self.kernel.sizes().clock();
        let margin = (TICK_MARGIN * u64::from(clock.hz())).div_ceil(1_000);
        let mut now = self.kernel.jiffies().unwrap();
        while clock.tick(now) != clock.tick(now + margin) || self.uncertain_tick == Some(clock.tick(now)) {
            // So close to the next tick, the program might see that one.
            std::thread::yield_now();
            now = self.kernel.jiffies().unwrap();
        }
        self.kernel_tick = clock.tick(now);
        self.host.tables.set_jiffies(now);
    }
}

/// Keeps the calling thread on one CPU: answers are limited for each CPU, and the host has but one.
fn stay_on_one_cpu() {
    let mut cpus = CpuSet::new();
    let allowed = sched_getaffinity(None).unwrap();
    cpus.set((0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).unwrap());
    sched_setaffinity(None, &cpus).unwrap();
}

fn xdp_name(action: u32) -> &'static str {
    ["aborted", "drop", "pass", "tx", "redirect"][action as usize]
}

/// Entries of a line with state and idle time; what lies in free slots means nothing.
fn comparable(line: &Line, now: Tick) -> [(u64, Option<(State, u32)>); LINE_SLOTS] {
    std::array::from_fn(|slot| {
        let (entry, word) = (line.entries[slot], line.states[slot]);
        assert_ne!(entry, BUSY, "nobody is writing");
        (entry, (entry != EMPTY).then(|| (State::of(word), now.since(State::seen(word)))))
    })
}
