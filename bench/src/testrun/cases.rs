//! What is measured: a packet, the program that it meets, and what the tables hold.

/// The program that a packet meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Returns XDP_TX.
    FloorTx,
    /// Swaps the Ethernet addresses, returns XDP_TX.
    FloorSwap,
    /// Returns XDP_PASS.
    FloorPass,
    /// The director, with one service by rr and three real servers.
    Director,
}

/// The packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp4,
    Tcp6,
    Udp4,
    /// TCP to an address that is no service's.
    OtherAddress,
    /// TCP to the service's address, another port.
    OtherPort,
    Arp,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) subject: Subject,
    pub(super) kind: Kind,
    /// How many flows are visited in turn.
    pub(super) flows: u32,
    /// Whether the real servers are this host.
    pub(super) is_local: bool,
    /// Whether every packet opens a connection.
    pub(super) is_new: bool,
}

impl Case {
    pub(super) fn all() -> Vec<Self> {
        let director = |name, kind, flows| Self {
            name,
            subject: Subject::Director,
            kind,
            flows,
            is_local: false,
            is_new: false,
        };
        let floor = |name, subject| Self {
            name,
            subject,
            kind: Kind::Tcp4,
            flows: 1,
            is_local: false,
            is_new: false,
        };
        let mut cases = vec![
            floor("floor/tx", Subject::FloorTx),
            floor("floor/swap", Subject::FloorSwap),
            floor("floor/pass", Subject::FloorPass),
            director("pass/arp", Kind::Arp, 1),
            director("pass/tcp4/other", Kind::OtherAddress, 1),
            director("pass/tcp4/near", Kind::OtherPort, 1),
            Self { is_local: true, ..director("local/tcp4/established", Kind::Tcp4, 1) },
        ];
        for flows in [1, 1 << 10, 1 << 16, 1 << 20] {
            // The floor of the same packets: the harness writes other addresses into each.
            cases.push(Self { flows, ..floor("floor/tx", Subject::FloorTx) });
            cases.push(director("direct/tcp4/established", Kind::Tcp4, flows));
            cases.push(director("direct/tcp6/established", Kind::Tcp6, flows));
            cases.push(director("direct/udp4/established", Kind::Udp4, flows));
        }
        cases.remove(0);
        cases.push(Self { is_new: true, ..director("direct/tcp4/new", Kind::Tcp4, 1 << 20) });
        cases
    }

    pub(super) fn name(&self) -> String {
        format!("{} with {} flows", self.name, self.flows)
    }

    /// What the JSON rows call the program.
    pub(super) fn subject_name(&self) -> &'static str {
        match self.subject {
            Subject::FloorTx => "floor:tx",
            Subject::FloorSwap => "floor:swap",
            Subject::FloorPass => "floor:pass",
            Subject::Director => "lb:rr",
        }
    }

    /// The frame, 78 bytes; `flags` are TCP's.
    pub(super) fn frame(&self, flags: u8) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 100];
        if self.kind == Kind::Arp {
            frame.extend([0x08, 0x06]);
            frame.resize(FRAME, 0);
            return frame;
        }
        let is_v6 = self.kind == Kind::Tcp6;
        frame.extend(if is_v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
        let length = u16::try_from(FRAME - 14).unwrap_or(u16::MAX);
        let protocol = if self.kind == Kind::Udp4 { 17 } else { 6 };
        if is_v6 {
            frame.extend([0x60, 0, 0, 0]);
            frame.extend((length - 40).to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend(client_v6());
            frame.extend(service_v6());
        } else {
            frame.extend([0x45, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            frame.extend(CLIENT_V4);
            frame.extend(if self.kind == Kind::OtherAddress { [10, 0, 0, 99] } else { SERVICE_V4 });
        }
        frame.extend(1024_u16.to_be_bytes());
        frame.extend(if self.kind == Kind::OtherPort { 81_u16 } else { 80 }.to_be_bytes());
        if protocol == 6 {
            frame.extend([0; 8]);
            frame.extend([0x50, flags]);
        } else {
            frame.extend((length - 20).to_be_bytes());
        }
        frame.resize(FRAME, 0);
        frame
    }
}

const FRAME: usize = 78;

/// The first client; others follow.
pub(super) const CLIENT_V4: [u8; 4] = [172, 16, 0, 0];
/// The service.
pub(super) const SERVICE_V4: [u8; 4] = [10, 0, 0, 50];

pub(super) fn client_v6() -> [u8; 16] {
    [0xfd, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 172, 16, 0, 0]
}

pub(super) fn service_v6() -> [u8; 16] {
    [0xfd, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50]
}
