//! What is wrong with a packet whose headers can be read: nobody has sent it in good faith.
//!
//! It is asked of packets for a service only, and of those that may open a connection: no other has the address
//! of nobody. It knows no table.

use crate::flow::Flow;
use crate::verdict::Verdict;
use crate::wire::{Family, Protocol};

/// Why a packet for a service opens no connection, whatever else it is.
#[inline(always)]
pub(super) fn fault(flow: &Flow) -> Option<Verdict> {
    let [high, low, _]: [u64; 3] = bytemuck::cast(flow.service);
    if flow.client == [high, low] {
        return Some(Verdict::Land);
    }
    if is_martian(flow.client, flow.service.family()) {
        return Some(Verdict::MartianSource);
    }
    if has_zero_port(flow) {
        return Some(Verdict::ZeroPort);
    }
    if has_invalid_flags(flow) {
        return Some(Verdict::InvalidFlags);
    }
    None
}

/// What becomes of a packet that belongs to no connection and opens none. A kernel may lack SCTP, and would end a
/// client's association by ICMP that only another director knows: IPVS drops such a packet, too.
#[inline(always)]
pub(super) fn no_connection(flow: &Flow) -> Verdict {
    if flow.protocol() == Protocol::Sctp { Verdict::NoAssociation } else { Verdict::NoConnection }
}

/// Whether it is a TCP segment whose control bits contradict each other.
#[inline(always)]
pub(super) fn has_invalid_flags(flow: &Flow) -> bool {
    flow.protocol() == Protocol::Tcp && !flow.tcp_flags.are_valid()
}

/// Whether no host can have a source address, as Linux has it (`ip_route_input_slow`, `ip6_rcv_core`): multicast,
/// broadcast, loopback, "this network" (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5).
///
/// 240.0.0.0/4 is unicast to Linux, and to some networks. Words as in [`Flow::client`].
#[inline(always)]
fn is_martian([high, low]: [u64; 2], family: Family) -> bool {
    let (high, low) = (u64::from_be(high), u64::from_be(low));
    match family {
        Family::V4 => {
            let address = high >> 32;
            let first = address >> 24;
            first == 0 || first == 127 || first >> 4 == 0xe || address == 0xffff_ffff
        }
        Family::V6 => high >> 56 == 0xff || high == 0 && low <= 1,
    }
}

/// Whether a port is zero that may not be. A datagram that wants no answer may have no source port (RFC 768).
#[inline(always)]
fn has_zero_port(flow: &Flow) -> bool {
    let [source, destination]: [u16; 2] = bytemuck::cast(flow.ports);
    destination == 0 || source == 0 && flow.protocol() != Protocol::Udp
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use core::net::IpAddr;

    use bytemuck::Zeroable as _;

    use super::*;
    use crate::net::TcpFlags;
    use crate::wire::ServiceKey;

    fn words(address: IpAddr) -> [u64; 2] {
        let mut bytes = [0; 16];
        match address {
            IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes = address.octets(),
        }
        bytemuck::cast(bytes)
    }

    /// A SYN from an address to a service on port 80 of another.
    fn flow(client: &str, service: &str) -> Flow {
        let [client, service]: [IpAddr; 2] = [client, service].map(|text| text.parse().unwrap());
        let key = ServiceKey {
            address: bytemuck::cast(words(service)),
            port: 80_u16.to_be_bytes(),
            protocol: Protocol::Tcp as u8,
            family: if service.is_ipv4() { 4 } else { 6 },
            reserved: [0; 4],
        };
        let ports = bytemuck::cast([4000_u16.to_be_bytes(), key.port]);
        let tcp_flags = TcpFlags(TcpFlags::SYN);
        Flow { service: key, client: words(client), ports, transport: 6, tcp_flags, ..Flow::zeroed() }
    }

    #[test]
    fn addresses_that_nobody_can_have_are_martians_and_their_neighbours_are_not() {
        for client in
            ["0.0.0.0", "0.255.255.255", "127.0.0.1", "127.255.255.255", "224.0.0.0", "239.255.255.255"]
        {
            assert_eq!(fault(&flow(client, "10.0.0.50")), Some(Verdict::MartianSource), "{client}");
        }
        assert_eq!(fault(&flow("255.255.255.255", "10.0.0.50")), Some(Verdict::MartianSource));
        for client in
            ["1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "240.0.0.1", "255.255.255.254"]
        {
            assert_eq!(fault(&flow(client, "10.0.0.50")), None, "{client}");
        }
        for client in ["::", "::1", "ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
            assert_eq!(fault(&flow(client, "fd00::50")), Some(Verdict::MartianSource), "{client}");
        }
        for client in ["::2", "0:0:0:1::", "0:0:0:1::1", "feff::1", "fe80::1", "2001:db8::1"] {
            assert_eq!(fault(&flow(client, "fd00::50")), None, "{client}");
        }
    }

    #[test]
    fn what_a_service_seems_to_send_itself_is_a_land_packet() {
        assert_eq!(fault(&flow("10.0.0.50", "10.0.0.50")), Some(Verdict::Land));
        assert_eq!(fault(&flow("fd00::50", "fd00::50")), Some(Verdict::Land));
        assert_eq!(fault(&flow("10.0.0.51", "10.0.0.50")), None);
    }

    #[test]
    fn a_datagram_may_come_from_no_port_but_nothing_goes_to_one() {
        let mut flow = flow("192.0.2.1", "10.0.0.50");
        for (ports, of_tcp, of_udp) in [
            ([0_u16, 80], Some(Verdict::ZeroPort), None),
            ([4000, 0], Some(Verdict::ZeroPort), Some(Verdict::ZeroPort)),
            ([0, 0], Some(Verdict::ZeroPort), Some(Verdict::ZeroPort)),
        ] {
            flow.ports = bytemuck::cast(ports.map(u16::to_be));
            flow.transport = 6;
            assert_eq!(fault(&flow), of_tcp, "{ports:?}");
            flow.transport = 132;
            assert_eq!(fault(&flow), of_tcp, "{ports:?}");
            flow.transport = 17;
            assert_eq!(fault(&flow), of_udp, "{ports:?}");
        }
    }

    #[test]
    fn a_segment_has_control_bits_that_belong_together() {
        let mut flow = flow("192.0.2.1", "10.0.0.50");
        flow.tcp_flags = TcpFlags(TcpFlags::SYN | TcpFlags::FIN);
        assert_eq!(fault(&flow), Some(Verdict::InvalidFlags));
        flow.transport = 17;
        assert_eq!(fault(&flow), None, "of a datagram there are none");
    }
}
