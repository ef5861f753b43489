//! What is measured: a packet, the program that it meets, what the tables hold, and what has to become of it.

use lb_common::{
    verdict::{Action, Verdict},
    wire::{Family, Protocol, RESTORE_HEAD, RESTORE_TAIL},
};
use lb_user::model::Scheduler;

use super::{
    frame::Content,
    harness::Floor,
    tables::{Forward, Service},
};

/// Who meets the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Floor(Floor),
    /// The director.
    Director,
    /// Somebody else's program.
    Peer,
}

/// What the flow table holds when the packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing that concerns them.
    Nothing,
    /// All flows are established.
    Established,
    /// The first fragment has passed.
    Fragment,
    /// Nothing at all, and every packet opens a flow of its own.
    Fresh,
    /// All flows are established, and all other places are taken by SYNs of as many clients: every packet is
    /// one more of these.
    Flooded,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) subject: Subject,
    pub(super) service: Service,
    pub(super) content: Content,
    /// Whether the packet is for an address that is no service's.
    pub(super) is_elsewhere: bool,
    /// Whether the packet is for another port than the service's.
    pub(super) is_near: bool,
    pub(super) state: State,
    /// How many flows are visited in turn, a power of two.
    pub(super) flows: u32,
    pub(super) verdict: Verdict,
    /// What the harness has to move back.
    pub(super) moves: u32,
}

/// A service by rr on three real servers.
pub(crate) const PLAIN: Service = Service {
    family: Family::V4,
    protocol: Protocol::Tcp,
    scheduler: Scheduler::Rr,
    forward: Forward::Direct,
    real_servers: 3,
};

/// Schedulers that the data plane doesn't have yet.
const MISSING: [Scheduler; 1] = [Scheduler::Lblcr];

/// One flow; as many as a first-level cache holds; as many as a second-level one does; more than any.
const FLOWS: [u32; 4] = [1, 1 << 10, 1 << 16, 1 << 20];

impl Case {
    pub(super) fn new(name: &str, service: Service, flows: u32) -> Self {
        let (verdict, moves) = match service.forward {
            _ if service.real_servers == 0 => (Verdict::NoDestination, RESTORE_HEAD | RESTORE_TAIL),
            Forward::Direct => (Verdict::DirectRouting, 0),
            Forward::Local => (Verdict::Local, 0),
            Forward::Ipip | Forward::Gue => (Verdict::Tunnel, RESTORE_HEAD),
            Forward::Masquerade => (Verdict::Masquerade, 0),
        };
        Self {
            name: name.to_owned(),
            subject: Subject::Director,
            service,
            content: Content::Whole,
            is_elsewhere: false,
            is_near: false,
            state: State::Established,
            flows,
            verdict,
            moves,
        }
    }

    /// Every packet opens a connection, in a table that was empty before the first.
    pub(super) fn opening(name: &str, service: Service, flows: u32) -> Self {
        Self { state: State::Fresh, ..Self::new(name, service, flows) }
    }

    /// All cases with at most so many flows.
    pub(super) fn all(most_flows: u32) -> Vec<Self> {
        let mut cases = floors();
        cases.extend(not_ours());
        for flows in FLOWS {
            cases.extend(established(flows));
        }
        cases.extend(others());
        let opened = most_flows.min(1 << 16);
        cases.push(Self::opening("direct/tcp4/new", PLAIN, opened));
        cases.extend(openings(opened));
        if most_flows > opened {
            cases.push(Self::opening("direct/tcp4/new", PLAIN, most_flows.min(1 << 20)));
        }
        let flooded = |name, flows| Self { state: State::Flooded, ..Self::new(name, PLAIN, flows) };
        cases.push(flooded("direct/tcp4/new/evicting", 1));
        cases.push(flooded("direct/tcp4/flood", most_flows.min(1 << 20)));
        cases.retain(|case| case.flows <= most_flows);
        cases
    }

    /// All cases with at most so many flows where a real server is masqueraded: then every packet that is
    /// nobody's is asked whether it is from one, so these have tables of their own.
    pub(super) fn masquerading(most_flows: u32) -> Vec<Self> {
        // One real server: an answer of each flow is known to be its.
        let service = Service { forward: Forward::Masquerade, real_servers: 1, ..PLAIN };
        let v6 = Service { family: Family::V6, ..service };
        let reply = |name, service, flows| Self {
            content: Content::Reply,
            verdict: Verdict::MasqueradeReply,
            ..Self::new(name, service, flows)
        };
        let mut cases = Vec::new();
        for flows in FLOWS {
            cases.push(Self::new("masquerade/tcp4/in", service, flows));
            cases.push(reply("masquerade/tcp4/out", service, flows));
        }
        cases.push(Self::new("masquerade/tcp6/in", v6, 1));
        cases.push(reply("masquerade/tcp6/out", v6, 1));
        cases.push(Self::opening("masquerade/tcp4/new", service, most_flows.min(1 << 16)));
        cases.push(Self {
            state: State::Nothing,
            is_elsewhere: true,
            verdict: Verdict::NotServiceAddress,
            ..Self::new("pass/tcp4/other/masquerading", service, 1)
        });
        cases.retain(|case| case.flows <= most_flows);
        cases
    }

    /// What somebody else's program is asked: established connections, as ours is.
    pub(super) fn of_peer(most_flows: u32) -> Vec<Self> {
        let case = |flows| Self {
            subject: Subject::Peer,
            moves: RESTORE_HEAD | RESTORE_TAIL,
            ..Self::new("peer/tcp4/established", PLAIN, flows)
        };
        FLOWS.into_iter().filter(|&flows| flows <= most_flows).map(case).collect()
    }

    pub(super) fn label(&self) -> String {
        format!("{} by {} with {} flows", self.name, self.subject(), self.flows)
    }

    /// What rows call the program.
    pub(super) fn subject(&self) -> String {
        match self.subject {
            Subject::Floor(floor) => floor.subject().to_owned(),
            Subject::Peer => "peer".to_owned(),
            Subject::Director => format!("lb:{}", self.service.scheduler.label()),
        }
    }

    /// What it is compared with: a program that does nothing but return the same.
    pub(super) fn floor(&self) -> Option<Floor> {
        match self.subject {
            Subject::Floor(Floor::Tx) => None,
            Subject::Floor(_) | Subject::Peer => Some(Floor::Tx),
            Subject::Director => Some(match self.verdict.action() {
                Action::Forward => Floor::Tx,
                Action::Pass => Floor::Pass,
                Action::Drop => Floor::Drop,
            }),
        }
    }
}

fn floors() -> Vec<Case> {
    let floor = |floor: Floor, name: &str, moves| Case {
        subject: Subject::Floor(floor),
        state: State::Nothing,
        moves,
        ..Case::new(name, PLAIN, 1)
    };
    let mut floors = vec![
        floor(Floor::Pass, "floor/pass", 0),
        floor(Floor::Drop, "floor/drop", 0),
        floor(Floor::Swap, "floor/swap", 0),
        floor(Floor::Grow, "floor/grow", RESTORE_HEAD),
    ];
    // What visiting many flows costs the harness.
    floors.extend(FLOWS.map(|flows| Case { flows, ..floor(Floor::Tx, "floor/tx", 0) }));
    floors
}

fn not_ours() -> Vec<Case> {
    let passed = |name, family, verdict| {
        let service = Service { family, ..PLAIN };
        Case { state: State::Nothing, verdict, ..Case::new(name, service, 1) }
    };
    let (v4, v6) = (Family::V4, Family::V6);
    let elsewhere = Verdict::NotServiceAddress;
    vec![
        Case { content: Content::Arp, ..passed("pass/arp", v4, Verdict::NotIp) },
        Case { is_elsewhere: true, ..passed("pass/tcp4/other", v4, elsewhere) },
        Case { is_elsewhere: true, ..passed("pass/tcp6/other", v6, elsewhere) },
        Case { is_near: true, ..passed("pass/tcp4/near", v4, Verdict::NoService) },
        Case { is_near: true, ..passed("pass/tcp6/near", v6, Verdict::NoService) },
    ]
}

fn established(flows: u32) -> Vec<Case> {
    let of = |name, service| Case::new(name, service, flows);
    let v6 = Service { family: Family::V6, ..PLAIN };
    let udp = Service { protocol: Protocol::Udp, ..PLAIN };
    let maglev = Service { scheduler: Scheduler::Maglev, ..PLAIN };
    let ipip = Service { forward: Forward::Ipip, ..PLAIN };
    let gue = Service { forward: Forward::Gue, ..PLAIN };
    vec![
        of("direct/tcp4/established", PLAIN),
        of("direct/tcp4/established", maglev),
        of("direct/tcp6/established", v6),
        of("direct/udp4/established", udp),
        of("tunnel/tcp4/established", ipip),
        of("tunnel/tcp6/established", Service { family: Family::V6, ..ipip }),
        of("tunnel/gue/tcp4/established", gue),
        of("local/tcp4/established", Service { forward: Forward::Local, ..PLAIN }),
    ]
}

fn others() -> Vec<Case> {
    let error = |name, service| Case { content: Content::IcmpError, ..Case::new(name, service, 1) };
    let fragment = |name, service| Case {
        content: Content::LaterFragment,
        state: State::Fragment,
        ..Case::new(name, service, 1)
    };
    let v6 = |service| Service { family: Family::V6, ..service };
    let ipip = Service { forward: Forward::Ipip, ..PLAIN };
    let udp = Service { protocol: Protocol::Udp, ..PLAIN };
    let nobody = Service { real_servers: 0, ..PLAIN };
    vec![
        error("direct/icmp4/error", PLAIN),
        error("direct/icmp6/error", v6(PLAIN)),
        error("tunnel/icmp4/error", ipip),
        fragment("direct/udp4/fragment", udp),
        fragment("direct/udp6/fragment", v6(udp)),
        // Five hundred a tick are answered, all others are dropped.
        Case { state: State::Nothing, ..Case::new("drop/tcp4/no-destination", nobody, 1) },
    ]
}

/// A new connection by each scheduler, and of each kind.
fn openings(flows: u32) -> Vec<Case> {
    let schedulers = Scheduler::ALL.into_iter().filter(|scheduler| !MISSING.contains(scheduler));
    let mut cases: Vec<Case> = schedulers
        .filter(|scheduler| *scheduler != PLAIN.scheduler)
        .map(|scheduler| Case::opening("direct/tcp4/new", Service { scheduler, ..PLAIN }, flows))
        .collect();
    let ipip = Service { forward: Forward::Ipip, ..PLAIN };
    cases.push(Case::opening("direct/tcp6/new", Service { family: Family::V6, ..PLAIN }, flows));
    cases.push(Case::opening("direct/udp4/new", Service { protocol: Protocol::Udp, ..PLAIN }, flows));
    cases.push(Case::opening("tunnel/tcp4/new", ipip, flows));
    cases
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_cases_make_the_same_row() {
        for most_flows in [1 << 10, 1 << 22] {
            let mut seen = BTreeSet::new();
            for case in Case::all(most_flows).into_iter().chain(Case::masquerading(most_flows)) {
                assert!(case.flows.is_power_of_two() && case.flows <= most_flows, "{}", case.label());
                assert!(seen.insert((case.name.clone(), case.subject(), case.flows)), "{}", case.label());
            }
        }
    }
}
