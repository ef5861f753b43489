//! The owner: it alone holds the model, the facts and the tables, and brings them in line.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use lb_common::wire::{Counters, DESTINATION_REPLY, Load, ServiceKey};
use rtnetlink::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::control::Request;
use super::facts::{Facts, ServerId, checks, narrow, off_link, server_id, watched};
use super::start::{await_checks, await_reach, load};
use super::stop::remove_all;
use super::{Event, Options, news};
use crate::check::{self, Checks};
use crate::dataplane::{Adoption, Change, Dataplane as _, Held, KernelDataplane, Sweep, interface};
use crate::model::{AddressOwner, Model, Scheduler, VirtualService};
use crate::neighbour::{self, Neighbours};
use crate::plan::{Health, free, plan};
use crate::service_address;

/// A record or a ring that was replaced may still be read by a packet on its way. Programs run for
/// microseconds; nothing is reused sooner than this.
const GRACE: Duration = Duration::from_millis(5);

/// A walk over the flow table takes at most this share of the time.
const SWEEP_SHARE: u32 = 50;

/// From one look at what lblc remembers to the next (Linux, `CHECK_EXPIRE_INTERVAL`).
const LOCALITIES_PERIOD: Duration = Duration::from_secs(60);

/// How a daemon ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The data plane goes on.
    Leave,
    /// Nothing is left.
    Stop(Option<oneshot::Sender<String>>),
    /// The kernel's news have ended.
    Blind,
}

/// The running director.
pub(super) struct Director {
    pub(super) model: Model,
    pub(super) facts: Facts,
    pub(super) kernel: KernelDataplane,
    pub(super) held: Held,
    pub(super) totals: Totals,
    pub(super) last_sweep: Option<Sweep>,
    /// What destinations had counted whose numbers were given back.
    pub(super) departed: BTreeMap<ServiceKey, Counters>,
    pub(super) checks: Checks,
    /// How the program is attached to each interface.
    pub(super) modes: BTreeMap<String, Option<&'static str>>,
    pub(super) options: Options,
    neighbours: Neighbours,
    pub(super) netlink: Handle,
    /// Those that the program is attached to, by name: their ifindex.
    interfaces: BTreeMap<String, u32>,
    /// What was said of tunnels that have too little room.
    narrow: BTreeSet<String>,
    /// Load that the tables had too much in the sweep before.
    drift: Vec<Load>,
    last_apply: Instant,
    localities_swept: Instant,
}

/// What the daemon counts itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    /// Entries of the flow table that sweeps have ended.
    pub(super) expired: u64,
    /// How long the last sweep took, and when it ended.
    pub(super) sweep_duration: Duration,
    pub(super) swept: Option<SystemTime>,
    /// Reloads that were taken up, and that were refused.
    pub(super) reloads: [u64; 2],
    /// When the config was taken up last.
    pub(super) loaded: SystemTime,
    /// When the daemon started.
    pub(super) started: SystemTime,
}

impl Director {
    #[expect(clippy::too_many_arguments, reason = "one caller, and each is a part that it opened")]
    pub(super) fn new(
        options: Options,
        model: Model,
        facts: Facts,
        kernel: KernelDataplane,
        held: Held,
        neighbours: Neighbours,
        checks: Checks,
        netlink: Handle,
    ) -> Self {
        let now = SystemTime::now();
        let totals = Totals {
            expired: 0,
            sweep_duration: Duration::ZERO,
            swept: None,
            reloads: [0; 2],
            loaded: now,
            started: now,
        };
        Self {
            model,
            facts,
            kernel,
            held,
            totals,
            last_sweep: None,
            departed: BTreeMap::new(),
            checks,
            modes: BTreeMap::new(),
            options,
            neighbours,
            netlink,
            interfaces: BTreeMap::new(),
            narrow: BTreeSet::new(),
            drift: Vec::new(),
            last_apply: Instant::now(),
            localities_swept: Instant::now(),
        }
    }

    /// Fills the tables, asks the real servers, attaches: in this order, so that the first packet finds all.
    pub(super) async fn begin(
        &mut self,
        results: &mut mpsc::UnboundedReceiver<check::Event>,
    ) -> anyhow::Result<()> {
        for name in self.model.director.interfaces.clone() {
            if let Some(interface) = interface(&self.netlink, &name).await {
                self.interfaces.insert(name, interface.index);
            }
        }
        self.checks.set(checks(&self.model, &self.facts.health));
        await_checks(self, results).await;
        self.apply().await?;
        let model = self.model.director.clone();
        self.attach(&model).await?;
        self.detach_others()?;
        self.place_addresses().await?;
        let servers: usize = self.model.services.iter().map(|service| service.real_servers.len()).sum();
        tracing::info!(services = self.model.services.len(), real_servers = servers, "ready");
        Ok(())
    }

    /// What follows from an event; how to end, if it says so.
    pub(super) async fn handle(
        &mut self,
        event: Event,
        news: &mut mpsc::Receiver<neighbour::Event>,
        results: &mut mpsc::UnboundedReceiver<check::Event>,
    ) -> Option<Ending> {
        match event {
            Event::Neighbour(event) => {
                self.learn_reach(event);
                // What came meanwhile changes the tables once.
                while let Ok(event) = news.try_recv() {
                    self.learn_reach(event);
                }
                self.apply_or_say().await;
            }
            Event::Check(event) => {
                self.learn_check(event);
                while let Ok(event) = results.try_recv() {
                    self.learn_check(event);
                }
                self.apply_or_say().await;
            }
            Event::Metrics(reply) => {
                let _asker_has_left = reply.send(self.snapshot());
            }
            Event::Reload => drop(self.reload_and_say(news).await),
            Event::Control(Request::Reload(reply)) => {
                let said = self.reload_and_say(news).await;
                let _asker_has_left = reply.send(said);
            }
            Event::Control(Request::Stop(reply)) => return Some(Ending::Stop(Some(reply))),
            Event::End => return Some(Ending::Stop(None)),
            Event::Leave => return Some(Ending::Leave),
            Event::Blind => return Some(Ending::Blind),
            Event::Sweep => {}
        }
        None
    }

    /// Walks over the flow table; returns when to do it again.
    pub(super) fn sweep(&mut self) -> Duration {
        let begin = Instant::now();
        let sweep = match self.kernel.sweep() {
            Ok(sweep) => sweep,
            Err(error) => {
                tracing::error!(%error, "the flow table is not looked through");
                return Duration::from_secs(1);
            }
        };
        self.totals.expired += sweep.expired;
        self.correct_loads(&sweep);
        self.sweep_localities();
        // What was replaced just now may still be read.
        let is_quiet = self.last_apply.elapsed() >= GRACE;
        let freed =
            if is_quiet { free(&self.held, |number| sweep.named.contains(&number)) } else { Vec::new() };
        for change in &freed {
            if let Change::FreeDestination(number) = change
                && let Some(held) = self.held.destinations.get(number)
                && held.head.flags & DESTINATION_REPLY == 0
            {
                // What it had counted stays in its service's sums.
                let departed = self.departed.entry(held.destination.service).or_default();
                *departed = departed.plus(self.kernel.counters(*number));
            }
        }
        if let Err(error) = self.carry_out(&freed) {
            tracing::error!(%error, "destinations that nothing names could not be given back");
        }
        self.totals.sweep_duration = begin.elapsed();
        self.totals.swept = Some(SystemTime::now());
        self.last_sweep = Some(sweep);
        (self.totals.sweep_duration * SWEEP_SHARE).max(Duration::from_secs(1))
    }

    /// Lets lblc forget, once a minute as LVS does, if there is a service that remembers.
    fn sweep_localities(&mut self) {
        let remembers = |service: &VirtualService| service.scheduler == Scheduler::Lblc;
        if self.localities_swept.elapsed() < LOCALITIES_PERIOD || !self.model.services.iter().any(remembers) {
            return;
        }
        self.localities_swept = Instant::now();
        if let Err(error) = self.kernel.sweep_localities() {
            tracing::error!(%error, "what lblc remembers is not looked through");
        }
    }

    /// Whether a check has not decided yet.
    pub(super) fn waits_for_checks(&self) -> bool {
        self.model.services.iter().any(|service| {
            service.check.is_some()
                && service
                    .real_servers
                    .iter()
                    .any(|server| !self.facts.health.contains_key(&server_id(service, server)))
        })
    }

    fn has(&self, id: &ServerId) -> bool {
        let mut services = self.model.services.iter();
        services.any(|service| service.real_servers.iter().any(|server| server_id(service, server) == *id))
    }

    /// How long the slowest check may take.
    pub(super) fn slowest_check(&self) -> Duration {
        let checks = self.model.services.iter().filter_map(|service| service.check);
        checks.map(|check| check.timeout).max().unwrap_or_default()
    }

    /// Takes in a check's result.
    pub(super) fn learn_check(&mut self, event: check::Event) {
        let check::CheckId { service, address, port } = event.id;
        if !self.has(&(service, address, port)) {
            // Told before a reload took it away.
            return;
        }
        let health = match event.health {
            check::Health::Up => Health::Up,
            check::Health::Down => Health::Down,
        };
        if health == Health::Down {
            let why = event.why.unwrap_or_default();
            tracing::warn!(service = %service, real_server = %address, port, why, "real server is down");
        } else {
            tracing::info!(service = %service, real_server = %address, port, "real server is up");
        }
        self.facts.health.insert((service, address, port), health);
    }

    /// Ends the daemon and leaves the data plane.
    pub(super) async fn leave(self) {
        self.checks.stop().await;
    }

    /// Ends everything; says what.
    pub(super) async fn end(mut self) -> anyhow::Result<String> {
        self.checks.stop().await;
        let attached: Vec<String> = self.kernel.attached().map(str::to_owned).collect();
        for name in &attached {
            self.kernel.detach(name)?;
        }
        drop(self.kernel);
        self.neighbours.stop().await?;
        let said = remove_all(&self.options.pins).await?;
        Ok(said.replace("detached from nothing", &format!("detached from {}", attached.join(", "))))
    }

    /// After a start that failed: what it made is taken away, what was there before goes on.
    pub(super) async fn abandon(self, adoption: Adoption) {
        match adoption {
            Adoption::New => {
                if let Err(error) = self.end().await {
                    tracing::error!(%error, "the start failed, and something of it is left: `lb stop` removes it");
                }
            }
            Adoption::Adopted { .. } => self.leave().await,
        }
    }

    fn learn_reach(&mut self, event: neighbour::Event) {
        let neighbour::Event { address, reach } = event;
        // What it means depends on the forward methods.
        match off_link(&self.model, &BTreeMap::from([(address, reach.clone())])) {
            Some(line) => tracing::error!("{line}"),
            None => news::say(address, &reach),
        }
        self.facts.reach.insert(address, reach);
    }

    async fn apply_or_say(&mut self) {
        if let Err(error) = self.apply().await {
            tracing::error!("the tables could not follow: {error:#}");
        }
    }

    /// Brings the tables in line with what is wanted now.
    async fn apply(&mut self) -> anyhow::Result<()> {
        self.warn_of_narrow_tunnels();
        let wanted = self.facts.wanted(&self.model, &self.interfaces);
        let changes = plan(&self.held, &wanted, |service| self.kernel.picks(service))?;
        if changes.is_empty() {
            return Ok(());
        }
        tokio::time::sleep_until(self.last_apply + GRACE).await;
        self.carry_out(&changes)?;
        Ok(())
    }

    /// Says of each tunnel that has too little room what is wrong, once until it changes.
    fn warn_of_narrow_tunnels(&mut self) {
        let narrow = narrow(&self.model, &self.facts.reach);
        for line in narrow.difference(&self.narrow) {
            tracing::warn!("{line}");
        }
        self.narrow = narrow;
    }

    fn carry_out(&mut self, changes: &[Change]) -> Result<(), crate::dataplane::Error> {
        for (done, change) in changes.iter().enumerate() {
            if let Err(error) = self.kernel.apply(change) {
                self.held.follow(&changes[..done]);
                return Err(error);
            }
        }
        self.held.follow(changes);
        self.last_apply = Instant::now();
        Ok(())
    }

    /// Adds the services' addresses to the first interface, and takes away ours that no service has any more.
    async fn place_addresses(&self) -> anyhow::Result<()> {
        let wanted: BTreeSet<_> = match self.model.director.service_addresses {
            AddressOwner::Director => self.model.service_addresses(),
            AddressOwner::Operator => BTreeSet::new(),
        };
        let Some(first) = self.model.director.interfaces.first() else {
            return Ok(());
        };
        for placed in service_address::ours(&self.netlink).await? {
            if placed.interface != *first {
                let _removed =
                    service_address::reconcile(&self.netlink, &placed.interface, &BTreeSet::new()).await?;
            }
        }
        let changes = service_address::reconcile(&self.netlink, first, &wanted).await?;
        for placed in &changes.added {
            tracing::info!("service address {placed} added");
        }
        for placed in &changes.removed {
            tracing::info!("service address {placed} removed");
        }
        for error in &changes.failed {
            tracing::error!("{error}");
        }
        Ok(())
    }

    async fn reload_and_say(&mut self, news: &mut mpsc::Receiver<neighbour::Event>) -> String {
        match self.reload(news).await {
            Ok(()) => {
                self.totals.reloads[0] += 1;
                self.totals.loaded = SystemTime::now();
                tracing::info!(services = self.model.services.len(), "reloaded");
                "reloaded\n".into()
            }
            Err(error) => {
                self.totals.reloads[1] += 1;
                tracing::error!("not reloaded, everything stays as it is: {error:#}");
                format!("not reloaded, everything stays as it is: {error:#}\n")
            }
        }
    }

    /// Takes up the config file as it is now. Where it fails, nothing has changed.
    async fn reload(&mut self, news: &mut mpsc::Receiver<neighbour::Event>) -> anyhow::Result<()> {
        let model = load(&self.options)?;
        let mut interfaces = BTreeMap::new();
        for name in &model.director.interfaces {
            let Some(interface) = interface(&self.netlink, name).await else {
                anyhow::bail!(
                    "{}: interface {name}: there is no such interface",
                    self.options.config.display()
                );
            };
            interfaces.insert(name.clone(), interface.index);
        }
        // Old and new: nobody's neighbour is let go before it is certain that nobody needs it.
        let both: BTreeSet<_> = watched(&self.model).union(&watched(&model)).copied().collect();
        self.neighbours.watch(both.iter().copied());
        await_reach(&mut self.facts, news, &both).await;
        let mut facts = self.facts.clone();
        facts.follow(&model);
        let tried = match off_link(&model, &self.facts.reach) {
            Some(line) => Err(anyhow::anyhow!("{}: {line}", self.options.config.display())),
            None => plan(&self.held, &facts.wanted(&model, &interfaces), |_| 0).map(drop).map_err(Into::into),
        };
        if let Err(error) = tried {
            self.neighbours.watch(watched(&self.model));
            // What is no longer watched may change unseen: the next reload has to ask again.
            self.facts.follow(&self.model);
            return Err(error);
        }
        // The last thing that can fail for a reason of the config's: from here on it is taken up.
        if let Err(error) = self.attach(&model.director).await {
            self.neighbours.watch(watched(&self.model));
            self.facts.follow(&self.model);
            return Err(error);
        }
        if model.director.metrics != self.model.director.metrics {
            tracing::warn!("[director] metrics changes with a restart only");
        }
        if model.director.tables != self.model.director.tables {
            tracing::warn!("[tables] changes with `lb stop` and a new start only");
        }
        self.neighbours.watch(watched(&model));
        (self.model, self.facts, self.interfaces) = (model, facts, interfaces);
        self.checks.set(checks(&self.model, &self.facts.health));
        self.apply().await?;
        self.detach_others()?;
        self.place_addresses().await
    }

    /// Takes out of loads what races of events have left in them: a difference that two sweeps agree on.
    fn correct_loads(&mut self, sweep: &Sweep) {
        let mut drift = vec![Load::default(); sweep.loads.len()];
        for (number, counted) in (0..).zip(&sweep.loads) {
            let told = self.kernel.load_of(number);
            for activity in 0..2 {
                let surplus = told.connections[activity].wrapping_sub(counted.connections[activity]);
                let before = self.drift.get(number as usize).map_or(0, |load| load.connections[activity]);
                if surplus != 0 && surplus == before {
                    let mut by = Load::default();
                    by.connections[activity] = -surplus;
                    self.kernel.correct_load(number, by);
                } else {
                    drift[number as usize].connections[activity] = surplus;
                }
            }
        }
        self.drift = drift;
    }
}
