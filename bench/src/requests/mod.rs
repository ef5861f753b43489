//! Suite `requests`: real clients and web servers, with nobody, lb, or another balancer between them.
//!
//! Requests and connections a second, how long the client waited, and the CPU time that a request takes on the
//! whole machine: what it takes more than without a balancer in the same round is what balancing costs.

mod client;
mod subject;

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};

use crate::{
    figures::{Key, Plan, Progress, Row},
    lab::OneArm,
};
use client::{Answer, Mode, ask};
use subject::{Balancers, Subject};

/// Connections that are open at a time.
const CONNECTIONS: u32 = 32;
/// Nobody between client and web server.
const WITHOUT: &str = "without";
/// Whose balancing others' is compared with.
const OURS: &str = "lb:rr";

/// Measures.
pub fn run(plan: Plan) -> anyhow::Result<Vec<Row>> {
    let lab = OneArm::new("requests", subject::REAL_SERVERS)?;
    let balancers = Balancers::start(&lab)?;
    let subjects = balancers.subjects();
    let modes = [Mode::KeepAlive, Mode::Close];
    // The first round fills caches, neighbour tables and the like, and doesn't count.
    let first = u32::from(plan.rounds == 1);
    let rounds = plan.rounds + 1 - first;
    let mut progress = Progress::new("requests", rounds as usize * modes.len() * subjects.len());
    let seconds = (plan.milliseconds / 1_000).max(1);
    let mut rows = Vec::new();
    for mode in modes {
        let mut figures = vec![Figures::default(); subjects.len()];
        for round in first..=plan.rounds {
            for (subject, figures) in subjects.iter().zip(&mut figures) {
                progress.step(&format!("{} {}", mode.case(), subject.name));
                let seconds = if round == 0 { 1 } else { seconds };
                let (answer, busy) = measure(&lab, subject, mode, seconds).with_context(|| subject.name)?;
                if round > 0 {
                    figures.add(&answer, busy);
                }
            }
        }
        rows.extend(rows_of(mode, &subjects, &figures)?);
    }
    Ok(rows)
}

/// What a subject's rounds had.
#[derive(Clone, Debug, Default)]
struct Figures {
    rate: Vec<f64>,
    half: Vec<f64>,
    late: Vec<f64>,
    busy: Vec<f64>,
}

impl Figures {
    fn add(&mut self, answer: &Answer, busy: Duration) {
        self.rate.push(answer.rate);
        self.half.push(answer.half * 1e6);
        self.late.push(answer.late * 1e6);
        self.busy.push(busy.as_secs_f64() * 1e6 / answer.requests);
    }

    /// Microseconds a request that a balancer took.
    fn balancing(&self, without: &Self) -> Vec<f64> {
        self.busy.iter().zip(&without.busy).map(|(busy, without)| busy - without).collect()
    }
}

fn measure(lab: &OneArm, subject: &Subject, mode: Mode, seconds: u32) -> anyhow::Result<(Answer, Duration)> {
    let before = busy()?;
    let answer = ask(&lab.client, &subject.addresses, mode, CONNECTIONS, seconds)?;
    let busy = busy()?.saturating_sub(before);
    ensure!(answer.requests > 0.0, "no request was answered");
    ensure!(
        answer.errors * 100.0 <= answer.requests,
        "{} errors with {} requests",
        answer.errors,
        answer.requests
    );
    Ok((answer, busy))
}

fn rows_of(mode: Mode, subjects: &[Subject], figures: &[Figures]) -> anyhow::Result<Vec<Row>> {
    let of = |name: &str| {
        let index = subjects.iter().position(|subject| subject.name == name);
        index.map(|index| &figures[index]).with_context(|| format!("{name} was not measured"))
    };
    let (without, ours) = (of(WITHOUT)?, of(OURS)?.balancing(of(WITHOUT)?));
    let mut rows = Vec::new();
    for (subject, figures) in subjects.iter().zip(figures) {
        let key = |what: &str, unit| Key {
            suite: "requests",
            case: format!("{}{what}", mode.case()),
            subject: subject.name.to_owned(),
            flows: CONNECTIONS.into(),
            unit,
        };
        let beside = |key, values, others| match subject.name {
            WITHOUT => Row::alone(key, values),
            _ => Row::beside(key, values, WITHOUT, others),
        };
        rows.push(beside(key("", mode.unit()), &figures.rate, &without.rate));
        rows.push(beside(key("/p50", "us"), &figures.half, &without.half));
        rows.push(beside(key("/p99", "us"), &figures.late, &without.late));
        rows.push(beside(key("/cpu", "us/request"), &figures.busy, &without.busy));
        let (key, balancing) = (key("/balancing", "us/request"), figures.balancing(without));
        match subject.name {
            WITHOUT => {}
            OURS => rows.push(Row::alone(key, &balancing)),
            _ => rows.push(Row::beside(key, &balancing, OURS, &ours)),
        }
    }
    // What belongs together stands together.
    rows.sort_by(|a, b| a.key.case.cmp(&b.key.case));
    Ok(rows)
}

/// How long all CPUs were busy since the machine began, whatever they did (`proc_stat(5)`): what a hypervisor has
/// given to others is not in it.
fn busy() -> anyhow::Result<Duration> {
    /// Ticks of /proc/stat in a second: `USER_HZ`, on all that Linux runs on today.
    const TICKS: u64 = 100;
    let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line =
        text.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat has no cpu")?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, interrupts, soft_interrupts, ..] = ticks[..] else {
        anyhow::bail!("/proc/stat says `{line}`");
    };
    Ok(Duration::from_millis((user + nice + system + interrupts + soft_interrupts) * 1_000 / TICKS))
}
