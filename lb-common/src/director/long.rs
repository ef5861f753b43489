//! The long way: any packet, whatever lies between its ends and whatever it does to its connection.

use super::answer::or_answer;
use super::connection::{Found, find, refresh, remove};
use super::{Step, Tables, Task};
use crate::flow::{Flow, FlowKey, address_key, hash_of_fragments};
use crate::net::Packet;
use crate::verdict::{Action, Verdict};
use crate::walk::{Content, Datagram, Frame, IpHeader, Stop, Walked, walk};
use crate::wire::{
    Connection, DESTINATION_DOWN, DESTINATION_KERNEL, DESTINATION_REMOVED, Protocol, State, admission_bit_v4,
    admission_bit_v6, entry_destination,
};

/// Decides about any packet, as far as it belongs to a connection or is nobody's.
#[inline(always)]
pub fn long_way<P: Packet, T: Tables>(packet: &P, tables: &T, task: &mut Task) -> Step {
    task.begin(tables.forget(0));
    match steer(packet, tables, task) {
        Ok(step) => step,
        Err(verdict) => {
            if task.fragments != 0 && verdict.action() as u8 == Action::Pass as u8 {
                task.number = DESTINATION_KERNEL;
                return Step::Open;
            }
            or_answer(tables, task, verdict)
        }
    }
}

#[inline(always)]
fn steer<P: Packet, T: Tables>(packet: &P, tables: &T, task: &mut Task) -> Result<Step, Verdict> {
    let forget = |word| tables.forget(word);
    // Whose it is comes first: what is not for a service is not judged.
    let frame = Frame::read(packet, forget).map_err(of_frame)?;
    if !is_admitted(&frame.ip, tables) {
        return Err(Verdict::NotServiceAddress);
    }
    if tables.is_peer(frame.ethernet_source) {
        return Err(Verdict::PeerDirector);
    }
    let walked = walk(packet, &frame, forget).map_err(of_packet)?;
    let datagram = &walked.datagram;
    task.bytes = datagram.bytes;
    task.offset = datagram.offset;
    task.is_v6 = datagram.is_v6;
    task.hops = datagram.hops;
    task.connection = connection_of(packet, datagram).ok_or(Verdict::Truncated)?;
    if datagram.fragment.is_first() {
        task.fragments = hash_of_fragments(datagram, tables);
    }
    let content = datagram.content;
    let hash = hash_of(&walked, tables)?;
    task.flow.hash = hash;
    // All kinds of packets meet in one look-up: each look-up that there is in the code is verified.
    let found = find(tables, hash);
    if content != Content::PORTS {
        task.number = match found {
            Some(found) => entry_destination(found.entry),
            None if content == Content::ERROR => return Err(Verdict::UnrelatedError),
            // The admission filter may have been mistaken: what is somebody else's is not dropped.
            None if !tables.is_service_address(&address_key(datagram)) => {
                return Err(Verdict::NotServiceAddress);
            }
            None => return Err(Verdict::FragmentWithoutFirst),
        };
        return match task.number {
            DESTINATION_KERNEL => Err(Verdict::Fragment),
            // An error may be the first of several fragments, too.
            _ if task.fragments != 0 => Ok(Step::Open),
            _ => Ok(Step::Forward),
        };
    }
    task.flow = Flow::of(&walked, hash, tables);
    if let Some(found) = found {
        let number = entry_destination(found.entry);
        match keep(&task.flow, &found, tables.head(number).flags) {
            Keep::Yes => {
                refresh(tables, &task.flow, &found);
                task.number = number;
                return Ok(if task.fragments == 0 { Step::Forward } else { Step::Open });
            }
            Keep::Forget => {
                remove(tables, &found);
                return Err(Verdict::NoConnection);
            }
            Keep::ChooseAnew => task.instead = found.entry,
        }
    }
    Ok(Step::Classify)
}

/// What is to be kept of the connection that a packet may open, or of the parts that will follow it.
#[inline(always)]
fn connection_of<P: Packet>(packet: &P, datagram: &Datagram) -> Option<Connection> {
    // Destination and source as they lie; exchanged for a frame that goes back.
    let [a, b, c]: [u32; 3] = packet.read(0)?;
    Some(Connection {
        client: datagram.source,
        service: datagram.destination,
        ports: datagram.ports,
        kind: datagram.protocol | datagram.is_v6 << 8,
        pair: 0,
        template: 0,
        ethernet: [b >> 16 | c << 16, c >> 16 | a << 16, a >> 16 | b << 16],
        interface: packet.interface(),
    })
}

/// The hash of the flow that a packet belongs to, or of the datagram that it is a later fragment of.
#[inline(always)]
fn hash_of<T: Tables>(walked: &Walked, tables: &T) -> Result<u64, Verdict> {
    let key = match walked.datagram.content {
        Content::LATER_FRAGMENT => return Ok(hash_of_fragments(&walked.datagram, tables)),
        Content::PORTS => FlowKey::of(&walked.datagram),
        // What is quoted was sent to the client in a service's name.
        Content::ERROR if walked.quote.content == Content::PORTS => FlowKey::of(&walked.quote).reverse(),
        Content::ERROR => return Err(Verdict::UnrelatedError),
        _ => return Err(Verdict::OtherProtocol),
    };
    key.hash(tables).ok_or(Verdict::OtherProtocol)
}

#[inline(always)]
fn is_admitted(ip: &IpHeader, tables: &impl Tables) -> bool {
    let [high, low] = ip.destination;
    tables.admits(if ip.is_v6 == 0 { admission_bit_v4(high as u32) } else { admission_bit_v6(high, low) })
}

/// Of a frame that was not read to its IP header's end.
#[inline(always)]
const fn of_frame(stop: Stop) -> Verdict {
    match stop {
        Stop::NotIp => Verdict::NotIp,
        Stop::ManyTags => Verdict::Tagged,
        _ => Verdict::Truncated,
    }
}

/// Of a packet for a service address that was not read to the end of its headers.
#[inline(always)]
const fn of_packet(stop: Stop) -> Verdict {
    match stop {
        Stop::Truncated => Verdict::Truncated,
        Stop::ManyExtensions => Verdict::ExtensionHeader,
        _ => Verdict::Malformed,
    }
}

/// Whether a connection stays with the destination that its entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Yes,
    ChooseAnew,
    Forget,
}

#[inline(always)]
fn keep<L>(flow: &Flow, found: &Found<L>, flags: u32) -> Keep {
    let opens = flow.tcp_flags.opens();
    // The common case first: a destination without flags.
    if flags == 0 {
        // Its old connection is over: a SYN begins a new one with the same ports.
        return if opens && is_ending(State::of(found.state)) { Keep::ChooseAnew } else { Keep::Yes };
    }
    let is_gone = flags & (DESTINATION_DOWN | DESTINATION_REMOVED) != 0;
    match flow.protocol() {
        _ if !is_gone => Keep::Yes,
        Protocol::Udp => Keep::ChooseAnew,
        Protocol::Tcp if opens => Keep::ChooseAnew,
        // Down: what it has, it may still answer.
        Protocol::Tcp if flags & DESTINATION_REMOVED == 0 => Keep::Yes,
        Protocol::Tcp => Keep::Forget,
    }
}

const fn is_ending(state: State) -> bool {
    matches!(state, State::FinWait | State::TimeWait | State::Close)
}
