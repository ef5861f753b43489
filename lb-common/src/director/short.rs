//! The short way: a packet that is not ours, or one that changes nothing about its connection.
//!
//! By far most packets are one or the other, and what they need is all that is here. It is a program of
//! its own in the kernel: what the long way can do costs these packets nothing. Whatever is not plain is
//! left to the long way ([`super::long_way`]), and then nothing has been written, counted or decided.

use super::{Decision, FlowLine, Tables};
use crate::flow::{hash_v4, hash_v6};
use crate::forward::readdress;
use crate::net::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, ETHERTYPE_VLAN_SERVICE, Ethernet,
    IcmpMessage, Ipv4, Ipv6, Packet, Tcp, Udp,
};
use crate::verdict::Verdict;
use crate::wire::{
    BUSY, Edit, FORWARD_DIRECT, FORWARD_LOCAL, LINE_SLOTS, Protocol, State, Tick, admission_bit_v4,
    admission_bit_v6, peer_bit, tag_of,
};

/// Decides about one packet, rewrites it if it is forwarded, and counts; or nothing, and the long way has to.
#[inline(always)]
pub fn short_way<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Option<Decision> {
    let ethernet: Ethernet = packet.read(0)?;
    match ethernet.ether_type {
        ETHERTYPE_IPV4 => {
            // The one word first: what is not ours is done with after it.
            let destination: u32 = packet.read(ETHERNET_BYTES + Ipv4::DESTINATION_OFFSET)?;
            if tables.admits(admission_bit_v4(destination)) {
                established_v4(packet, tables)
            } else if tables.masquerades() && may_be_masqueraded_v4(packet, tables)? {
                None
            } else {
                Some(passed(tables, Verdict::NotServiceAddress))
            }
        }
        ETHERTYPE_IPV6 => {
            let [high, low]: [u64; 2] = packet.read(ETHERNET_BYTES + Ipv6::DESTINATION_OFFSET)?;
            if tables.admits(admission_bit_v6(high, low)) {
                established_v6(packet, tables)
            } else if tables.masquerades() && may_be_masqueraded_v6(packet, tables)? {
                None
            } else {
                Some(passed(tables, Verdict::NotServiceAddress))
            }
        }
        ETHERTYPE_VLAN | ETHERTYPE_VLAN_SERVICE => None,
        _ => Some(passed(tables, Verdict::NotIp)),
    }
}

/// Whether a packet that is for no service may be from a masqueraded real server, or be an ICMP error about one.
#[inline(always)]
fn may_be_masqueraded_v4<P: Packet, T: Tables>(packet: &P, tables: &T) -> Option<bool> {
    let ip: Ipv4 = packet.read(ETHERNET_BYTES)?;
    Some(
        ip.protocol() == IcmpMessage::PROTOCOL_V4 || tables.admits_source(admission_bit_v4(ip.source_word())),
    )
}

/// Likewise. In front of an ICMP error may be extension headers.
#[inline(always)]
fn may_be_masqueraded_v6<P: Packet, T: Tables>(packet: &P, tables: &T) -> Option<bool> {
    let ip: Ipv6 = packet.read(ETHERNET_BYTES)?;
    let [high, low] = ip.source_words();
    let has_ports = ip.next_header() == Protocol::Tcp as u8 || ip.next_header() == Protocol::Udp as u8;
    Some(!has_ports || tables.admits_source(admission_bit_v6(high, low)))
}

#[inline(always)]
fn passed<T: Tables>(tables: &T, verdict: Verdict) -> Decision {
    tables.count(verdict);
    Decision::of(verdict)
}

#[inline(always)]
fn established_v4<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Option<Decision> {
    const OFFSET: usize = ETHERNET_BYTES + Ipv4::BYTES;
    let ip: Ipv4 = packet.read(ETHERNET_BYTES)?;
    let bytes = ip.total_length();
    if !ip.is_plain() || ETHERNET_BYTES + bytes > packet.length() {
        return None;
    }
    let ports: u32 = packet.read(OFFSET)?;
    let lives = lives_on(packet, ip.protocol(), OFFSET, bytes - Ipv4::BYTES);
    if lives == 0 {
        return None;
    }
    let seed = |index| tables.seed(index);
    let hash = hash_v4(ip.source_word(), ip.destination_word(), ports, protocol(lives), seed);
    let (number, edit) = destination(packet, tables, hash, lives)?;
    if edit.forward == u32::from(FORWARD_LOCAL) {
        return Some(sent(tables, number, bytes as u32, Verdict::Local, 0));
    }
    packet.write(ETHERNET_BYTES + Ipv4::TTL_OFFSET, ip.one_hop_less())?;
    readdress(packet, &edit)?;
    Some(sent(tables, number, bytes as u32, Verdict::DirectRouting, edit.interface))
}

#[inline(always)]
fn established_v6<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Option<Decision> {
    const OFFSET: usize = ETHERNET_BYTES + Ipv6::BYTES;
    let ip: Ipv6 = packet.read(ETHERNET_BYTES)?;
    if ip.version() != 6 || ip.hop_limit() <= 1 || OFFSET + ip.payload_length() > packet.length() {
        return None;
    }
    let ports: u32 = packet.read(OFFSET)?;
    let lives = lives_on(packet, ip.next_header(), OFFSET, ip.payload_length());
    if lives == 0 {
        return None;
    }
    let seed = |index| tables.seed(index);
    let hash = hash_v6(ip.source_words(), ip.destination_words(), ports, protocol(lives), seed);
    let (number, edit) = destination(packet, tables, hash, lives)?;
    let bytes = (Ipv6::BYTES + ip.payload_length()) as u32;
    if edit.forward == u32::from(FORWARD_LOCAL) {
        return Some(sent(tables, number, bytes, Verdict::Local, 0));
    }
    packet.write(ETHERNET_BYTES + Ipv6::HOP_LIMIT_OFFSET, ip.hop_limit() - 1)?;
    readdress(packet, &edit)?;
    Some(sent(tables, number, bytes, Verdict::DirectRouting, edit.interface))
}

/// The state of a connection that stays in it after this packet; 0 where the packet may change any.
///
/// `bytes` is how many IP says follow at `offset`.
#[inline(always)]
fn lives_on(packet: &impl Packet, protocol: u8, offset: usize, bytes: usize) -> u32 {
    if protocol == Protocol::Tcp as u8 {
        let Some(tcp): Option<Tcp> = packet.read(offset) else { return 0 };
        let is_whole = tcp.header_length() >= size_of::<Tcp>() && tcp.header_length() <= bytes;
        if is_whole && tcp.flags().is_plain_ack() { State::Established as u32 } else { 0 }
    } else if protocol == Protocol::Udp as u8 && bytes >= size_of::<Udp>() {
        State::Udp as u32
    } else {
        0
    }
}

#[inline(always)]
const fn protocol(lives: u32) -> Protocol {
    if lives == State::Udp as u32 { Protocol::Udp } else { Protocol::Tcp }
}

/// The number of the flow's destination and what is to be done for it, if both are as usual.
#[inline(always)]
fn destination<P: Packet, T: Tables>(packet: &P, tables: &T, hash: u64, lives: u32) -> Option<(u32, Edit)> {
    let number = number_of(tables, hash, lives);
    // The number 0 has no record.
    let edit = tables.edit(number)?;
    if edit.forward == u32::from(FORWARD_DIRECT) {
        if !edit.is_resolved() {
            return None;
        }
    } else if edit.forward != u32::from(FORWARD_LOCAL) {
        return None;
    }
    let peers = tables.peer_filter();
    if peers != 0 {
        let ethernet: Ethernet = packet.read(0)?;
        if peers >> peer_bit(ethernet.source_word()) & 1 == 1 {
            return None;
        }
    }
    Some((number, edit))
}

/// The destination of a flow whose entry is in the state `lives` and not over; 0: none.
#[inline(always)]
fn number_of<T: Tables>(tables: &T, hash: u64, lives: u32) -> u32 {
    let (first, second) = super::connection::line_numbers(tables, hash);
    let Some(line) = tables.line(first) else { return 0 };
    let number = number_in(tables, line, hash, lives);
    if number != 0 {
        return number;
    }
    let Some(line) = tables.line(second) else { return 0 };
    number_in(tables, line, hash, lives)
}

#[inline(always)]
fn number_in<T: Tables>(tables: &T, line: T::Line, hash: u64, lives: u32) -> u32 {
    for slot in 0..LINE_SLOTS {
        // What is left of the entry is its destination if its tag is the flow's, and more than any otherwise.
        let rest = line.entry(slot) ^ tag_of(hash);
        if rest < BUSY && rest != 0 {
            let (state, now) = (line.state(slot), tables.now());
            let wanted = State::None.at(now) | lives << Tick::BITS;
            if state != wanted {
                if state >> Tick::BITS != lives || tables.is_over(state, now) {
                    return 0;
                }
                // If another CPU was faster, its word is as good.
                line.exchange_state(slot, state, wanted);
            }
            return rest as u32;
        }
    }
    0
}

#[inline(always)]
fn sent<T: Tables>(tables: &T, number: u32, bytes: u32, verdict: Verdict, interface: u32) -> Decision {
    tables.account(number, bytes, verdict);
    tables.count(verdict);
    Decision { verdict, interface }
}
