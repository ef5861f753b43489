//! A whole daemon in the lab: its start, its reload, and how long a dead real server is still asked.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, ensure};

use super::{SERVICES, row};
use crate::{
    figures::{Key, Plan, Progress, Row},
    lab::{Director, OneArm},
};

/// How often a check asks, in milliseconds; as many may pass until it is answered, twice in a row.
const CHECK: u32 = 200;
/// So long without a refused connection, and the dead one is asked no more.
const CALM: Duration = Duration::from_secs(2);

pub(super) fn run(plan: Plan) -> anyhow::Result<Vec<Row>> {
    let services: Vec<u32> = SERVICES.into_iter().filter(|&services| services <= plan.most).collect();
    let mut progress = Progress::new("control", plan.rounds as usize + services.len());
    let mut rows = Vec::new();
    for services in services {
        progress.step(&format!("a daemon with {services} services"));
        rows.extend(reloads(services, plan.rounds)?);
    }
    rows.push(death(plan.rounds, &mut progress)?);
    Ok(rows)
}

fn milliseconds(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1e3
}

/// So many services on one address. `first` is the weight of the first real server of the first service,
/// `others` that of all other services'.
fn config(services: u32, first: u32, others: u32) -> String {
    let (destinations, slots) = (services * 6, services * 96);
    let mut text = format!(
        "[director]\ninterfaces = [\"eth0\"]\n[tables]\nflows = 10000\nservices = {}\n\
         destinations = {destinations}\nring_slots = {slots}\n",
        services + 1
    );
    for port in 1..=services {
        let weight = if port == 1 { first } else { others };
        let _infallible = write!(
            text,
            "[[virtual_service]]\nprotocol = \"tcp\"\naddress = \"10.0.0.50:{port}\"\nscheduler = \"wrr\"\n\
             real_server = [{{ address = \"10.0.0.11\", weight = {weight} }}, {{ address = \"10.0.0.12\" }}, \
             {{ address = \"10.0.0.13\" }}]\n"
        );
    }
    text
}

/// From start to ready, and from the signal to the word that all is as the file has it.
fn reloads(services: u32, rounds: u32) -> anyhow::Result<Vec<Row>> {
    let lab = OneArm::new("control", 3)?;
    let begun = Instant::now();
    let mut director = lab.director.director(&config(services, 1, 1))?;
    // No finer than the log is looked at, which is every five milliseconds.
    let started = milliseconds(begun.elapsed());
    let (mut one, mut all) = (Vec::new(), Vec::new());
    let mut weights = (1, 1);
    for _ in 0..rounds {
        weights.0 = 3 - weights.0;
        one.push(reload(&mut director, &config(services, weights.0, weights.1))?);
        weights = (3 - weights.0, 3 - weights.1);
        all.push(reload(&mut director, &config(services, weights.0, weights.1))?);
    }
    let resident = resident(director.daemon().pid())?;
    let key = Key {
        suite: "memory",
        case: format!("daemon/services-{services}"),
        subject: "lb".into(),
        flows: 0,
        unit: "bytes",
    };
    let name = |what: &str| format!("daemon/{what}/services-{services}");
    Ok(vec![
        row(&name("start"), &[started]),
        row(&name("reload-one"), &one),
        row(&name("reload-all"), &all),
        Row::alone(key, &[resident]),
    ])
}

fn reload(director: &mut Director<'_>, config: &str) -> anyhow::Result<f64> {
    let begun = SystemTime::now();
    let said = director.reload(config)?;
    ensure!(!said.contains("not reloaded"), "{said}");
    // By the daemon's own clock: the log is looked at every five milliseconds only.
    let time = said.split_whitespace().next().unwrap_or_default();
    let done =
        humantime::parse_rfc3339(time).with_context(|| format!("no time in the log's line `{said}`"))?;
    Ok(milliseconds(done.duration_since(begun).unwrap_or_default()))
}

/// What a process holds in memory, in bytes (`VmRSS` of `proc_pid_status(5)`). Tables that it has mapped are in
/// it as far as it has touched them.
fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1_024.0)
}

/// From the death of a real server's program to the last connection that was sent there.
///
/// Its host lives, so that a connection is refused, and the client sees at once where it was sent.
fn death(rounds: u32, progress: &mut Progress) -> anyhow::Result<Row> {
    let lab = OneArm::new("control", 2)?;
    let [dying, living] = &lab.real_servers[..] else { anyhow::bail!("two real servers were asked for") };
    let _lives = living.http_server(80, "rs2")?;
    let mut dies = Some(dying.http_server(80, "rs1")?);
    let config = format!(
        "[director]\ninterfaces = [\"eth0\"]\n[[virtual_service]]\nprotocol = \"tcp\"\n\
         address = \"10.0.0.50:80\"\nscheduler = \"rr\"\n\
         check = {{ type = \"tcp\", interval = \"{CHECK}ms\", timeout = \"{CHECK}ms\", rise = 1, fall = 2 }}\n\
         real_server = [{{ address = \"10.0.0.11\" }}, {{ address = \"10.0.0.12\" }}]\n"
    );
    let _director = lab.director.director(&config)?;
    let service = SocketAddr::from((OneArm::SERVICE_V4, 80));
    let mut values = Vec::new();
    for _ in 0..rounds {
        progress.step("a real server's death");
        // Until it is asked again: a connection of each round.
        await_both(&lab, dying)?;
        let is_over = AtomicBool::new(false);
        let (died, refused) = thread::scope(|scope| -> anyhow::Result<_> {
            let asking = scope.spawn(|| lab.client.within(|| ask(service, &is_over)));
            // The client is under way before anybody dies.
            thread::sleep(Duration::from_millis(100));
            let died = Instant::now();
            let killed = dies.take().map_or(Ok(()), |mut server| server.kill());
            thread::sleep(CALM);
            is_over.store(true, Ordering::Relaxed);
            let refused = asking.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
            killed?;
            Ok((died, refused))
        })?;
        let last = refused.context("no connection was refused: the dead real server was never asked")?;
        values.push(milliseconds(last.saturating_duration_since(died)));
        dies = Some(dying.http_server(80, "rs1")?);
    }
    Ok(row(&format!("death/check-{CHECK}ms-fall-2"), &values))
}

/// Opens connections until it is told to end; when the last one was refused.
fn ask(service: SocketAddr, is_over: &AtomicBool) -> Option<Instant> {
    let mut refused = None;
    while !is_over.load(Ordering::Relaxed) {
        if TcpStream::connect_timeout(&service, Duration::from_millis(500)).is_err() {
            refused = Some(Instant::now());
        }
        thread::sleep(Duration::from_millis(1));
    }
    refused
}

/// Waits until both real servers answer.
fn await_both(lab: &OneArm, dying: &crate::lab::Host) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let answers = lab.client.curl("http://10.0.0.50/", 8)?;
        if answers.failed() == 0 && answers.tally().contains_key(dying.short_name()) {
            return Ok(());
        }
    }
    anyhow::bail!("{} was not taken in again", dying.short_name())
}
