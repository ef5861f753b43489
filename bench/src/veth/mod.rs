//! Suite `veth`: packets a second over the lab's wires, native XDP, all on one CPU.
//!
//! The frames are made in the kernel, by live-frames test runs of a generator, and counted where they come out.
//! In each round everybody takes a turn: a bare XDP_TX program, the director, the kernel's forwarding, and
//! nftables.

mod subject;
mod wire;

use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::{
    figures::{Key, Plan, Progress, Row},
    testrun::{Content, Tables, frame},
};
use subject::{Subject, subjects};
use wire::{Frames, Wire};

/// Who everybody is compared with.
const FLOOR: &str = "floor:tx";

/// One flow, and as many as a second-level cache holds.
const FLOWS: [u32; 2] = [1, 1 << 16];

/// Measures.
pub fn run(plan: Plan) -> anyhow::Result<Vec<Row>> {
    let wire = Wire::new()?;
    let flows: Vec<u32> = if plan.most < FLOWS[1] { vec![1, plan.most] } else { FLOWS.to_vec() };
    let mut subjects: Vec<(Subject, Vec<Vec<f64>>)> =
        subjects(&wire)?.into_iter().map(|subject| (subject, vec![Vec::new(); flows.len()])).collect();
    let mut progress = Progress::new("veth", plan.rounds as usize * subjects.len() * flows.len());
    for _ in 0..plan.rounds {
        for (index, &flows) in flows.iter().enumerate() {
            for (subject, values) in &mut subjects {
                progress.step(&format!("{} {} with {flows} flows", subject.case, subject.name));
                let rate = measure(&wire, subject, flows, plan)
                    .with_context(|| format!("{} by {} with {flows} flows", subject.case, subject.name))?;
                values[index].push(rate);
            }
        }
    }
    let floor: Vec<_> = subjects.iter().filter(|(subject, _)| subject.name == FLOOR).collect();
    let [(_, floors)] = floor[..] else { anyhow::bail!("one subject is to be {FLOOR}") };
    let mut rows = Vec::new();
    for (index, &flows) in flows.iter().enumerate() {
        for (subject, values) in &subjects {
            let key = Key {
                suite: "veth",
                case: subject.case.to_owned(),
                subject: subject.name.to_owned(),
                flows: flows.into(),
                unit: "packets/s",
            };
            rows.push(match subject.name {
                FLOOR => Row::alone(key, &values[index]),
                _ => Row::beside(key, &values[index], FLOOR, &floors[index]),
            });
        }
    }
    Ok(rows)
}

/// Packets a second that came out.
fn measure(wire: &Wire, subject: &mut Subject, flows: u32, plan: Plan) -> anyhow::Result<f64> {
    /// Frames are flushed from here to there within so long.
    const SETTLE: Duration = Duration::from_millis(20);

    let running = subject.start(wire)?;
    let target = subject.tables.as_ref().map_or(subject::TARGET, Tables::first_target);
    let mut frames = Frames::new(&frame(Content::Whole, &target, 0), flows)?;
    // Every flow twice: then it is established, wherever connections are known.
    let warm = (2 * flows).max(1 << 12);
    let first = wire.send(&mut frames, warm)?;
    std::thread::sleep(SETTLE);
    let second = wire.send(&mut frames, warm)?;
    let each = first.min(second).max(Duration::from_nanos(1));
    let wanted = Duration::from_millis(u64::from(plan.milliseconds) / 4).as_nanos() / each.as_nanos();
    let count = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(warm, 1 << 26);

    std::thread::sleep(SETTLE);
    let (counted, met) = (subject.arrived(wire)?, subject.met());
    let each = wire.send(&mut frames, count)?;
    std::thread::sleep(SETTLE);
    let arrived = subject.arrived(wire)? - counted;
    let met = subject.met().zip(met).map(|(after, before)| after - before);
    drop(running);
    subject.stop(wire)?;
    ensure!(arrived > 0 && arrived <= u64::from(count), "{arrived} of {count} frames came out");
    ensure!(arrived * 10 >= u64::from(count) * 9, "only {arrived} of {count} frames came out");
    // What the director says that it has forwarded is what came out.
    if let Some(met) = met {
        ensure!(met >= arrived, "{arrived} frames came out, and {met} were forwarded");
    }
    let elapsed = each.as_secs_f64() * f64::from(count);
    Ok(arrived as f64 / elapsed)
}
