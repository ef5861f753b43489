//! The outer header of a tunnel, made by the daemon ahead of time.
//!
//! All that is alike for every packet to one real server lies in it as it goes out, and is summed up.
//! What a packet adds (lengths, DSCP and ECN, DF, identification, TTL, source port) is not known here.

use bytemuck::{Pod, Zeroable};

/// Kind of tunnel: IP in IP (RFC 2003, RFC 2473, RFC 4213), `ipvsadm --tun-type ipip`.
pub const TUNNEL_IPIP: u8 = 1;
/// Kind of tunnel: generic UDP encapsulation without a UDP checksum, `--tun-type gue --tun-nocsum`.
pub const TUNNEL_GUE: u8 = 2;
/// Kind of tunnel: generic UDP encapsulation with a UDP checksum, `--tun-csum`; also `--tun-remcsum`,
/// since IPVS offloads no checksum of a packet that it has received.
pub const TUNNEL_GUE_CHECKSUM: u8 = 3;
/// Kind of tunnel: GRE without a checksum, `--tun-type gre --tun-nocsum`.
pub const TUNNEL_GRE: u8 = 4;
/// Kind of tunnel: GRE with a checksum, `--tun-csum`.
pub const TUNNEL_GRE_CHECKSUM: u8 = 5;

/// The outer header of every packet to one real server. Zeros: there is no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct OuterHeader {
    /// The header as it lies on the wire, in native words: IPv4 (20 bytes) or IPv6 (40), then nothing, UDP
    /// and GUE (12), or GRE (4, with a checksum 8). What a packet adds is zero, and so is what is left over.
    pub words: [u32; 13],
    /// The one's complement sum of the IPv4 header, folded, in the low 16 bits. IPv6: 0.
    pub header_sum: u32,
    /// The one's complement sum of what the checksum of UDP (pseudo-header included) or GRE covers, folded.
    /// Without such a checksum: 0.
    pub tunnel_sum: u32,
    /// The header's length in bytes: 20 to 52.
    pub length: u8,
    /// The [`super::Family`] of the header.
    pub family: u8,
    /// The [`super::Family`] of the packets that it is for.
    pub inner: u8,
    /// [`TUNNEL_IPIP`] or one of its siblings.
    pub kind: u8,
}

const _: () = assert!(size_of::<OuterHeader>() == 64);

impl OuterHeader {
    /// The largest packet, in IP bytes, that fits into a path of `mtu` bytes.
    #[inline(always)]
    pub const fn inner_mtu(&self, mtu: u32) -> u32 {
        mtu.saturating_sub(self.length as u32)
    }
}

#[cfg(feature = "host")]
mod host {
    //! How the daemon makes one.

    use std::net::IpAddr;

    use super::{OuterHeader, TUNNEL_GRE, TUNNEL_GRE_CHECKSUM, TUNNEL_GUE, TUNNEL_GUE_CHECKSUM, TUNNEL_IPIP};
    use crate::net::{
        Gre, Gue, Ipv4, Ipv6, PROTOCOL_GRE, PROTOCOL_IPV4, PROTOCOL_IPV6, Sum, ipv4_first_word,
        ipv6_first_word, ipv6_second_word,
    };
    use crate::wire::{Family, Protocol};

    impl OuterHeader {
        /// IP in IP, from the director to a real server, around packets of the family `inner`.
        ///
        /// Nothing, as in its siblings, where the two addresses are not of one family.
        pub fn ipip(source: IpAddr, destination: IpAddr, inner: Family) -> Option<Self> {
            Self::new(source, destination, inner, TUNNEL_IPIP, protocol_of(inner), &[])
        }

        /// Generic UDP encapsulation to a port of the real server. The source port is each packet's own.
        pub fn gue(
            source: IpAddr,
            destination: IpAddr,
            inner: Family,
            port: u16,
            has_checksum: bool,
        ) -> Option<Self> {
            let kind = if has_checksum { TUNNEL_GUE_CHECKSUM } else { TUNNEL_GUE };
            let udp = bytemuck::cast([0, port.to_be()]);
            let words = [udp, 0, Gue::new(protocol_of(inner)).0];
            Self::new(source, destination, inner, kind, Protocol::Udp as u8, &words)
        }

        /// GRE.
        pub fn gre(source: IpAddr, destination: IpAddr, inner: Family, has_checksum: bool) -> Option<Self> {
            let base = Gre::new(inner == Family::V6, has_checksum).0;
            let (kind, words) =
                if has_checksum { (TUNNEL_GRE_CHECKSUM, &[base, 0][..]) } else { (TUNNEL_GRE, &[base][..]) };
            Self::new(source, destination, inner, kind, PROTOCOL_GRE, words)
        }

        /// The header's bytes.
        pub fn bytes(&self) -> &[u8] {
            let bytes: &[u8] = bytemuck::cast_slice(&self.words);
            bytes.get(..usize::from(self.length)).unwrap_or(bytes)
        }

        fn new(
            source: IpAddr,
            destination: IpAddr,
            inner: Family,
            kind: u8,
            protocol: u8,
            tunnel: &[u32],
        ) -> Option<Self> {
            let (ip, family) = match (source, destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    let ttl_protocol = u32::from_ne_bytes([0, protocol, 0, 0]);
                    let addresses = [source, destination].map(|address| u32::from_ne_bytes(address.octets()));
                    let [source, destination] = addresses;
                    (vec![ipv4_first_word(0, 0), 0, ttl_protocol, source, destination], Family::V4)
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    let mut ip = vec![ipv6_first_word(0), ipv6_second_word(0, protocol, 0)];
                    for address in [source, destination] {
                        ip.extend(bytemuck::cast::<[u8; 16], [u32; 4]>(address.octets()));
                    }
                    (ip, Family::V6)
                }
                _ => return None,
            };
            let (sum, addresses) = match family {
                Family::V4 => (total(&ip), ip.get(3..)?),
                Family::V6 => (Sum::ZERO, ip.get(2..)?),
            };
            let tunnel_sum = match kind {
                TUNNEL_GUE_CHECKSUM => total(tunnel).and(total(addresses)).plus_number(protocol.into()),
                TUNNEL_GRE_CHECKSUM => total(tunnel),
                _ => Sum::ZERO,
            };
            let mut words = [0; 13];
            for (word, value) in words.iter_mut().zip(ip.iter().chain(tunnel)) {
                *word = *value;
            }
            Some(Self {
                words,
                header_sum: sum.folded().into(),
                tunnel_sum: tunnel_sum.folded().into(),
                length: ((ip.len() + tunnel.len()) * 4) as u8,
                family: family as u8,
                inner: inner as u8,
                kind,
            })
        }
    }

    const _: () = assert!(Ipv6::BYTES + 12 == 13 * 4 && Ipv4::BYTES == 5 * 4);

    fn protocol_of(family: Family) -> u8 {
        match family {
            Family::V4 => PROTOCOL_IPV4,
            Family::V6 => PROTOCOL_IPV6,
        }
    }

    fn total(words: &[u32]) -> Sum {
        words.iter().fold(Sum::ZERO, |sum, word| sum.plus(*word))
    }
}
