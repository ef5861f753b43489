//! From a config file to a running director. What is wrong is found before anything is attached.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lb_common::wire::{Seed, Timeouts};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::control;
use super::director::{Director, Ending};
use super::facts::{Facts, off_link, watched};
use super::{Event, Options, packets};
use crate::check::{self, Checks};
use crate::dataplane::{self, Adoption, Dataplane as _, KernelDataplane, Sizes};
use crate::metrics;
use crate::model::Model;
use crate::neighbour::{self, Keeping, Neighbours};

/// How long the kernel may take to say how its addresses are reached.
const REACH_PATIENCE: Duration = Duration::from_secs(3);
/// Check results, requests and the like that may wait.
const WAITING: usize = 256;

/// Runs the director until it is told to end.
pub async fn run(options: Options) -> anyhow::Result<()> {
    // Signals first: whoever interrupts a start leaves nothing behind either.
    let mut signals = Signals::new()?;
    let model = load(&options)?;
    let door = control::open(&options.pins)?;
    let netlink = crate::service_address::open()?;
    for name in &model.director.interfaces {
        if dataplane::interface(&netlink, name).await.is_none() {
            bail!("{}: interface {name}: there is no such interface", options.config.display());
        }
    }
    let metrics_listener = match model.director.metrics {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("metrics can't be served at {address}"))?,
        ),
        None => None,
    };

    let (neighbours, mut news) = Neighbours::start(Keeping::Managed)?;
    neighbours.watch(watched(&model));
    let mut facts = Facts::default();
    await_reach(&mut facts, &mut news, &watched(&model)).await;
    if let Some(line) = off_link(&model, &facts.reach) {
        neighbours.stop().await?;
        bail!("{}: {line}", options.config.display());
    }

    let (mut kernel, adoption) = match open_tables(&model, &options) {
        Ok(opened) => opened,
        Err(error) => {
            neighbours.stop().await?;
            return Err(error);
        }
    };
    let held = kernel.held()?;
    if adoption != Adoption::New {
        facts.believe(&held, &model);
    }
    facts.follow(&model);
    if options.debug_packets {
        packets::log(&mut kernel)?;
    }

    let (check_events, mut check_results) = mpsc::unbounded_channel();
    let checks = Checks::start(check_events);
    let mut director = Director::new(options, model, facts, kernel, held, neighbours, checks, netlink);
    let started = director.begin(&mut check_results).await;
    if let Err(error) = started {
        // What was not there before us is taken away again; what was, goes on.
        director.abandon(adoption).await;
        return Err(error);
    }

    let (metrics_sender, mut metrics_requests) = mpsc::channel(WAITING);
    if let Some(listener) = metrics_listener {
        tracing::info!(address = %listener.local_addr()?, "metrics are served at /metrics");
        tokio::spawn(metrics::serve(listener, metrics_sender.clone(), std::future::pending::<()>()));
    }
    let (requests_sender, mut requests) = mpsc::channel(WAITING);
    tokio::spawn(control::serve(door, requests_sender.clone()));

    let mut next_sweep = Instant::now() + Duration::from_secs(1);
    let ending = loop {
        let event = tokio::select! {
            event = news.recv() => event.map_or(Event::Blind, Event::Neighbour),
            Some(event) = check_results.recv() => Event::Check(event),
            Some(request) = requests.recv() => Event::Control(request),
            Some(reply) = metrics_requests.recv() => Event::Metrics(reply),
            event = signals.next() => event,
            () = tokio::time::sleep_until(next_sweep) => Event::Sweep,
        };
        if matches!(event, Event::Sweep) {
            next_sweep = Instant::now() + director.sweep();
            continue;
        }
        if let Some(ending) = director.handle(event, &mut news, &mut check_results).await {
            break ending;
        }
    };
    finish(director, ending).await
}

/// Reads the config, and adds what the command line says.
pub(super) fn load(options: &Options) -> anyhow::Result<Model> {
    let mut model = crate::config::load(&options.config)?;
    for name in &options.interfaces {
        if !model.director.interfaces.contains(name) {
            model.director.interfaces.push(name.clone());
        }
    }
    if model.director.interfaces.is_empty() {
        bail!(
            "{}: no interface to work on: set [director] interfaces, or give --iface",
            options.config.display()
        );
    }
    let is_attached = |name: &&String| model.director.interfaces.contains(name);
    let names = || model.classes.iter().filter_map(|class| class.interface.as_ref());
    if let Some(name) = names().find(|name| !is_attached(name)) {
        bail!(
            "{}: a class is for what comes in by {name}, and the program is not attached there: \
             add it to [director] interfaces, or give --iface",
            options.config.display()
        );
    }
    Ok(model)
}

/// Takes in what netlink says until every address has been spoken of, or patience ends.
pub(super) async fn await_reach(
    facts: &mut Facts,
    news: &mut mpsc::Receiver<neighbour::Event>,
    addresses: &BTreeSet<std::net::IpAddr>,
) {
    let deadline = Instant::now() + REACH_PATIENCE;
    while !addresses.iter().all(|address| facts.reach.contains_key(address)) {
        let Ok(Some(event)) = timeout_at(deadline, news.recv()).await else {
            return;
        };
        facts.reach.insert(event.address, event.reach);
    }
}

/// Takes in check results until every check has decided, or as long as the slowest may take.
pub(super) async fn await_checks(
    director: &mut Director,
    results: &mut mpsc::UnboundedReceiver<check::Event>,
) {
    let deadline = Instant::now() + director.slowest_check() + Duration::from_millis(500);
    while director.waits_for_checks() {
        let Ok(Some(event)) = timeout_at(deadline, results.recv()).await else {
            return;
        };
        director.learn_check(event);
    }
}

fn open_tables(model: &Model, options: &Options) -> anyhow::Result<(KernelDataplane, Adoption)> {
    prepare_pins(&options.pins)?;
    let cpus = aya::util::nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?;
    let clock = dataplane::clock();
    let timeouts = Timeouts::new(900, 120, 300, clock);
    let sizes = Sizes::of(&model.director.tables, u32::try_from(cpus)?, seed()?, timeouts, clock);
    let (kernel, adoption) = KernelDataplane::load(&sizes, Some(&options.pins), options.debug_packets)?;
    match adoption {
        Adoption::New => tracing::info!(tables = kernel.sizes().describe(), "tables made"),
        Adoption::Adopted { other_sizes } => {
            tracing::info!(
                tables = kernel.sizes().describe(),
                "tables adopted from {}",
                options.pins.display()
            );
            if other_sizes {
                tracing::warn!(
                    "the config asks for tables of other sizes: they stay as they are until `lb stop` and a new start"
                );
            }
        }
    }
    Ok((kernel, adoption))
}

/// Makes the directory of pins, on a bpf file system.
fn prepare_pins(pins: &Path) -> anyhow::Result<()> {
    /// `BPF_FS_MAGIC` of linux/magic.h.
    const BPF_FS: i64 = 0xcafe_4a11;
    std::fs::create_dir_all(pins).with_context(|| {
        format!(
            "{} can't be made; is a bpf file system mounted? `mount -t bpf bpf /sys/fs/bpf`",
            pins.display()
        )
    })?;
    let kind = rustix::fs::statfs(pins).with_context(|| format!("{} can't be asked", pins.display()))?.f_type;
    if kind as i64 != BPF_FS {
        let removed = std::fs::remove_dir(pins);
        tracing::debug!(?removed, "a directory of pins that is none");
        bail!(
            "{} is not on a bpf file system: `mount -t bpf bpf /sys/fs/bpf`, or give --pins",
            pins.display()
        );
    }
    Ok(())
}

/// A key nobody can guess.
fn seed() -> anyhow::Result<Seed> {
    let mut bytes = [0; size_of::<Seed>()];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .context("the kernel gives no random numbers")?;
    }
    let numbers: Seed = bytemuck::cast(bytes);
    Ok(numbers.map(|number| number | 1))
}

async fn finish(director: Director, ending: Ending) -> anyhow::Result<()> {
    match ending {
        Ending::Leave => {
            tracing::info!(
                "the daemon ends; the data plane goes on without it: `lb run` takes it up again, `lb stop` ends it"
            );
            director.leave().await;
            Ok(())
        }
        Ending::Stop(reply) => {
            let said = director.end().await?;
            tracing::info!("{said}");
            if let Some(reply) = reply {
                let _asker_has_left = reply.send(format!("{said}\n"));
                // The answer is written by another task of this runtime.
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        }
        Ending::Blind => {
            director.leave().await;
            bail!(
                "links and neighbours can't be followed any more; the data plane goes on, start the daemon again"
            )
        }
    }
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let one = |kind| signal(kind).context("signals can't be handled");
        Ok(Self {
            hangup: one(SignalKind::hangup())?,
            terminate: one(SignalKind::terminate())?,
            interrupt: one(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hangup.recv() => Event::Reload,
            _ = self.terminate.recv() => Event::Leave,
            _ = self.interrupt.recv() => Event::End,
        }
    }
}
