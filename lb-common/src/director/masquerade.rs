//! A packet of a masqueraded connection: on its way under the real server's address, or back under the service's.

use super::answer::or_answer;
use super::{Decision, Record, Step, Tables, Task};
use crate::forward::{
    Endpoint, Headers, masquerade as way_in, masquerade_icmp, masquerade_icmp_reply, masquerade_reply,
};
use crate::net::Packet;
use crate::verdict::Verdict;
use crate::walk::Content;
use crate::wire::{Connection, Destination, FORWARD_REPLY, Family, Place, Protocol};

/// Where a packet goes, and as whose.
struct Way {
    endpoint: Endpoint,
    ethernet: [u8; 12],
    interface: u32,
}

/// Rewrites a packet and sends it on, to the real server or to the client, and counts.
#[inline(always)]
pub fn masquerade<P: Packet, T: Tables>(packet: &mut P, tables: &T, task: &mut Task) -> Step {
    let Some(destination) = tables.destination(task.number) else {
        return or_answer(tables, task, Verdict::Internal);
    };
    let is_reply = destination.forward == FORWARD_REPLY;
    let sent = if is_reply { send_back(packet, tables, task) } else { send(packet, destination, task) };
    match sent {
        Ok(interface) => {
            let verdict = if is_reply { Verdict::MasqueradeReply } else { Verdict::Masquerade };
            tables.account(task.number, task.bytes, verdict);
            tables.count(verdict);
            Step::Done(Decision { verdict, interface })
        }
        Err(verdict) => {
            task.mtu = destination.mtu;
            or_answer(tables, task, verdict)
        }
    }
}

/// To the real server; returns the interface.
#[inline(always)]
fn send<P: Packet>(packet: &mut P, destination: &Destination, task: &Task) -> Result<u32, Verdict> {
    if !destination.is_resolved() {
        return Err(Verdict::NoNeighbour);
    }
    if task.hops <= 1 {
        return Err(Verdict::TtlExceeded);
    }
    if task.bytes > destination.mtu {
        return Err(Verdict::TooBig);
    }
    let mut endpoint = Endpoint::from(destination);
    if endpoint.port == 0 {
        // Every port of the service has one of its own there.
        endpoint.port = u64::from(task.connection.ports >> 16);
    }
    let headers = headers(task);
    if task.content == Content::ERROR.0 {
        masquerade_icmp(packet, headers, quoted(task), &endpoint, destination.ethernet)?;
    } else {
        way_in(packet, headers, &endpoint, destination.ethernet)?;
    }
    Ok(destination.interface)
}

/// To the client; returns the interface.
#[inline(always)]
fn send_back<P: Packet, T: Tables>(packet: &mut P, tables: &T, task: &Task) -> Result<u32, Verdict> {
    let record = Place::of(task.place).and_then(|place| tables.record(place)).ok_or(Verdict::Internal)?;
    let Way { endpoint, ethernet, interface } = way_back(&record);
    let headers = headers(task);
    if task.content == Content::ERROR.0 {
        masquerade_icmp_reply(packet, headers, quoted(task), &endpoint, ethernet)?;
    } else {
        masquerade_reply(packet, headers, &endpoint, ethernet)?;
    }
    Ok(interface)
}

/// The way by which the client's last packet came, and the service that it was for.
#[inline(always)]
fn way_back(record: &impl Record) -> Way {
    let service = [record.word(2), record.word(3)];
    let port = record.word(4) >> 16 & 0xffff;
    let [first, second] = [Connection::ETHERNET, Connection::ETHERNET + 1].map(|index| record.word(index));
    let ethernet = [first as u32, (first >> 32) as u32, second as u32];
    Way {
        endpoint: Endpoint { address: service, port },
        ethernet: bytemuck::cast(ethernet),
        interface: (second >> 32) as u32,
    }
}

/// Where the packet's own headers lie; a later fragment has none of transport.
#[inline(always)]
fn headers(task: &Task) -> Headers {
    let is_later = task.content == Content::LATER_FRAGMENT.0;
    Headers {
        network: task.offset,
        transport: if is_later { 0 } else { task.transport },
        is_tcp: u32::from(task.flow.transport == Protocol::Tcp as u32),
        family: family(task),
    }
}

/// Where those of a quoted packet lie.
#[inline(always)]
fn quoted(task: &Task) -> Headers {
    Headers {
        network: task.quote,
        transport: task.quote_transport,
        is_tcp: u32::from(task.flow.transport == Protocol::Tcp as u32),
        family: family(task),
    }
}

#[inline(always)]
const fn family(task: &Task) -> Family {
    if task.is_v6 == 0 { Family::V4 } else { Family::V6 }
}
