//! Miri on lb-common: the code that runs in the kernel, interpreted and checked for undefined behaviour.
//!
//! Refuses to install Miri: it comes with rustup's nightly or not at all.

use anyhow::Result;

use super::suites::{Surroundings, run_one};
use super::tally::Tally;
use crate::{child, setup};

/// Runs lb-common's tests under Miri, or says why it can't.
pub(super) fn run(surroundings: &Surroundings<'_>, tally: &mut Tally) -> Result<()> {
    const NAME: &str = "Miri on lb-common";
    let parts = ["cargo", "cargo-miri", "miri"].map(setup::rustup_program);
    let [Some(cargo), Some(cargo_miri), Some(_)] = parts else {
        tally.skipped(NAME, "needs rustup's nightly with miri (rustup +nightly component add miri rust-src)");
        return Ok(());
    };
    let mut command = child::foreign(cargo_miri);
    command
        .args([
            "miri",
            "test",
            "--package",
            "lb-common",
            "--features",
            "host",
            "--lib",
            "--tests",
            "--manifest-path",
        ])
        .arg(surroundings.workspace.root.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(surroundings.workspace.target.join("miri"))
        .arg("--")
        .env("CARGO", cargo)
        .env("RUSTUP_TOOLCHAIN", "nightly")
        // The file of skipped tests and proptest's files are outside.
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        // Interpreted, a case takes a thousand times as long.
        .env("PROPTEST_CASES", "4");
    run_one(surroundings, NAME, &mut command, tally)
}
