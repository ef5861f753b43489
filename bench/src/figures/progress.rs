//! How far a long measurement has come: one line that is redrawn on a terminal, else a line every few seconds.
//! Refuses to write to standard output, which is for results.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// How often a line appears where nothing can be redrawn.
const PAUSE: Duration = Duration::from_secs(5);

/// A measurement under way. Dropping it ends its line.
#[derive(Debug)]
pub struct Progress {
    suite: &'static str,
    all: usize,
    done: usize,
    begun: Instant,
    told: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Of a suite with so many steps.
    pub fn new(suite: &'static str, all: usize) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { suite, all, done: 0, begun: Instant::now(), told: None, is_terminal }
    }

    /// The next step begins.
    pub fn step(&mut self, what: &str) {
        let (suite, all, done) = (self.suite, self.all, self.done);
        self.done += 1;
        let elapsed = self.begun.elapsed();
        let left = match u32::try_from(all.saturating_sub(done)) {
            Ok(left) if done > 0 => elapsed / u32::try_from(done).unwrap_or(u32::MAX) * left,
            _ => Duration::ZERO,
        };
        let line = format!("{suite}: {:>3} of {all}, {:>3} s to go: {what}", done + 1, left.as_secs());
        if self.is_terminal {
            // Nobody is told if standard error is closed.
            let _ = write!(io::stderr(), "\r{line}\x1b[K");
        } else if self.told.is_none_or(|told| told.elapsed() >= PAUSE) {
            self.told = Some(Instant::now());
            eprintln!("{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && self.done > 0 {
            eprintln!();
        }
    }
}
