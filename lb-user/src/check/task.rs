//! One check: waits, probes, counts, tells; until it is no longer wanted or nobody listens.
//! It refuses to know other checks.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::probe::Outcome;
use super::rise::Rise;
use super::{CheckId, Event, Health, pace};
use crate::model::{Check, CheckKind};

/// Runs a check by what `checks` holds now, and until its sender is gone.
pub(super) async fn run<F: Future<Output = Outcome>>(
    id: CheckId,
    initial: Option<Health>,
    mut checks: watch::Receiver<Check>,
    events: mpsc::UnboundedSender<Event>,
    probe: impl Fn(SocketAddr, Duration) -> F,
) {
    let mut rise = Rise::new(initial);
    loop {
        let check = *checks.borrow_and_update();
        tokio::select! {
            biased;
            // A probe that is under way is dropped: it asks what is no longer wanted.
            changed = checks.changed() => if changed.is_err() {
                return;
            },
            () = run_unchanged(&id, &check, &mut rise, &events, &probe) => return,
        }
        rise.forget_row();
    }
}

async fn run_unchanged<F: Future<Output = Outcome>>(
    id: &CheckId,
    check: &Check,
    rise: &mut Rise,
    events: &mpsc::UnboundedSender<Event>,
    probe: impl Fn(SocketAddr, Duration) -> F,
) {
    let CheckKind::Tcp { port } = check.kind;
    let target = SocketAddr::new(id.address, port.unwrap_or(id.port));
    let mut due = Instant::now() + pace::first(check.interval);
    let mut could_ask = true;
    loop {
        sleep_until(due).await;
        due = Instant::now() + pace::next(check.interval);
        let (passed, why) = match probe(target, check.timeout).await {
            Outcome::Passed => (true, None),
            Outcome::Failed(why) => (false, Some(why)),
            Outcome::NotAsked(error) => {
                // Once, and not at every interval.
                if could_ask {
                    tracing::warn!(
                        service = %id.service,
                        real_server = %target,
                        "could not be checked by a fault of this host, which counts neither way: {error}"
                    );
                }
                could_ask = false;
                continue;
            }
        };
        could_ask = true;
        if let Some(health) = rise.take(passed, check.rise, check.fall)
            && events.send(Event { id: *id, health, why }).is_err()
        {
            return;
        }
    }
}
