//! The debug switch: verdicts of single packets, from the program's ring buffer into the log.

use std::time::Duration;

use anyhow::Context as _;
use aya_log::EbpfLogger;

use crate::dataplane::KernelDataplane;

/// How often the ring buffer is emptied. It is a switch for looking, not a path for data.
const INTERVAL: Duration = Duration::from_millis(100);

/// Brings what the program tells into the log from now on.
pub(super) fn log(kernel: &mut KernelDataplane) -> anyhow::Result<()> {
    let mut logger = EbpfLogger::init(kernel.ebpf_mut()).context("packets can't be logged")?;
    tracing::warn!("every packet is logged: this costs microseconds each");
    for verdict in lb_common::Verdict::ALL {
        tracing::info!("verdict {} is {}: {}", verdict.index(), verdict.label(), verdict.text());
    }
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(INTERVAL);
        loop {
            tick.tick().await;
            logger.flush();
        }
    });
    Ok(())
}
