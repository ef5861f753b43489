//! The part of a sweep that looks after templates: which of them connections go by, and which are over.
//!
//! Nobody counts the connections of a template while packets come. The sweep sees all that live, and keeps what
//! they go by, as LVS keeps a template that still controls connections.

use std::mem::offset_of;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use lb_common::wire::{
    BUSY, Connection, DESTINATION_REMOVED, DestinationHead, EMPTY, LINE_SLOTS, Line, Persistence, Place,
    Service, State, Template, entry_destination,
};

use super::kernel::KernelDataplane;
use super::sweep::Sweep;

/// Connections go by it.
const NAMED: u8 = 1;
/// One of them has proven itself.
const PROVEN: u8 = 2;

/// Which templates the connections name that a sweep has seen.
pub(super) struct Templates {
    /// The line of the first.
    first: u32,
    /// [`NAMED`] and [`PROVEN`], eight a line. Nothing where there are no templates, as with most directors: then
    /// no connection is asked, which is what takes time.
    uses: Vec<u8>,
}

impl Templates {
    /// Takes notice of a live connection.
    pub(super) fn name(&mut self, kernel: &KernelDataplane, place: Place, state: u32, number: u32) {
        if self.uses.is_empty() || State::weight(state) == 0 {
            return;
        }
        let connection = kernel.connection(place);
        let Some(template) = Place::of(connection.template) else { return };
        let Some(index) = template.0.checked_sub(self.first << 3) else { return };
        let Some(uses) = self.uses.get_mut(index as usize) else { return };
        // The place may be another client's by now.
        if kernel.goes_by(&connection, template, number) {
            *uses |= if State::is_proven(state) { NAMED | PROVEN } else { NAMED };
        }
    }

    /// Ends templates that are over, and keeps those that connections go by.
    pub(super) fn sweep(&self, kernel: &KernelDataplane, jiffies: u64, sweep: &mut Sweep) {
        let clock = kernel.sizes().clock();
        let (now, span) = (clock.tick(jiffies), clock.span(Template::LOOK_AHEAD + Template::KEPT));
        let [kept, ahead] =
            [Template::KEPT, Template::LOOK_AHEAD].map(|seconds| u64::from(seconds) * u64::from(clock.hz()));
        if self.uses.is_empty() {
            return;
        }
        for place in kernel.template_places() {
            let uses = self.uses[(place.0 - (self.first << 3)) as usize];
            let word = kernel.entry(place);
            let entry = word.load(Relaxed);
            let number = entry_destination(entry);
            if entry == EMPTY || entry == BUSY {
                continue;
            }
            let expires = kernel.connections.word(place.index() as usize, 8 * Template::EXPIRES);
            let offset = offset_of!(Line, states) + 4 * place.slot();
            let state = kernel.flows.half(place.line() as usize, offset);
            let (ends, before) = (expires.load(Relaxed), state.load(Relaxed));
            let mut after = before.cast_unsigned();
            if kernel.is_removed(number) || uses == 0 && ends <= jiffies {
                let _replaced_meanwhile = word.compare_exchange(entry, EMPTY, Release, Relaxed);
                continue;
            }
            // By exchange: a packet that comes meanwhile keeps it for longer, or has a better reason.
            if uses != 0
                && ends <= jiffies + ahead
                && expires.compare_exchange(ends, ends.max(jiffies) + kept, Relaxed, Relaxed).is_ok()
            {
                after = State::ending(after, now, span);
            }
            if uses & PROVEN != 0 {
                after = State::held(after);
            }
            if after != before.cast_unsigned() {
                let _changed_meanwhile =
                    state.compare_exchange(before, after.cast_signed(), Relaxed, Relaxed);
            }
            sweep.states[State::of(after) as usize] += 1;
            if let Some(count) = sweep.templates.get_mut(number as usize) {
                *count += 1;
                sweep.named.insert(number);
            }
        }
    }
}

impl KernelDataplane {
    /// What is kept of the template in a slot of the flow table.
    pub fn template(&self, place: Place) -> Template {
        bytemuck::cast(self.connection(place))
    }

    /// Begins to find out which templates are in use.
    pub(super) fn templates(&self) -> Templates {
        let settings = self.sizes().settings();
        let is_used = |place: Place| self.entry(place).load(Relaxed) != EMPTY;
        let is_any = self.template_places().any(is_used);
        let places = if is_any { 8 * settings.template_lines as usize } else { 0 };
        Templates { first: settings.lines, uses: vec![0; places] }
    }

    fn template_places(&self) -> impl Iterator<Item = Place> + use<> {
        let settings = self.sizes().settings();
        let lines = settings.lines..settings.all_lines();
        lines.flat_map(|line| (0..LINE_SLOTS).map(move |slot| Place::new(line, slot)))
    }

    fn entry(&self, place: Place) -> &AtomicU64 {
        self.flows.word(place.line() as usize, 8 * place.slot())
    }

    /// Forgets the clients of a service.
    pub(super) fn forget_clients(&self, service: u32) {
        for place in self.template_places() {
            let word = self.entry(place);
            let entry = word.load(Relaxed);
            if entry != EMPTY && entry != BUSY && self.template(place).service == service {
                let _replaced_meanwhile = word.compare_exchange(entry, EMPTY, Release, Relaxed);
            }
        }
    }

    pub(super) fn set_persistence(&self, index: u32, persistence: Persistence) {
        let words: [u64; size_of::<Persistence>() / 8] = bytemuck::cast(persistence);
        for (word, value) in words.into_iter().enumerate() {
            let offset = offset_of!(Service, persistence) + 8 * word;
            self.services.word(index as usize, offset).store(value, Release);
        }
    }

    /// Whether a connection to a destination goes by the template at a place.
    fn goes_by(&self, connection: &Connection, place: Place, number: u32) -> bool {
        if place.slot() >= LINE_SLOTS {
            return false;
        }
        let template = self.template(place);
        let service = template.service as usize;
        service < self.services.len()
            && entry_destination(self.entry(place).load(Relaxed)) == number
            && self.services.read(service).persistence.client(connection.client) == template.client
    }

    fn is_removed(&self, number: u32) -> bool {
        let number = number as usize;
        number < self.heads.len()
            && DestinationHead::from_word(self.heads.read(number)).flags & DESTINATION_REMOVED != 0
    }
}
