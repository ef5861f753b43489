//! What passes a host, tunnels above all, as the test itself and as tshark see it.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use lb_bench::lab::Host;
use rustix::net::{AddressFamily, SocketType, eth};

/// A packet that is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// No packet of the lab is longer.
const LONGEST: usize = 2048;

/// Everything that goes in and out at a host, from its IP header on (packet(7)).
pub(crate) struct Capture {
    socket: UdpSocket,
}

impl Capture {
    /// From now on.
    pub(crate) fn start(host: &Host) -> Self {
        let (family, kind) = (AddressFamily::PACKET, SocketType::DGRAM);
        let socket = host.within(|| rustix::net::socket(family, kind, Some(eth::ALL))).unwrap().unwrap();
        // A datagram socket is all that std's type holds; which protocol it speaks is the kernel's matter.
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// TTL or hop limit of the next packet in an IP in IP tunnel: the outer header's, and the packet's.
    pub(crate) fn hops(&self) -> (u8, u8) {
        let mut packet = [0; LONGEST];
        for _ in 0..1_000 {
            self.socket.recv(&mut packet).unwrap();
            match packet {
                [0x45, _, _, _, _, _, _, _, hops, 4, ..] => return (hops, packet[20 + 8]),
                [0x60, _, _, _, _, _, 41, hops, ..] => return (hops, packet[40 + 7]),
                _ => {}
            }
        }
        panic!("no tunnel in a thousand packets");
    }

    /// What was in tunnels until now, as tshark on this host reads it: the protocols from the outer IP header
    /// to the inner one, such as `ip:gre:ip`, and the status of the tunnel's checksum.
    pub(crate) fn headers(self, host: &Host) -> BTreeSet<(String, String)> {
        self.socket.set_nonblocking(true).unwrap();
        // A file as of libpcap 2.4: link type 101, IP without a link layer; all times are 0.
        let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, LONGEST as u32, 101];
        let mut file = header.map(u32::to_ne_bytes).concat();
        let mut packet = [0; LONGEST];
        while let Ok(length) = self.socket.recv(&mut packet) {
            file.extend([0, 0, length as u32, length as u32].map(u32::to_ne_bytes).concat());
            file.extend(&packet[..length]);
        }
        let path = host.directory().join("capture");
        fs::write(&path, file).unwrap();
        let mut words = vec!["-n", "-r", path.to_str().unwrap(), "-o", "udp.check_checksum:TRUE"];
        words.extend(["-Y", "ip.proto in {4, 41, 47} or ipv6.nxt in {4, 41, 47} or udp.dstport == 6080"]);
        words.extend(["-T", "fields", "-E", "separator=;", "-e", "frame.protocols", "-e", "udp.payload"]);
        words.extend(["-e", "udp.checksum.status", "-e", "gre.checksum.status"]);
        let said = host.run("tshark", words).unwrap();
        let tunnel = |line: &str| match line.split(';').collect::<Vec<_>>()[..] {
            [protocols, payload, udp, gre] => (stack(protocols, payload), format!("{udp}{gre}")),
            _ => (line.to_owned(), String::new()),
        };
        said.lines().map(tunnel).collect()
    }
}

/// `ip:gre:ip` of `raw:ip:gre:ip:tcp:http`, and `ip:udp:gue:ip` of what to tshark is `raw:ip:udp:data`.
fn stack(protocols: &str, udp_payload: &str) -> String {
    let protocols = protocols.trim_start_matches("raw:");
    let Some((outer, _)) = protocols.split_once(":udp") else {
        return protocols.split_once(":tcp").map_or(protocols, |(stack, _)| stack).to_owned();
    };
    // Variant 0 without flags and options: the number of the protocol is in the second byte.
    match udp_payload.get(..8) {
        Some("00040000") => format!("{outer}:udp:gue:ip"),
        Some("00290000") => format!("{outer}:udp:gue:ipv6"),
        _ => format!("{outer}:udp:{udp_payload}"),
    }
}
