//! Values that are one word out of a few: one spelling each.
//!
//! Who writes LVS's or keepalived's spelling, or asks for what they have and this has not yet, is told.

use super::error::Problem;
use crate::model::{AddressOwner, Family, ForwardMethod, Protocol, Scheduler, Tunnel, XdpMode};

/// The words that one key takes.
pub(super) struct Words<T: 'static> {
    /// What such a word names, for errors.
    what: &'static str,
    known: &'static [(&'static str, T)],
    /// What other programs call a known word; compared without case.
    elsewhere: &'static [(&'static str, &'static str)],
    /// What exists elsewhere, but not here; compared without case.
    not_yet: &'static [&'static str],
}

pub(super) static PROTOCOL: Words<Protocol> = Words {
    what: "protocol",
    known: &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)],
    elsewhere: &[],
    not_yet: &[],
};

/// Of a service by mark.
pub(super) static FAMILY: Words<Family> = Words {
    what: "family",
    known: &[("ipv4", Family::V4), ("ipv6", Family::V6)],
    // keepalived's ip_family, ipvsadm's option, ip(8)'s.
    elsewhere: &[("inet", "ipv4"), ("4", "ipv4"), ("inet6", "ipv6"), ("6", "ipv6")],
    not_yet: &[],
};

pub(super) static SCHEDULER: Words<Scheduler> = Words {
    what: "scheduler",
    known: &[
        ("rr", Scheduler::Rr),
        ("wrr", Scheduler::Wrr),
        ("lc", Scheduler::Lc),
        ("wlc", Scheduler::Wlc),
        ("sed", Scheduler::Sed),
        ("nq", Scheduler::Nq),
        ("fo", Scheduler::Fo),
        ("ovf", Scheduler::Ovf),
        ("twos", Scheduler::Twos),
        ("lblc", Scheduler::Lblc),
        ("sh", Scheduler::Sh),
        ("dh", Scheduler::Dh),
        ("mh", Scheduler::Mh),
        ("maglev", Scheduler::Maglev),
    ],
    elsewhere: &[],
    not_yet: &["lblcr"],
};

/// A scheduler's flags; what a flag does is the same for both schedulers.
#[derive(Clone, Copy)]
pub(super) enum SchedulerFlag {
    Port(Scheduler),
    Fallback(Scheduler),
}

pub(super) static SCHEDULER_FLAG: Words<SchedulerFlag> = Words {
    what: "scheduler flag",
    known: &[
        ("sh-port", SchedulerFlag::Port(Scheduler::Sh)),
        ("sh-fallback", SchedulerFlag::Fallback(Scheduler::Sh)),
        ("mh-port", SchedulerFlag::Port(Scheduler::Mh)),
        ("mh-fallback", SchedulerFlag::Fallback(Scheduler::Mh)),
    ],
    elsewhere: &[
        ("sh_port", "sh-port"),
        ("sh_fallback", "sh-fallback"),
        ("mh_port", "mh-port"),
        ("mh_fallback", "mh-fallback"),
    ],
    not_yet: &[],
};

pub(super) static FORWARD_METHOD: Words<ForwardMethod> = Words {
    what: "forward method",
    // Which tunnel is another key's to say.
    known: &[
        ("direct-routing", ForwardMethod::DirectRouting),
        ("local", ForwardMethod::Local),
        ("tunnel", ForwardMethod::Tunnel(Tunnel::Ipip)),
        ("masquerade", ForwardMethod::Masquerade),
    ],
    // ipvsadm's options and its listing, keepalived's lvs_method, ldirectord's.
    elsewhere: &[
        ("dr", "direct-routing"),
        ("g", "direct-routing"),
        ("gate", "direct-routing"),
        ("gatewaying", "direct-routing"),
        ("route", "direct-routing"),
        ("direct_routing", "direct-routing"),
        ("direct", "direct-routing"),
        ("localhost", "local"),
        ("localnode", "local"),
        ("tun", "tunnel"),
        ("i", "tunnel"),
        ("tunneling", "tunnel"),
        ("tunnelling", "tunnel"),
        ("ipip", "tunnel"),
        ("gue", "tunnel"),
        ("gre", "tunnel"),
        ("masquerading", "masquerade"),
        ("masq", "masquerade"),
        ("m", "masquerade"),
        ("nat", "masquerade"),
    ],
    not_yet: &["bypass"],
};

/// Kinds of tunnels; what else one says depends on its kind.
#[derive(Clone, Copy)]
pub(super) enum TunnelType {
    Ipip,
    Gue,
    Gre,
}

pub(super) static TUNNEL_TYPE: Words<TunnelType> = Words {
    what: "tunnel",
    known: &[("ipip", TunnelType::Ipip), ("gue", TunnelType::Gue), ("gre", TunnelType::Gre)],
    elsewhere: &[],
    not_yet: &[],
};

pub(super) static XDP_MODE: Words<XdpMode> = Words {
    what: "XDP mode",
    known: &[("auto", XdpMode::Auto), ("native", XdpMode::Native), ("generic", XdpMode::Generic)],
    // ip-link(8).
    elsewhere: &[
        ("xdp", "auto"),
        ("xdpdrv", "native"),
        ("drv", "native"),
        ("xdpgeneric", "generic"),
        ("skb", "generic"),
    ],
    not_yet: &["xdpoffload", "offload"],
};

pub(super) static SERVICE_ADDRESSES: Words<AddressOwner> = Words {
    what: "owner",
    known: &[("director", AddressOwner::Director), ("operator", AddressOwner::Operator)],
    elsewhere: &[],
    not_yet: &[],
};

/// Kinds of checks; what else one says depends on its kind.
#[derive(Clone, Copy)]
pub(super) enum CheckType {
    Tcp,
}

pub(super) static CHECK_TYPE: Words<CheckType> = Words {
    what: "check",
    known: &[("tcp", CheckType::Tcp)],
    elsewhere: &[("tcp_check", "tcp"), ("connect", "tcp")],
    // keepalived.conf(5).
    not_yet: &[
        "http",
        "http_get",
        "https",
        "ssl",
        "ssl_get",
        "smtp",
        "smtp_check",
        "dns",
        "dns_check",
        "misc",
        "misc_check",
        "udp",
        "udp_check",
        "ping",
        "ping_check",
        "bfd",
        "bfd_check",
        "file",
        "file_check",
    ],
};

impl<T: Copy> Words<T> {
    /// What `word` stands for.
    pub(super) fn read(&self, word: &str) -> Result<T, Problem> {
        if let Some((_, value)) = self.known.iter().find(|(known, _)| *known == word) {
            return Ok(*value);
        }
        let what = self.what;
        let is = |other: &str| other.eq_ignore_ascii_case(word);
        let other_case = self.known.iter().map(|(known, _)| (*known, *known)).find(|(known, _)| is(known));
        let elsewhere = self.elsewhere.iter().copied().find(|(other, _)| is(other));
        let word = word.to_owned();
        Err(match other_case.or(elsewhere) {
            Some((_, right)) => Problem::OtherSpelling { what, word, right },
            None if self.not_yet.iter().any(|other| is(other)) => {
                Problem::NotYet { what, word, known: self.list() }
            }
            None => Problem::UnknownWord { what, word, known: self.list() },
        })
    }

    fn list(&self) -> String {
        self.known.iter().map(|(known, _)| format!("\"{known}\"")).collect::<Vec<_>>().join(", ")
    }
}
