//! The tables of a director, as the daemon reaches them: read once, then changed step by step.
//!
//! A [`Change`] is one primitive write. What changes follow from a config, and in which order, is
//! `plan`'s to know; here nothing is decided.

mod addresses;
mod attach;
mod guards;
mod kernel;
mod load;
mod loads;
mod mapped;
mod memory;
mod object;
mod pins;
mod sizes;
mod sweep;
mod templates;

use std::collections::{BTreeMap, BTreeSet};

use lb_common::wire::{
    Admission, Clock, Destination, DestinationHead, LAYOUT_BYTES_MAX, Options, Persistence, Prefix, RingSpan,
    Rule, RuleSpan, Service, ServiceKey, Settings, State, Timeouts,
};

pub use attach::{Attachment, Interface, interface, pinned_interfaces, remove_pins};
pub use kernel::{Adoption, KernelDataplane};
pub use memory::MemoryDataplane;
pub use object::OBJECT;
use pins::remove_pinned_tables;
pub use sizes::Sizes;
pub use sweep::Sweep;

/// The clock of the kernel that we run on: the resolution of its coarse clocks is a jiffy
/// (Linux, `posix_get_coarse_res`).
pub fn clock() -> Clock {
    let jiffy = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse);
    let nanoseconds = (jiffy.tv_sec * 1_000_000_000 + jiffy.tv_nsec).max(1);
    Clock::new(u32::try_from((1_000_000_000 + nanoseconds / 2) / nanoseconds).unwrap_or(1))
}

/// One write to the tables. Every one leaves them fit for packets.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Lets packets out by an interface (ifindex).
    AddInterface(u32),
    /// No packet leaves by it any more.
    RemoveInterface(u32),
    /// Replaces the Ethernet addresses of peer directors.
    SetPeers(BTreeSet<[u8; 6]>),
    /// Replaces the idle timeouts.
    SetTimeouts(Timeouts),
    /// Replaces what the operator chose about connections.
    SetOptions(Options),
    /// Fills a record that nothing names, then publishes it under a number.
    PutDestination {
        /// Its number.
        number: u32,
        /// The record and the flags.
        head: DestinationHead,
        /// What the record holds.
        destination: Destination,
        /// Whether the number was free, and its counters are to begin at zero.
        is_new: bool,
    },
    /// Replaces the flags of a destination, and nothing else.
    FlagDestination {
        /// Its number.
        number: u32,
        /// The record that it has, and the new flags.
        head: DestinationHead,
    },
    /// Gives a number back that nothing names any more.
    FreeDestination(u32),
    /// Fills a part of the map of rings that nothing names.
    WriteRing {
        /// The first slot.
        first: u32,
        /// Numbers of destinations.
        slots: Vec<u32>,
    },
    /// Fills a service that no key names.
    PutService {
        /// Its index.
        index: u32,
        /// The whole record.
        service: Service,
    },
    /// Publishes another ring for a service.
    PublishRing {
        /// The service's index.
        index: u32,
        /// Where the ring lies.
        ring: RingSpan,
        /// The pick to go on with.
        picks: u64,
        /// The scheduler that made the ring, see [`Service::scheduler`].
        scheduler: u8,
        /// See [`Service::flags`].
        flags: u8,
        /// See [`Service::new_flows`].
        new_flows: u32,
    },
    /// Writes to a list of sources that no service names.
    PutSources {
        /// The number of the list.
        list: u32,
        /// Whether flows from a prefix may be opened.
        sources: BTreeMap<Prefix, bool>,
    },
    /// Takes out of a list that no service names any more.
    RemoveSources {
        /// The number of the list.
        list: u32,
        /// What is taken out.
        sources: BTreeSet<Prefix>,
    },
    /// Gives a service another list of sources.
    PublishList {
        /// The service's index.
        index: u32,
        /// The number of the list; 0: none.
        list: u32,
    },
    /// Replaces how a service remembers its clients. Those that it knows stay, if their addresses are still cut in
    /// the same way.
    SetPersistence {
        /// The service's index.
        index: u32,
        /// How it does from now on.
        persistence: Persistence,
    },
    /// Makes a service known by its key.
    AddKey(ServiceKey, u32),
    /// The service is no longer known.
    RemoveKey(ServiceKey),
    /// Clears a service that no key names any more, and forgets its clients.
    FreeService(u32),
    /// Fills a part of the map of rules that nothing names.
    WriteRules {
        /// The first one.
        first: u32,
        /// Rules of classes.
        rules: Vec<Rule>,
    },
    /// Publishes other rules at a place that an address has, or is to have.
    PublishRules {
        /// The place.
        place: u32,
        /// Where they lie.
        rules: RuleSpan,
    },
    /// Replaces the services' addresses, by [`ServiceKey::address_only`], and where each finds its rules. An address
    /// that stays keeps its place.
    SetAddresses(BTreeMap<ServiceKey, u32>),
    /// Whether packets look for the rules of their address at all.
    SetHasRules(bool),
    /// Replaces the admission filter.
    SetAdmission(Box<Admission>),
    /// Replaces the filter of masqueraded real servers' addresses; `None`: there are none.
    SetSources(Option<Box<Admission>>),
}

/// A director's tables.
pub trait Dataplane {
    /// Everything that a plan starts from.
    fn held(&self) -> Result<Held, Error>;

    /// How many picks a service has made.
    fn picks(&self, service: u32) -> u64;

    /// Carries out one change.
    fn apply(&mut self, change: &Change) -> Result<(), Error>;
}

/// What the tables hold.
#[derive(Clone, Debug)]
pub struct Held {
    /// Sizes and timeouts.
    pub settings: Settings,
    /// Services by index.
    pub services: BTreeMap<u32, HeldService>,
    /// Destinations by number.
    pub destinations: BTreeMap<u32, HeldDestination>,
    /// The services' addresses, by [`ServiceKey::address_only`].
    pub addresses: BTreeMap<ServiceKey, HeldAddress>,
    /// Lists of sources by number, those that no service names any more included.
    pub lists: BTreeMap<u32, BTreeMap<Prefix, bool>>,
    /// Peer directors.
    pub peers: BTreeSet<[u8; 6]>,
    /// Interfaces (ifindex) that packets may leave by.
    pub interfaces: BTreeSet<u32>,
}

/// A service in the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldService {
    /// Who it is.
    pub key: ServiceKey,
    /// See [`Service::scheduler`].
    pub scheduler: u8,
    /// See [`Service::flags`].
    pub flags: u8,
    /// See [`Service::new_flows`].
    pub new_flows: u32,
    /// The number of its list of sources; 0: none.
    pub list: u32,
    /// See [`Service::persistence`].
    pub persistence: Persistence,
    /// Where its ring lies.
    pub span: RingSpan,
    /// Its ring.
    pub ring: Vec<u32>,
}

/// A destination in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldDestination {
    /// Its record's index, and its flags.
    pub head: DestinationHead,
    /// Its record.
    pub destination: Destination,
}

/// An address in the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAddress {
    /// Its place in the map of spans.
    pub place: u32,
    /// Where its rules lie.
    pub span: RuleSpan,
    /// Its rules.
    pub rules: Vec<Rule>,
}

impl Held {
    /// Empty tables.
    pub fn empty(settings: Settings) -> Self {
        Self {
            settings,
            services: BTreeMap::new(),
            destinations: BTreeMap::new(),
            addresses: BTreeMap::new(),
            lists: BTreeMap::new(),
            peers: BTreeSet::new(),
            interfaces: BTreeSet::new(),
        }
    }

    /// Follows a change that was carried out, so that the tables need not be read again.
    ///
    /// A ring that was written stands in no service yet; whoever publishes it gives its slots.
    pub fn follow(&mut self, changes: &[Change]) {
        let mut written: BTreeMap<u32, &Vec<u32>> = BTreeMap::new();
        let mut written_rules: BTreeMap<u32, Vec<Rule>> = (self.addresses.values())
            .filter(|address| address.span.rules > 0)
            .map(|address| (address.span.first, address.rules.clone()))
            .collect();
        let mut published: BTreeMap<u32, (RuleSpan, Vec<Rule>)> = BTreeMap::new();
        let ring_of = |written: &BTreeMap<u32, &Vec<u32>>, span: RingSpan| {
            // An empty ring begins nowhere.
            let slots = written.get(&span.first).filter(|_| span.slots > 0);
            slots.map_or(Vec::new(), |slots| (*slots).clone())
        };
        for change in changes {
            match change {
                Change::AddInterface(interface) => drop(self.interfaces.insert(*interface)),
                Change::RemoveInterface(interface) => drop(self.interfaces.remove(interface)),
                Change::SetPeers(peers) => self.peers.clone_from(peers),
                Change::SetTimeouts(timeouts) => self.settings.timeouts = *timeouts,
                Change::SetOptions(options) => self.settings.options = *options,
                Change::PutDestination { number, head, destination, .. } => {
                    let held = HeldDestination { head: *head, destination: *destination };
                    self.destinations.insert(*number, held);
                }
                Change::FlagDestination { number, head } => {
                    if let Some(held) = self.destinations.get_mut(number) {
                        held.head = *head;
                    }
                }
                Change::FreeDestination(number) => drop(self.destinations.remove(number)),
                Change::WriteRing { first, slots } => drop(written.insert(*first, slots)),
                Change::PutService { index, service } => {
                    let span = RingSpan::from_word(service.ring);
                    let ring = ring_of(&written, span);
                    let Service { key, scheduler, flags, new_flows, list, persistence, .. } = *service;
                    let held =
                        HeldService { key, scheduler, flags, new_flows, list, persistence, span, ring };
                    self.services.insert(*index, held);
                }
                Change::PublishRing { index, ring: span, scheduler, flags, new_flows, .. } => {
                    let ring = ring_of(&written, *span);
                    if let Some(service) = self.services.get_mut(index) {
                        (service.span, service.ring) = (*span, ring);
                        (service.scheduler, service.flags) = (*scheduler, *flags);
                        service.new_flows = *new_flows;
                    }
                }
                Change::SetPersistence { index, persistence } => {
                    if let Some(service) = self.services.get_mut(index) {
                        service.persistence = *persistence;
                    }
                }
                Change::FreeService(index) => drop(self.services.remove(index)),
                Change::WriteRules { first, rules } => drop(written_rules.insert(*first, rules.clone())),
                Change::PublishRules { place, rules: span } => {
                    // No rules begin nowhere.
                    let rules = written_rules.get(&span.first).filter(|_| span.rules > 0);
                    let rules = rules.cloned().unwrap_or_default();
                    match self.addresses.values_mut().find(|address| address.place == *place) {
                        Some(address) => (address.span, address.rules) = (*span, rules),
                        None => drop(published.insert(*place, (*span, rules))),
                    }
                }
                Change::SetAddresses(addresses) => {
                    let before = std::mem::take(&mut self.addresses);
                    let held = addresses.iter().map(|(key, &place)| {
                        let stays = before.get(key).cloned();
                        let (span, rules) = published.get(&place).cloned().unwrap_or_default();
                        (*key, stays.unwrap_or(HeldAddress { place, span, rules }))
                    });
                    self.addresses = held.collect();
                }
                Change::SetHasRules(has_rules) => self.settings.has_rules = u32::from(*has_rules),
                Change::PutSources { list, sources } => self.lists.entry(*list).or_default().extend(sources),
                Change::RemoveSources { list, sources } => remove_sources(&mut self.lists, *list, sources),
                Change::PublishList { index, list } => {
                    if let Some(service) = self.services.get_mut(index) {
                        service.list = *list;
                    }
                }
                Change::AddKey(..)
                | Change::RemoveKey(_)
                | Change::SetAdmission(_)
                | Change::SetSources(_) => {}
            }
        }
    }
}

fn remove_sources(lists: &mut BTreeMap<u32, BTreeMap<Prefix, bool>>, list: u32, gone: &BTreeSet<Prefix>) {
    if let Some(sources) = lists.get_mut(&list) {
        sources.retain(|prefix, _| !gone.contains(prefix));
        if sources.is_empty() {
            lists.remove(&list);
        }
    }
}

/// Counters of the flow table's evictions and all verdicts, summed over CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerdictCounts {
    /// By [`lb_common::Verdict::index`].
    pub verdicts: Vec<u64>,
    /// By the number of a [`State`].
    pub evictions: [u64; State::NUMBERS],
    /// Connections to persistent services that went without a template, there being no room.
    pub without_template: u64,
}

/// Why the tables can't be reached or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object did not load.
    #[error("the XDP program could not be loaded: {0}")]
    Load(#[source] aya::EbpfError),
    /// The kernel's verifier refused the program.
    #[error("the kernel refused the XDP program: {0}")]
    Program(#[source] aya::programs::ProgramError),
    /// A map of the object is missing or of another type.
    #[error("map {map}: {source}")]
    Map {
        /// The map.
        map: &'static str,
        /// What the kernel said.
        source: aya::maps::MapError,
    },
    /// An interface could not be entered for redirection.
    #[error("packets can't be sent out by interface {interface} (ifindex): {source}")]
    Interface {
        /// Its ifindex.
        interface: u32,
        /// What the kernel said.
        source: aya::maps::xdp::XdpMapError,
    },
    /// The tables that every packet may read are larger together than a program can reach into.
    #[error(
        "[tables] makes tables of {megabytes} MB, and programs reach no further than {most} MB into \
         them: lower flows (34 bytes each) or destinations (136 bytes each, and 32 for every CPU)",
        megabytes = bytes.div_ceil(1_000_000),
        most = LAYOUT_BYTES_MAX / 1_000_000
    )]
    TooLarge {
        /// Their size.
        bytes: u64,
    },
    /// A map could not be mapped into memory.
    #[error("map {map} could not be mapped into memory: {source}")]
    Mmap {
        /// The map.
        map: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The program can't be attached.
    #[error("interface {interface}: {why}")]
    Attach {
        /// The interface.
        interface: String,
        /// What stands against it, and what to do.
        why: String,
    },
    /// A pin can't be read or written.
    #[error("{path}: {why}", path = path.display())]
    Pin {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
}
