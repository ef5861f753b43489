//! Persistence: a client's new connection goes where its template says, and is a reason to remember it for longer.
//!
//! A template is found, entered and displaced as a connection is, in lines of its own. No schedulers here: they
//! are asked for a client that has no template, or one that names a real server that takes nothing more.

use super::connection::{Found, Region, find_among};
use super::{FlowLine, Record, Tables, Task};
use crate::flow::hash_of_template;
use crate::wire::{
    Connection, DESTINATION_DOWN, DESTINATION_REMOVED, EMPTY, Place, State, Template, Tick, entry_destination,
};

/// Whether the client of a packet that opens a connection to a persistent service has a template; then the task
/// has its destination. If not, it has all that [`enter`] needs.
#[inline(always)]
pub(super) fn follow<T: Tables>(tables: &T, task: &mut Task) -> bool {
    let persistence = tables.persistence(task.service);
    let client = persistence.client(task.connection.client);
    let hash = hash_of_template(client, task.is_v6, task.service, tables);
    let now = tables.jiffies();
    let expires = now.wrapping_add(u64::from(persistence.timeout));
    // A zero that the compiler doesn't know, see `Task::begin`.
    let zero = u64::from(tables.forget(0));
    task.template = Template {
        client,
        expires,
        timeout: persistence.timeout,
        service: task.service,
        reserved: [zero; 4],
    };
    task.template_hash = hash;
    task.template_first = State::ending(State::Template.at(Tick::ZERO), Tick::ZERO, persistence.span);
    task.template_instead = EMPTY;
    task.enters_template = 1;
    let Some(found) = find_among(tables, Region::templates(tables), hash) else {
        return false;
    };
    let Some(record) = tables.record(found.place) else {
        return false;
    };
    let number = entry_destination(found.entry);
    if record.word(Template::EXPIRES) <= now || !takes_more(tables, number, task.service) {
        task.template_instead = found.entry;
        return false;
    }
    record.set_word(Template::EXPIRES, expires);
    // What it lasts may have been changed meanwhile.
    record.set_word(Template::SERVICE, u64::from(persistence.timeout) | u64::from(task.service) << 32);
    keep(tables, &found, persistence.span);
    task.enters_template = 0;
    task.connection.template = found.place.word();
    task.number = number;
    true
}

/// Whether a template's destination may be given another connection of its client.
///
/// One of weight 0 may, unless the operator has said otherwise: LVS's `expire_quiescent_template`.
#[inline(always)]
fn takes_more<T: Tables>(tables: &T, number: u32, service: u32) -> bool {
    let is_gone = tables.head(number).flags & (DESTINATION_DOWN | DESTINATION_REMOVED) != 0;
    if is_gone || !tables.serves(number, service) {
        return false;
    }
    !tables.options().expires_quiescent_template()
        || tables.destination(number).is_some_and(|it| it.weight != 0)
}

/// Moves the end that a template's state word tells.
#[inline(always)]
fn keep<T: Tables>(tables: &T, found: &Found<T::Line>, span: u32) {
    let slot = found.place.slot();
    // Twice: it may become held in between.
    for _ in 0..2 {
        let word = found.line.state(slot);
        // The slot may have been given to another template meanwhile.
        if found.line.entry(slot) != found.entry
            || found.line.exchange_state(slot, word, State::ending(word, tables.now(), span))
        {
            return;
        }
    }
}

/// Enters the template of a connection whose destination was chosen, and ties the connection to it. Another CPU's
/// choice for the same client stands, if it was faster.
#[inline(always)]
pub(super) fn enter<T: Tables>(tables: &T, task: &mut Task) {
    // What is inserted lies where a connection does.
    exchange(task);
    let entered = tables.insert(
        task.template_hash,
        task.number,
        task.template_first,
        task.template_instead,
        &task.connection,
    );
    exchange(task);
    if entered.number == 0 {
        // Held by others, all of them. A connection of its own is more than none.
        tables.count_no_template();
    } else {
        task.number = entered.number;
    }
    task.connection.template = entered.place;
}

#[inline(always)]
fn exchange(task: &mut Task) {
    let connection = task.connection.to_words();
    task.connection = bytemuck::cast(task.template);
    task.template = bytemuck::cast(connection);
}

/// Makes the template of a connection that has just proven itself one that no flood can displace. `number` is
/// where the connection goes.
#[inline(always)]
pub(super) fn hold<T: Tables>(tables: &T, connection: Place, number: u32) {
    let Some(record) = tables.record(connection) else {
        return;
    };
    let Some(place) = Place::of((record.word(Connection::LINKS) >> 32) as u32) else {
        return;
    };
    let Some(line) = tables.line(place.line()) else {
        return;
    };
    let slot = place.slot();
    let word = line.state(slot);
    // The place may be another client's by now. The daemon looks at all of them again, and more closely.
    if entry_destination(line.entry(slot)) == number {
        line.exchange_state(slot, word, State::held(word));
    }
}
