//! The end of a director: asked of its daemon, or done in its place when none is left.

use std::path::Path;

use anyhow::Context as _;

use super::control;
use crate::dataplane::remove_pins;
use crate::neighbour::{Keeping, Neighbours};
use crate::service_address;

/// What `lb stop` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The daemon did it, and said this.
    ByDaemon(String),
    /// There was no daemon; this is what was left of one.
    LeftOver(String),
    /// There was nothing.
    Nothing,
}

/// Ends the director with these pins: nothing of it is left.
pub async fn stop(pins: &Path) -> anyhow::Result<Stopped> {
    let asked = pins.to_path_buf();
    let answer = tokio::task::spawn_blocking(move || control::ask(&asked, "stop")).await?;
    match answer.context("the director can't be asked to stop")? {
        Some(answer) if answer.starts_with("stopped") => Ok(Stopped::ByDaemon(answer.trim_end().to_owned())),
        Some(answer) => anyhow::bail!("the director did not stop: {}", answer.trim_end()),
        None => {
            let was_there = pins.exists();
            let said = remove_all(pins).await?;
            Ok(if was_there { Stopped::LeftOver(said) } else { Stopped::Nothing })
        }
    }
}

/// Takes away links, tables, service addresses and managed neighbours; says what.
pub(super) async fn remove_all(pins: &Path) -> anyhow::Result<String> {
    let interfaces = if pins.exists() { remove_pins(pins)? } else { Vec::new() };
    let handle = service_address::open()?;
    let changes = service_address::remove_all(&handle).await?;
    for error in &changes.failed {
        tracing::warn!("{error}");
    }
    // The first look of a new follower releases what an old one has left.
    let (neighbours, _news) = Neighbours::start(Keeping::Managed)?;
    neighbours.watch([]);
    neighbours.stop().await?;
    let detached = if interfaces.is_empty() { "nothing".to_owned() } else { interfaces.join(", ") };
    Ok(format!("stopped: detached from {detached}, {} service addresses removed", changes.removed.len()))
}
