//! The long way: any packet, whatever lies between its ends and whatever it does to its connection.

use super::answer::or_answer;
use super::connection::{Found, look_up, refresh, remove};
use super::fault::{has_invalid_flags, no_connection};
use super::{Step, Tables, Task};
use crate::flow::{Flow, FlowKey, address_key, hash_of_fragments};
use crate::net::Packet;
use crate::verdict::{Action, Verdict};
use crate::walk::{Content, Datagram, Frame, Stop, Walked, walk};
use crate::wire::{
    Connection, DESTINATION_DOWN, DESTINATION_KERNEL, DESTINATION_PAIRED, DESTINATION_REMOVED,
    DESTINATION_REPLY, Options, Protocol, State, admission_bit_v4, admission_bit_v6, entry_destination,
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
    let ip = &frame.ip;
    let is_for_service = tables.admits(admission_bit(ip.is_v6, ip.destination));
    let mut is_from_real_server = false;
    if !is_for_service {
        if !tables.masquerades() {
            return Err(Verdict::NotServiceAddress);
        }
        is_from_real_server = tables.admits_source(admission_bit(ip.is_v6, ip.source));
        if !is_from_real_server && !ip.may_be_icmp() {
            return Err(Verdict::NotServiceAddress);
        }
    }
    // Numbers in the task, so that the ways meet again.
    task.is_for_service = tables.forget(u32::from(is_for_service));
    task.is_from_real_server = tables.forget(u32::from(is_from_real_server));
    if tables.is_peer(frame.ethernet_source) {
        return Err(Verdict::PeerDirector);
    }
    let outcome = follow(packet, tables, task, &frame);
    if task.is_for_service == 0 && outcome.is_err() {
        // Nobody waits for it, and its parts follow it untouched.
        task.fragments = 0;
        let is_own = task.is_from_real_server == 1;
        return Err(if is_own { Verdict::RealServersOwn } else { Verdict::NotServiceAddress });
    }
    outcome
}

/// What becomes of a packet by the connection that it belongs to.
#[inline(always)]
fn follow<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    task: &mut Task,
    frame: &Frame,
) -> Result<Step, Verdict> {
    let walked = walk(packet, frame, |word| tables.forget(word)).map_err(of_packet)?;
    let datagram = &walked.datagram;
    task.bytes = datagram.bytes;
    task.offset = datagram.offset;
    task.is_v6 = datagram.is_v6;
    task.hops = datagram.hops;
    task.transport = datagram.transport;
    task.connection = connection_of(packet, datagram).ok_or(Verdict::Truncated)?;
    if datagram.fragment.is_first() {
        task.fragments = hash_of_fragments(datagram, tables);
    }
    let content = datagram.content;
    task.content = content.0;
    let hash = hash_of(&walked, tables)?;
    task.flow.hash = hash;
    // All kinds of packets meet in one look-up: each look-up that there is in the code is verified.
    let found = look_up(tables, hash).ok_or(Verdict::Internal)?;
    if content != Content::PORTS {
        if !found.is_there() {
            return Err(match content {
                Content::ERROR => Verdict::UnrelatedError,
                // The admission filter may have been mistaken: what is somebody else's is not dropped.
                _ if !tables.is_service_address(&address_key(datagram)) => Verdict::NotServiceAddress,
                _ => Verdict::FragmentWithoutFirst,
            });
        }
        task.number = entry_destination(found.entry);
        task.place = found.place.word();
        task.quote = walked.quote.offset;
        task.quote_transport = walked.quote.transport;
        task.flow.transport = walked.quote.protocol;
        return match task.number {
            DESTINATION_KERNEL => Err(Verdict::Fragment),
            // An error may be the first of several fragments, too.
            _ if task.fragments != 0 => Ok(Step::Open),
            _ => Ok(Step::Forward),
        };
    }
    task.flow = Flow::of(&walked, hash, tables);
    if found.is_there() {
        if task.is_for_service == 1 && has_invalid_flags(&task.flow) {
            // Before its connection is looked at: whoever sends such a segment is to change nothing about it.
            return Err(Verdict::InvalidFlags);
        }
        let number = entry_destination(found.entry);
        let flags = tables.forget(tables.head(number).flags);
        match keep(tables, &task.flow, &found, flags) {
            Keep::Yes => {
                refresh(tables, &task.flow, &found, flags, &task.connection);
                task.number = number;
                task.place = found.place.word();
                return Ok(if task.fragments == 0 { Step::Forward } else { Step::Open });
            }
            Keep::Forget => {
                remove(tables, &found);
                return Err(no_connection(&task.flow));
            }
            Keep::Silent => {
                task.number = number;
                return Err(Verdict::RealServerRemoved);
            }
            Keep::ChooseAnew => task.instead = found.entry,
        }
    }
    // Else the answer to nothing, which opens nothing either.
    if task.is_for_service == 1 { Ok(Step::Classify) } else { Err(Verdict::NoConnection) }
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
    Ok(key.hash(tables))
}

#[inline(always)]
fn admission_bit(is_v6: u32, [high, low]: [u64; 2]) -> u32 {
    if is_v6 == 0 { admission_bit_v4(high as u32) } else { admission_bit_v6(high, low) }
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
    /// It stays, but no packet reaches a destination that is not there.
    Silent,
}

#[inline(always)]
fn keep<T: Tables>(tables: &T, flow: &Flow, found: &Found<T::Line>, flags: u32) -> Keep {
    let options = tables.options();
    // Forgotten: that it opens is known in as many ways as there are transport protocols.
    // A real server's answer opens nothing.
    let opens = tables.forget(u32::from(flow.opens())) & u32::from(flags & DESTINATION_REPLY == 0) != 0;
    let number = entry_destination(found.entry);
    // Its old connection is over: it begins a new one with the same ports.
    if opens && is_reusable(State::of(found.state), options, flags) {
        return Keep::ChooseAnew;
    }
    if flags & DESTINATION_REMOVED != 0 {
        if !options.expires_nodest() {
            return Keep::Silent;
        }
        return if flow.may_open(options) { Keep::ChooseAnew } else { Keep::Forget };
    }
    // Down: what it has, it may still answer.
    if flags & DESTINATION_DOWN != 0 {
        return if opens || flow.protocol() == Protocol::Udp { Keep::ChooseAnew } else { Keep::Yes };
    }
    // One that drains keeps its connections, but a SYN on one of them is a new one.
    if opens && options.expires_nodest() && tables.forget(tables.weight(number)) == 0 {
        return Keep::ChooseAnew;
    }
    Keep::Yes
}

/// Whether who opens a connection in such a state means another one (`conn_reuse_mode`).
///
/// FIN_WAIT is the last state that is seen of a connection whose real server answers by another way.
#[inline(always)]
const fn is_reusable(state: State, options: Options, flags: u32) -> bool {
    match state {
        State::TimeWait | State::Close | State::SctpClosed => options.reuses_closed(),
        State::FinWait => options.reuses_fin_wait() && flags & DESTINATION_PAIRED == 0,
        _ => false,
    }
}
