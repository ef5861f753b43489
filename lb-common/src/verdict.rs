//! The one list of fates that a packet can meet.
//!
//! A variant is at once the index of its counter, the label of its metric and the text that
//! explains it. It knows nothing of how a fate is carried out: that is `lb-ebpf`'s one `match`.

/// What the program returns for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sent on to a real server.
    Forward,
    /// Left to the kernel, byte for byte as it came.
    Pass,
    /// Ended here.
    Drop,
}

impl Action {
    /// The word that metrics and listings use.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Pass => "pass",
            Self::Drop => "drop",
        }
    }
}

macro_rules! verdicts {
    ($( $action:ident { $( $(#[doc = $text:literal])+ $name:ident = $label:literal, )+ } )+) => {
        /// The fate of one packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Verdict { $($( $(#[doc = $text])+ $name, )+)+ }

        impl Verdict {
            /// Every verdict, in the order of its number.
            pub const ALL: &[Self] = &[$($( Self::$name, )+)+];

            /// What the program returns for it.
            pub const fn action(self) -> Action {
                match self { $($( Self::$name => Action::$action, )+)+ }
            }

            /// The label of its counter: lower case and underscores, stable between releases.
            pub const fn label(self) -> &'static str {
                match self { $($( Self::$name => $label, )+)+ }
            }

            /// What it means, in a sentence or two.
            pub const fn text(self) -> &'static str {
                match self { $($( Self::$name => concat!($($text),+).trim_ascii(), )+)+ }
            }
        }
    };
}

verdicts! {
    Forward {
        /// Sent to a real server by direct routing.
        DirectRouting = "direct_routing",
        /// Sent to a real server in a tunnel.
        Tunnel = "tunnel",
        /// Sent to a masqueraded real server, under its address and port.
        Masquerade = "masquerade",
        /// Sent back to a client by a masqueraded real server, under the service's address and port.
        MasqueradeReply = "masquerade_reply",
    }
    Pass {
        /// Neither IPv4 nor IPv6: ARP, LLDP and whatever else shares the wire.
        NotIp = "not_ip",
        /// Carries more than two VLAN tags, or one although its real server is reached by a tunnel.
        Tagged = "tagged",
        /// Ends before its headers do.
        Truncated = "truncated",
        /// Its destination is no service address.
        NotServiceAddress = "not_service_address",
        /// For a service address, but its IP header contradicts itself or the frame.
        Malformed = "malformed",
        /// The first fragment of a datagram for a service address but no service, or one that follows it.
        Fragment = "fragment",
        /// For a service address, behind more IPv6 extension headers than are walked.
        ExtensionHeader = "extension_header",
        /// For a service address, by a protocol that is not scheduled (ICMP among them).
        OtherProtocol = "other_protocol",
        /// For a service address, but no service has its port and protocol.
        NoService = "no_service",
        /// A class marks it, but no service has the mark, nor its address, port and protocol.
        NoMarkedService = "no_marked_service",
        /// An ICMP error for a service address, about a packet of no connection.
        UnrelatedError = "unrelated_error",
        /// From a masqueraded real server, but of no connection: its own traffic, the answers to checks among it.
        RealServersOwn = "real_servers_own",
        /// Came from a peer director, which has scheduled it already: this host is the real server.
        PeerDirector = "peer_director",
        /// The chosen real server is this host.
        Local = "local",
        /// A TCP segment other than a SYN that belongs to no connection: the kernel answers RST.
        NoConnection = "no_connection",
    }
    Drop {
        /// The service has no real server that could take a new connection. Answered by ICMP port unreachable.
        NoDestination = "no_destination",
        /// Would open a flow from where the service lets none in.
        Denied = "denied",
        /// Would open a flow of a service that has opened as many as it may, on this CPU and for the moment.
        Gated = "gated",
        /// The Ethernet address of the real server is not known.
        NoNeighbour = "no_neighbour",
        /// TTL or hop limit is used up. Answered by ICMP time exceeded.
        TtlExceeded = "ttl_exceeded",
        /// Larger than what the path to the real server takes, headers of the tunnel included. Answered by ICMP
        /// fragmentation needed or packet too big.
        TooBig = "too_big",
        /// A fragment whose first one, which has the ports, was not seen.
        FragmentWithoutFirst = "fragment_without_first",
        /// For a service, but its source address can be nobody's: multicast, broadcast, loopback or unspecified.
        MartianSource = "martian_source",
        /// For a service, from the service's own address.
        Land = "land",
        /// For a service, with a port of zero; of UDP the source port may be zero.
        ZeroPort = "zero_port",
        /// For a service, with TCP control bits that no stack sends together. What it has for a connection is not changed.
        InvalidFlags = "invalid_flags",
        /// An SCTP packet other than an INIT that belongs to no connection.
        NoAssociation = "no_association",
        /// Of a connection whose real server was removed, where `expire_nodest_conn` keeps connections until they are idle.
        RealServerRemoved = "real_server_removed",
        /// Every place of this flow in the flow table is held by a live connection.
        FlowTableFull = "flow_table_full",
        /// Masqueraded, the real server could not tell the connection from another one of the same client: both
        /// come from one address and port of it, by two services.
        NatCollision = "nat_collision",
        /// The tables contradict themselves; never seen unless something is broken.
        Internal = "internal",
    }
}

impl Verdict {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The index of its counter.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_the_index_of_its_counter() {
        for (index, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(verdict.index(), index);
        }
    }

    #[test]
    fn labels_are_distinct_and_fit_for_a_metric() {
        let mut labels: [&str; Verdict::COUNT] = [""; Verdict::COUNT];
        for verdict in Verdict::ALL {
            let label = verdict.label();
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{label}");
            assert!(!labels.contains(&label), "{label} twice");
            labels[verdict.index()] = label;
        }
    }
}
