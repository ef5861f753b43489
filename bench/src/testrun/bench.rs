//! One round of one case: the tables made ready, then the case and its floor in turns.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use aya::programs::{ProgramFd, ProgramInfo};
use lb_common::{
    verdict::{Action, Verdict},
    wire::{Family, State as FlowState},
};

use lb_user::dataplane::VerdictCounts;

use super::{
    cases::{Case, State, Subject},
    frame::{ACK, CLIENT, CROWD, Content, SYN, Target, frame},
    harness::{Floor, Harness, Visit},
    tables::{Tables, check},
};
use crate::figures::{Key, Row};

/// How often case and floor take turns in one round. Each costs the kernel some milliseconds of waiting.
const TURNS: u32 = 4;

/// So many clients that none comes twice: 2^20 addresses with 2^10 ports each.
const CROWD_FLOWS: u32 = 1 << 30;

/// What the rounds of a case took, and the same rounds of its floor: nanoseconds a packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    case: Vec<f64>,
    floor: Vec<f64>,
}

impl Figures {
    pub(super) fn row(&self, suite: &'static str, case: &Case) -> Row {
        let key = Key {
            suite,
            case: case.name.clone(),
            subject: case.subject(),
            flows: case.flows.into(),
            unit: "ns/packet",
        };
        match case.floor() {
            Some(floor) => Row::beside(key, &self.case, floor.subject(), &self.floor),
            None => Row::alone(key, &self.case),
        }
    }
}

/// The harness with the floors, ready to run.
pub(super) struct Bench {
    harness: Harness,
    floors: Vec<(Floor, ProgramFd)>,
    peer: Option<ProgramFd>,
}

impl Bench {
    /// `peer` is where somebody else's program is pinned.
    pub(super) fn new(peer: Option<&Path>) -> anyhow::Result<Self> {
        let mut harness = Harness::new()?;
        let floors = Floor::ALL.into_iter().map(|floor| Ok((floor, harness.floor(floor)?)));
        let floors = floors.collect::<anyhow::Result<_>>()?;
        let pinned = |path: &Path| -> anyhow::Result<_> {
            let program = ProgramInfo::from_pin(path);
            let program = program.with_context(|| format!("{} is no pinned program", path.display()))?;
            Ok(program.fd()?)
        };
        Ok(Self { harness, floors, peer: peer.map(pinned).transpose()? })
    }

    /// Measures a case over so many packets.
    pub(super) fn round(
        &mut self,
        case: &Case,
        tables: &mut Tables,
        packets: u32,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let program = match case.subject {
            Subject::Floor(floor) => self.program(floor)?.try_clone()?,
            Subject::Director => tables.program()?,
            Subject::Peer => self.peer.as_ref().context("there is no peer")?.try_clone()?,
        };
        let mut round = Round::new(case, tables);
        // A table that was empty is filled once by as many packets as there are flows.
        let is_fresh = case.state == State::Fresh;
        let each = if is_fresh { case.flows } else { packets / TURNS };
        for turn in 0..TURNS {
            let is_first = turn == 0 || is_fresh;
            if is_first && case.state != State::Nothing {
                self.harness.test(&program)?;
                match case.subject {
                    Subject::Floor(_) => {}
                    Subject::Director => self.prepare(&mut round, tables)?,
                    Subject::Peer => self.establish(&round)?,
                }
            }
            let before = tables.counts();
            // Whoever begins has what the other one has left in the caches.
            for is_case in if turn % 2 == 0 { [true, false] } else { [false, true] } {
                self.turn(&mut round, is_case, &program, each)?;
            }
            if case.subject == Subject::Director {
                fate(case, &before, &tables.counts(), u64::from(each))?;
            }
        }
        let measured = f64::from(each) * f64::from(TURNS);
        figures.case.push(round.case_time.as_secs_f64() * 1e9 / measured);
        figures.floor.push(round.floor_time.as_secs_f64() * 1e9 / measured);
        Ok(())
    }

    /// Some packets to the case's program, or to its floor.
    fn turn(
        &mut self,
        round: &mut Round<'_>,
        is_case: bool,
        program: &ProgramFd,
        packets: u32,
    ) -> anyhow::Result<()> {
        if is_case {
            self.harness.test(program)?;
            let action = action(round.case);
            round.case_time += self.harness.run(&round.frame, &mut round.case_visit, packets, action)?;
        } else if let Some(floor) = round.case.floor() {
            let program = self.program(floor)?.try_clone()?;
            self.harness.test(&program)?;
            let action = Some(floor_action(floor));
            round.floor_time += self.harness.run(&round.frame, &mut round.floor_visit, packets, action)?;
        }
        Ok(())
    }

    fn program(&self, floor: Floor) -> anyhow::Result<&ProgramFd> {
        let found = self.floors.iter().find(|(there, _)| *there == floor);
        found.map(|(_, program)| program).context("no such floor")
    }

    /// Fills the flow table as the case wants it.
    fn prepare(&mut self, round: &mut Round<'_>, tables: &mut Tables) -> anyhow::Result<()> {
        let case = round.case;
        tables.clear()?;
        if case.state == State::Fresh {
            (round.case_visit.next, round.floor_visit.next) = (0, 0);
            return Ok(());
        }
        let connections = tables.connections();
        let action = action(case);
        if case.state == State::Fragment {
            let first = frame(Content::FirstFragment, &round.target, SYN);
            self.harness.run(&first, &mut round.visit(1, CLIENT), 1, action)?;
            return Ok(());
        }
        self.establish(round)?;
        let opened = tables.connections() - connections;
        ensure!(opened == u64::from(case.flows), "{opened} flows were entered");
        if case.state == State::Flooded {
            // One and a half times what the table holds: lines fill up by chance.
            let crowd = tables.slots() + tables.slots() / 2;
            self.harness.run(&round.frame, &mut round.case_visit, crowd, action)?;
        }
        Ok(())
    }

    /// Opens all flows of a round.
    fn establish(&mut self, round: &Round<'_>) -> anyhow::Result<()> {
        let flows = round.case.flows;
        // In both passes the same flows, each once.
        for flags in [SYN, ACK] {
            let frame = frame(Content::Whole, &round.target, flags);
            self.harness.run(&frame, &mut round.visit(flows, CLIENT), flows, action(round.case))?;
        }
        Ok(())
    }
}

/// Fails unless so many packets met the fate that the case says.
fn fate(case: &Case, before: &VerdictCounts, after: &VerdictCounts, packets: u64) -> anyhow::Result<()> {
    check(before, after, case.verdict, packets)?;
    let syn = FlowState::SynReceived as usize;
    let evicted = after.evictions[syn] - before.evictions[syn];
    let is_full = case.state == State::Flooded;
    ensure!(is_full || evicted == 0, "{evicted} connections were evicted");
    // A place that has just expired is taken without an eviction.
    ensure!(!is_full || evicted * 10 >= packets * 9, "{evicted} of {packets} have evicted another one");
    Ok(())
}

struct Round<'a> {
    case: &'a Case,
    target: Target,
    frame: Vec<u8>,
    case_visit: Visit,
    floor_visit: Visit,
    case_time: Duration,
    floor_time: Duration,
}

impl<'a> Round<'a> {
    fn new(case: &'a Case, tables: &Tables) -> Self {
        let target = tables.target(&case.service);
        let mut to = target;
        if case.is_elsewhere {
            (to.address[2], to.address[3], to.address[15]) = (99, 99, 99);
        }
        if case.is_near {
            to.port += 1;
        }
        let opens =
            matches!(case.state, State::Fresh | State::Flooded) || case.verdict == Verdict::NoDestination;
        let mut round = Self {
            case,
            target,
            frame: frame(case.content, &to, if opens { SYN } else { ACK }),
            case_visit: Visit { flows: 1, next: 0, first: CLIENT, is_v6: false, is_reply: false, moves: 0 },
            floor_visit: Visit { flows: 1, next: 0, first: CLIENT, is_v6: false, is_reply: false, moves: 0 },
            case_time: Duration::ZERO,
            floor_time: Duration::ZERO,
        };
        let mut visit = match case.state {
            State::Flooded => round.visit(CROWD_FLOWS, CROWD),
            _ => round.visit(case.flows, CLIENT),
        };
        visit.is_reply = case.content == Content::Reply;
        (round.case_visit, round.floor_visit) = (visit, visit);
        round
    }

    fn visit(&self, flows: u32, first: [u8; 4]) -> Visit {
        let is_v6 = self.case.service.family == Family::V6;
        Visit { flows, next: 0, first, is_v6, is_reply: false, moves: self.case.moves }
    }
}

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

/// What the last packet of a run gets; nothing where it may be one of those that are answered, or not.
fn action(case: &Case) -> Option<u32> {
    match case.subject {
        Subject::Floor(floor) => Some(floor_action(floor)),
        // It may do what it likes.
        Subject::Peer => None,
        Subject::Director => match case.verdict.action() {
            Action::Forward => Some(XDP_TX),
            Action::Pass => Some(XDP_PASS),
            Action::Drop => None,
        },
    }
}

const fn floor_action(floor: Floor) -> u32 {
    match floor {
        Floor::Tx | Floor::Swap | Floor::Grow => XDP_TX,
        Floor::Pass => XDP_PASS,
        Floor::Drop => XDP_DROP,
    }
}
