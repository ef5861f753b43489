//! The tools that only `lint` needs: cargo-deny and typos, in our own directory.
//!
//! Refuses to know what they check.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{debian, needs};
use crate::child;
use crate::workspace::Workspace;

/// The newest that builds with Rust 1.88 to 1.95.
const CARGO_DENY: &str = "0.20.2";
/// Its word list grows with every version: another version finds other words.
const TYPOS: &str = "1.52.0";

/// Where the tools are.
pub(crate) struct LintTools {
    /// The program `cargo-deny`.
    pub(crate) cargo_deny: PathBuf,
    /// The program `typos`.
    pub(crate) typos: PathBuf,
}

/// Finds the tools or installs them.
pub(crate) fn ready(workspace: &Workspace) -> Result<LintTools> {
    Ok(LintTools {
        cargo_deny: cargo_deny(workspace).context("cargo-deny is missing and can't be built")?,
        typos: typos(workspace).context("typos is missing and can't be installed")?,
    })
}

fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = find(workspace, "cargo-deny", CARGO_DENY) {
        return Ok(found);
    }
    cargo_install(workspace, "cargo-deny", CARGO_DENY, "some minutes")?;
    find(workspace, "cargo-deny", CARGO_DENY).context("it was built, but doesn't start")
}

/// From Python's packages, where it is a ready program; where that can't be, built from source.
fn typos(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = find(workspace, "typos", TYPOS) {
        return Ok(found);
    }
    if let Err(error) = typos_from_python(workspace) {
        eprintln!("{error:#}\ntypos can't be installed by pip: building it from source");
        cargo_install(workspace, "typos-cli", TYPOS, "some minutes")?;
    }
    find(workspace, "typos", TYPOS).context("it was installed, but doesn't start")
}

fn typos_from_python(workspace: &Workspace) -> Result<()> {
    let environment = workspace.tools().join("python");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&environment);
    // Only Debian's own Python lacks it, and a user's Python may come first in PATH: ask it, not the packages.
    let has_venv = Command::new("python3").args(["-c", "import ensurepip"]).output();
    if !has_venv.is_ok_and(|output| output.status.success()) {
        debian::install_missing(needs::PYTHON)?;
    }
    child::quiet("making a virtual environment of Python for typos", &mut create)?;
    child::quiet(
        &format!("installing typos {TYPOS}"),
        Command::new(environment.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"])
            .arg(format!("typos=={TYPOS}")),
    )
}

fn cargo_install(workspace: &Workspace, package: &str, version: &str, how_long: &str) -> Result<()> {
    child::quiet(
        &format!("building {package} {version}, {how_long}"),
        child::foreign("cargo")
            .args(["install", package, "--version", version, "--locked", "--force", "--root"])
            .arg(workspace.tools()),
    )
}

/// `name` of exactly that version: ours, or the user's own.
fn find(workspace: &Workspace, name: &str, version: &str) -> Option<PathBuf> {
    ["bin", "python/bin"]
        .iter()
        .map(|directory| workspace.tools().join(directory).join(name))
        .chain(child::find_all(name))
        .find(|candidate| has_version(candidate, version))
}

/// Programs answer `--version` by their name and version.
fn has_version(program: &Path, version: &str) -> bool {
    child::is_program(program)
        && Command::new(program).arg("--version").output().is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).split_whitespace().any(|word| word == version)
        })
}
