//! The task that follows: news from the kernel, a new set of addresses, or the passing of time come in; the paths
//! and neighbours that they concern are asked for anew; what changed for a watched address is told.
//! It refuses to interpret messages of netlink, which `kernel`, `link`, `path` and `hop` do.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tracing::{debug, warn};

use super::hop::{Entry, Hop};
use super::kernel::{self, Kernel, Neighbour, News};
use super::link::{Egress, Links};
use super::path::Path;
use super::{Event, Keeping, NeighbourError, Reach};

/// Routes are asked for this long after the first change of a burst.
const SETTLE: Duration = Duration::from_millis(50);
/// Asking for routes takes at most one part in this many of the time, however often they change (a BGP table).
const SHARE: u32 = 5;
/// Pause between two questions for neighbours that aren't as they should be, and for what wasn't answered.
const AGAIN: Duration = Duration::from_secs(1);

type Payload = NetlinkPayload<RouteNetlinkMessage>;

/// Why the task goes on.
enum Woken {
    /// `None`: there will be no more.
    News(Option<Payload>),
    NewSet,
    Alarm,
    /// The reader of events made room.
    Room,
    /// Nobody watches, or nobody reads, any more.
    Unwanted,
}

/// Everything that the task knows.
pub(super) struct Follower {
    kernel: Kernel,
    news: News,
    keeping: Keeping,
    wanted: watch::Receiver<BTreeSet<IpAddr>>,
    events: mpsc::Sender<Event>,
    links: Links,
    /// Each watched address.
    paths: BTreeMap<IpAddr, Path>,
    /// Each neighbour that a path leads to.
    hops: BTreeMap<Neighbour, Hop>,
    /// What the reader knows.
    told: BTreeMap<IpAddr, Reach>,
    /// What is to be told when there is room.
    untold: BTreeMap<IpAddr, Reach>,
    /// When to ask for all routes again.
    reroute: Option<Instant>,
    /// Not before this.
    rested: Instant,
    /// When to ask again for neighbours.
    again: Instant,
}

impl Follower {
    /// Opens its sockets in the network namespace of the calling thread.
    pub(super) fn open(
        keeping: Keeping,
        wanted: watch::Receiver<BTreeSet<IpAddr>>,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, NeighbourError> {
        Ok(Self {
            news: kernel::subscribe()?,
            kernel: Kernel::open()?,
            keeping,
            wanted,
            events,
            links: Links::default(),
            paths: BTreeMap::new(),
            hops: BTreeMap::new(),
            told: BTreeMap::new(),
            untold: BTreeMap::new(),
            reroute: None,
            rested: Instant::now(),
            again: Instant::now(),
        })
    }

    /// Follows until nobody wants it any more, then takes away what it asked of the kernel.
    pub(super) async fn run(mut self) -> Result<(), NeighbourError> {
        let result = self.follow().await;
        self.paths.clear();
        self.release_unused().await;
        result
    }

    async fn follow(&mut self) -> Result<(), NeighbourError> {
        self.list_links().await.map_err(NeighbourError::Links)?;
        match self.kernel.ours().await {
            // Left by a daemon that was killed. Those that aren't watched are released with the first set.
            Ok(left) => {
                for (neighbour, entry) in left {
                    let hop = self.hops.entry(neighbour).or_insert_with(|| Hop::new(self.keeping));
                    hop.hear(Some(entry), Instant::now());
                }
            }
            Err(error) => warn!("can't list the neighbours that an earlier daemon kept resolved: {error}"),
        }
        loop {
            match self.wait().await {
                Woken::News(message) => self.take_news(message.ok_or(NeighbourError::Closed)?).await,
                Woken::NewSet => self.take_set().await,
                Woken::Alarm => self.ring().await,
                Woken::Room => self.tell(),
                Woken::Unwanted => return Ok(()),
            }
            self.compare();
        }
    }

    async fn wait(&mut self) -> Woken {
        let alarm = self.alarm();
        tokio::select! {
            news = self.news.next() => Woken::News(news.map(|(message, _)| message.payload)),
            changed = self.wanted.changed() => if changed.is_ok() { Woken::NewSet } else { Woken::Unwanted },
            () = until(alarm) => Woken::Alarm,
            room = self.events.reserve(), if !self.untold.is_empty() => {
                if room.is_ok() { Woken::Room } else { Woken::Unwanted }
            }
        }
    }

    /// Takes in everything that waits before anything is asked for or told.
    async fn take_news(&mut self, first: Payload) {
        let mut overrun = self.hear(first);
        while let Some(Some((message, _))) = self.news.next().now_or_never() {
            overrun |= self.hear(message.payload);
        }
        if overrun {
            self.start_over().await;
        }
    }

    /// Takes in one message, and says whether others were lost before it.
    fn hear(&mut self, message: Payload) -> bool {
        let message = match message {
            NetlinkPayload::InnerMessage(message) => message,
            NetlinkPayload::Overrun(_) => return true,
            _ => return false,
        };
        match message {
            RouteNetlinkMessage::NewNeighbour(entry) => {
                if let Some((neighbour, entry)) = kernel::read_neighbour(&entry) {
                    self.hear_of(neighbour, Some(entry));
                }
                return false;
            }
            RouteNetlinkMessage::DelNeighbour(entry) => {
                if let Some((neighbour, _)) = kernel::read_neighbour(&entry) {
                    self.hear_of(neighbour, None);
                }
                return false;
            }
            RouteNetlinkMessage::NewLink(link) => self.links.put(&link),
            RouteNetlinkMessage::DelLink(link) => self.links.remove(&link),
            // Addresses, routes and rules: how they change a path is the kernel's to say.
            _ => {}
        }
        self.reroute.get_or_insert(self.rested.max(Instant::now() + SETTLE));
        false
    }

    fn hear_of(&mut self, neighbour: Neighbour, entry: Option<Entry>) {
        if let Some(hop) = self.hops.get_mut(&neighbour) {
            let now = Instant::now();
            let known = hop.mac(now);
            hop.hear(entry, now);
            if known.is_some() && hop.expires(now).is_some() {
                // Lost just now: whoever is alive answers before the grace ends.
                self.again = self.again.min(now);
            }
        }
    }

    /// Messages were lost: everything is asked for anew.
    async fn start_over(&mut self) {
        debug!("netlink news were lost in a burst; asking for everything again");
        if let Err(error) = self.list_links().await {
            warn!("can't list the network interfaces by netlink: {error}");
        }
        let neighbours: Vec<_> = self.hops.keys().copied().collect();
        for neighbour in neighbours {
            self.look_up(neighbour).await;
        }
        self.ask_for_paths().await;
    }

    async fn list_links(&mut self) -> io::Result<()> {
        let links = self.kernel.links().await?;
        self.links = Links::default();
        for link in &links {
            self.links.put(link);
        }
        Ok(())
    }

    /// Takes over the set of watched addresses.
    async fn take_set(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.paths.retain(|address, _| wanted.contains(address));
        self.told.retain(|address, _| wanted.contains(address));
        self.untold.retain(|address, _| wanted.contains(address));
        for address in wanted {
            if !self.paths.contains_key(&address) {
                self.ask_for_path(address).await;
            }
        }
        self.adjust_hops().await;
    }

    async fn ask_for_paths(&mut self) {
        self.reroute = None;
        let begun = Instant::now();
        let addresses: Vec<_> = self.wanted.borrow().iter().copied().collect();
        for address in addresses {
            self.ask_for_path(address).await;
        }
        self.adjust_hops().await;
        self.rested = begun + begun.elapsed() * SHARE;
        // An interface that came back has an empty neighbour table.
        self.again = Instant::now();
    }

    async fn ask_for_path(&mut self, address: IpAddr) {
        match self.kernel.path(address).await {
            Ok(path) => {
                self.paths.insert(address, path);
            }
            Err(error) => {
                warn!("no answer to the question for the route to {address}, asking again: {error}");
                self.reroute.get_or_insert(Instant::now() + AGAIN);
            }
        }
    }

    /// Has each neighbour that a path leads to kept resolved, and no other.
    async fn adjust_hops(&mut self) {
        self.release_unused().await;
        let new: BTreeSet<_> =
            self.neighbours().into_iter().filter(|neighbour| !self.hops.contains_key(neighbour)).collect();
        for neighbour in new {
            self.hops.insert(neighbour, Hop::new(self.keeping));
            self.look_up(neighbour).await;
            self.ask_for(neighbour).await;
        }
    }

    fn neighbours(&self) -> BTreeSet<Neighbour> {
        self.paths.iter().filter_map(|(address, path)| next_hop(*address, path)).collect()
    }

    async fn release_unused(&mut self) {
        let used = self.neighbours();
        let unused: Vec<_> =
            self.hops.keys().filter(|neighbour| !used.contains(neighbour)).copied().collect();
        for neighbour in unused {
            if let Some(hop) = self.hops.remove(&neighbour)
                && let Err(error) = self.release(neighbour, &hop).await
            {
                warn!("neighbour {} on interface {} stays managed: {error}", neighbour.1, neighbour.0);
            }
        }
    }

    async fn release(&self, neighbour: Neighbour, hop: &Hop) -> io::Result<()> {
        // Read anew: what was heard may be older than a change by the operator.
        match self.kernel.entry(neighbour).await? {
            Some(entry) if hop.owes(&entry) => match self.kernel.release(neighbour, entry.is_ours()).await {
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Ok(()),
                result => result,
            },
            _ => Ok(()),
        }
    }

    async fn look_up(&mut self, neighbour: Neighbour) {
        match self.kernel.entry(neighbour).await {
            Ok(entry) => self.hear_of(neighbour, entry),
            Err(error) => warn!("can't read neighbour {} on interface {}: {error}", neighbour.1, neighbour.0),
        }
    }

    /// Asks the kernel to resolve a neighbour and, where it does that, to keep it resolved.
    async fn ask_for(&mut self, neighbour: Neighbour) {
        let Some(hop) = self.hops.get_mut(&neighbour) else { return };
        if !hop.needs_asking() || self.links.egress(neighbour.0).is_err() {
            return;
        }
        let labelled = hop.may_be_labelled();
        let result = match hop.keeping() {
            Keeping::Managed => self.kernel.manage(neighbour, labelled).await,
            Keeping::Asked => self.kernel.resolve(neighbour).await,
        };
        let (interface, address) = neighbour;
        match result {
            Ok(()) => hop.asked(labelled),
            Err(error) if hop.keeping() == Keeping::Managed && is_refusal(&error) => {
                warn!("the kernel won't keep neighbour {address} on interface {interface} resolved: {error}");
                hop.refused();
                self.again = Instant::now();
            }
            // Among others: the table is full (ENOBUFS), the interface went down. It is asked again.
            Err(error) => debug!("neighbour {address} on interface {interface} can't be asked for: {error}"),
        }
    }

    /// When something is to be done without news.
    fn alarm(&self) -> Option<Instant> {
        let now = Instant::now();
        let again = self.hops.values().any(Hop::needs_asking).then_some(self.again);
        let grace = self.hops.values().filter_map(|hop| hop.expires(now)).min();
        [self.reroute, again, grace].into_iter().flatten().min()
    }

    async fn ring(&mut self) {
        let now = Instant::now();
        if self.reroute.is_some_and(|at| at <= now) {
            self.ask_for_paths().await;
        }
        if self.again <= now {
            self.again = now + AGAIN;
            let neighbours: Vec<_> = self.hops.keys().copied().collect();
            for neighbour in neighbours {
                self.ask_for(neighbour).await;
            }
        }
    }

    fn tell(&mut self) {
        if let Some((address, reach)) = self.untold.pop_first() {
            self.told.insert(address, reach.clone());
            if self.events.try_send(Event { address, reach }).is_err() {
                // Nobody else sends, so there was room; the reader has just gone, which `wait` will find.
                self.told.remove(&address);
            }
        }
    }

    /// Finds the addresses for which something else holds than what was told.
    fn compare(&mut self) {
        let now = Instant::now();
        for (address, path) in &self.paths {
            let reach = self.reach(*address, path, now);
            if self.told.get(address) == Some(&reach) {
                self.untold.remove(address);
            } else {
                self.untold.insert(*address, reach);
            }
        }
    }

    fn reach(&self, address: IpAddr, path: &Path, now: Instant) -> Reach {
        let (interface, gateway, route_mtu, from) = match path {
            Path::Local => return Reach::Local,
            Path::Nowhere(why) => return Reach::Unreachable { why: why.clone() },
            Path::Out { interface, gateway, mtu, from } => (*interface, *gateway, *mtu, *from),
        };
        let Egress { mac: source, mtu } = match self.links.egress(interface) {
            Ok(egress) => egress,
            Err(why) => return Reach::Unreachable { why },
        };
        let mtu = route_mtu.map_or(mtu, |route| route.min(mtu));
        let destination =
            self.hops.get(&(interface, gateway.unwrap_or(address))).and_then(|hop| hop.mac(now));
        match (gateway, destination) {
            (Some(gateway), destination) => {
                Reach::Routed { gateway, interface, source, destination, mtu, from }
            }
            (None, Some(destination)) => Reach::OnLink { interface, source, destination, mtu, from },
            (None, None) => Reach::Unresolved { interface, source, mtu, from },
        }
    }
}

fn next_hop(address: IpAddr, path: &Path) -> Option<Neighbour> {
    match path {
        Path::Out { interface, gateway, .. } => Some((*interface, gateway.unwrap_or(address))),
        Path::Local | Path::Nowhere(_) => None,
    }
}

/// How a kernel without managed entries (before 5.16) answers.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => pending().await,
    }
}
