//! One neighbour: what the kernel last said of its entry, and the Ethernet address to use meanwhile.
//! It refuses to talk to the kernel, and is told the time.

use std::time::{Duration, Instant};

use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourMessage, NeighbourState,
};

use super::{Keeping, Mac, OUR_PROTOCOL};

/// How long the last Ethernet address is used after its entry was lost (failed, flushed, being asked for anew).
/// A host that is alive answers in that time, even if the first question was lost: the kernel repeats it after 1 s.
pub(super) const GRACE: Duration = Duration::from_millis(1500);

/// An entry of the kernel's neighbour table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    state: NeighbourState,
    mac: Option<Mac>,
    managed: bool,
    protocol: u8,
}

/// A neighbour that frames go to.
#[derive(Debug)]
pub(super) struct Hop {
    keeping: Keeping,
    mac: Option<Mac>,
    /// When the entry behind `mac` was lost.
    lost: Option<Instant>,
    entry: Option<Entry>,
    /// The managed flag was set by us on an entry that carries the label of somebody else.
    unlabelled: bool,
}

impl Entry {
    /// Reads an entry. Addresses that aren't Ethernet's are none.
    pub(super) fn read(message: &NeighbourMessage) -> Self {
        let mut entry = Self { state: message.header.state, mac: None, managed: false, protocol: 0 };
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => entry.mac = bytes.as_slice().try_into().ok(),
                NeighbourAttribute::ExtFlags(flags) => {
                    entry.managed = flags.contains(NeighbourExtFlags::Managed);
                }
                NeighbourAttribute::Protocol(protocol) => entry.protocol = u8::from(*protocol),
                _ => {}
            }
        }
        entry
    }

    /// Managed, and labelled as by us.
    pub(super) fn is_ours(&self) -> bool {
        self.managed && self.protocol == OUR_PROTOCOL
    }

    /// Whether the kernel itself would send to its Ethernet address.
    fn is_usable(&self) -> bool {
        use NeighbourState::{Delay, Noarp, Permanent, Probe, Reachable, Stale};
        matches!(self.state, Reachable | Stale | Delay | Probe | Permanent | Noarp)
    }

    /// Never asked for by the kernel. To set the managed flag on a permanent entry would end its permanence.
    fn is_fixed(&self) -> bool {
        matches!(self.state, NeighbourState::Permanent | NeighbourState::Noarp)
    }
}

impl Hop {
    /// A neighbour of which nothing is known.
    pub(super) fn new(keeping: Keeping) -> Self {
        Self { keeping, mac: None, lost: None, entry: None, unlabelled: false }
    }

    /// Takes over the entry as it is now; `None`: there is none.
    pub(super) fn hear(&mut self, entry: Option<Entry>, now: Instant) {
        self.entry = entry;
        let usable = entry.filter(Entry::is_usable).and_then(|entry| entry.mac);
        if let Some(mac) = usable {
            self.mac = Some(mac);
            self.lost = None;
        } else if self.mac.is_some() && self.lost.is_none() {
            self.lost = Some(now);
        }
    }

    /// The Ethernet address to send to.
    pub(super) fn mac(&self, now: Instant) -> Option<Mac> {
        match self.lost {
            Some(lost) if now >= lost + GRACE => None,
            _ => self.mac,
        }
    }

    /// When [`Hop::mac`] will change by the passing of time alone.
    pub(super) fn expires(&self, now: Instant) -> Option<Instant> {
        self.lost.map(|lost| lost + GRACE).filter(|end| *end > now)
    }

    /// Whether the kernel must be asked to resolve it, or to keep doing so.
    pub(super) fn needs_asking(&self) -> bool {
        match (&self.entry, self.keeping) {
            (None, _) => true,
            (Some(entry), _) if entry.is_fixed() => false,
            (Some(entry), Keeping::Managed) => !entry.managed || !entry.is_usable(),
            (Some(entry), Keeping::Asked) => !entry.is_usable(),
        }
    }

    /// How it is asked for.
    pub(super) fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// Whether an entry that is managed at our request may carry our label: not if it has somebody else's, nor if
    /// it is managed already at somebody else's request.
    pub(super) fn may_be_labelled(&self) -> bool {
        // The kernel's own label is what we leave behind, see `Kernel::release`.
        self.entry.is_none_or(|entry| {
            entry.is_ours()
                || (!entry.managed && matches!(entry.protocol, 0 | libc::RTPROT_KERNEL | OUR_PROTOCOL))
        })
    }

    /// Notes that the kernel took the request, with or without our label.
    pub(super) fn asked(&mut self, labelled: bool) {
        let managed = self.entry.is_some_and(|entry| entry.managed);
        self.unlabelled |= self.keeping == Keeping::Managed && !labelled && !managed;
    }

    /// Notes that the kernel keeps no managed entry for it.
    pub(super) fn refused(&mut self) {
        self.keeping = Keeping::Asked;
    }

    /// Whether an entry, read anew, holds a managed flag of ours.
    pub(super) fn owes(&self, entry: &Entry) -> bool {
        entry.is_ours() || (self.unlabelled && entry.managed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];

    fn entry(state: NeighbourState, mac: Option<Mac>) -> Entry {
        Entry { state, mac, managed: true, protocol: OUR_PROTOCOL }
    }

    #[test]
    fn an_address_is_usable_in_the_states_in_which_the_kernel_uses_it() {
        use NeighbourState::{
            Delay, Failed, Incomplete, Noarp, None as Nothing, Permanent, Probe, Reachable, Stale,
        };
        let now = Instant::now();
        for state in [Reachable, Stale, Delay, Probe, Permanent, Noarp] {
            let mut hop = Hop::new(Keeping::Managed);
            hop.hear(Some(entry(state, Some(A))), now);
            assert_eq!(hop.mac(now), Some(A), "{state:?}");
        }
        for state in [Incomplete, Failed, Nothing] {
            let mut hop = Hop::new(Keeping::Managed);
            hop.hear(Some(entry(state, None)), now);
            assert_eq!(hop.mac(now), None, "{state:?}");
            assert_eq!(hop.expires(now), None, "{state:?}");
        }
    }

    #[test]
    fn a_lost_entry_keeps_its_address_for_the_grace_and_no_longer() {
        let now = Instant::now();
        for lost in
            [Some(entry(NeighbourState::Failed, None)), Some(entry(NeighbourState::Incomplete, None)), None]
        {
            let mut hop = Hop::new(Keeping::Managed);
            hop.hear(Some(entry(NeighbourState::Reachable, Some(A))), now);
            hop.hear(lost, now);
            // Said again later, as the kernel does: the grace doesn't start anew.
            hop.hear(lost, now + GRACE / 2);
            assert_eq!(hop.mac(now), Some(A));
            assert_eq!(hop.expires(now), Some(now + GRACE));
            assert_eq!(hop.mac(now + GRACE), None);
            assert_eq!(hop.expires(now + GRACE), None);
            hop.hear(Some(entry(NeighbourState::Reachable, Some(B))), now + GRACE);
            assert_eq!(hop.mac(now + GRACE), Some(B));
        }
    }

    #[test]
    fn fixed_entries_are_never_asked_for() {
        for keeping in [Keeping::Managed, Keeping::Asked] {
            let mut hop = Hop::new(keeping);
            assert!(hop.needs_asking());
            for state in [NeighbourState::Permanent, NeighbourState::Noarp] {
                hop.hear(Some(Entry { state, mac: Some(A), managed: false, protocol: 0 }), Instant::now());
                assert!(!hop.needs_asking());
            }
            let stale = Entry { state: NeighbourState::Stale, mac: Some(A), managed: false, protocol: 0 };
            hop.hear(Some(stale), Instant::now());
            assert_eq!(
                hop.needs_asking(),
                keeping == Keeping::Managed,
                "the flag was taken by somebody else"
            );
        }
    }

    #[test]
    fn only_what_we_set_is_taken_away() {
        let theirs = Entry { state: NeighbourState::Stale, mac: Some(A), managed: true, protocol: 0 };
        let mut hop = Hop::new(Keeping::Managed);
        hop.hear(Some(theirs), Instant::now());
        assert!(!hop.may_be_labelled());
        hop.asked(false);
        assert!(!hop.owes(&theirs), "it was managed before");

        // RTPROT_ZEBRA
        let zebra = Entry { protocol: 11, ..theirs };
        let mut hop = Hop::new(Keeping::Managed);
        hop.hear(Some(Entry { managed: false, ..zebra }), Instant::now());
        assert!(!hop.may_be_labelled());
        hop.asked(false);
        assert!(hop.owes(&zebra), "it is managed by us under their label");
    }
}
