//! Work that stays on one CPU: what moves meanwhile finds other caches.

use std::thread;

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Does something on a thread of its own that stays on the last CPU, which has less else to do than the first.
pub(crate) fn on_one<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            stay()?;
            work()
        });
        worker.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    })
}

/// Keeps the calling thread on the last CPU that it may use.
pub(crate) fn stay() -> anyhow::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu)).context("no CPU may be used")?;
    let mut one = CpuSet::new();
    one.set(last);
    Ok(sched_setaffinity(None, &one)?)
}
