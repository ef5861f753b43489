//! bpf-linker: finding one that was built with a given LLVM, or building it.
//!
//! Refuses to use one whose LLVM isn't known: it would misread the compiler's bitcode, or crash on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{debian, needs};
use crate::child;
use crate::workspace::Workspace;

/// The version that this project is built and tested with.
pub(crate) const VERSION: &str = "0.13.0";

/// A linker of our version that was built with `llvm`: the one that the user names, ours, or one in PATH.
pub(crate) fn find(workspace: &Workspace, llvm: u32) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("LB_BPF_LINKER") {
        return Some(PathBuf::from(named));
    }
    let ours = workspace.tools().join("bin/bpf-linker");
    std::iter::once(ours).chain(child::find_all("bpf-linker")).find(|candidate| {
        child::is_program(candidate) && was_built_with(candidate, llvm) && starts(candidate)
    })
}

/// Whether that LLVM is here or can be had.
pub(crate) fn can_build(llvm: u32) -> Result<bool> {
    Ok(has_llvm(llvm) || (debian::may_install() && debian::offers(&package(llvm))?))
}

/// Builds a linker into our tools.
pub(crate) fn build(workspace: &Workspace, llvm: u32) -> Result<PathBuf> {
    debian::install_missing(needs::LINKER)?;
    if !has_llvm(llvm) {
        debian::install(&[&package(llvm)])?;
    }
    child::quiet(
        &format!("building bpf-linker {VERSION} with LLVM {llvm}, about a minute"),
        child::foreign("cargo")
            .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force"])
            .args(["--no-default-features", "--features", &feature(llvm), "--root"])
            .arg(workspace.tools())
            .env("LLVM_PREFIX", prefix(llvm))
            .env(format!("LLVM_SYS_{llvm}1_PREFIX"), prefix(llvm)),
    )?;
    find(workspace, llvm).context("bpf-linker was built, but doesn't start")
}

/// Where Debian puts an LLVM.
fn prefix(llvm: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{llvm}"))
}

/// Its runtime alone makes the directory, too: only the headers say that it can be built with.
fn has_llvm(llvm: u32) -> bool {
    prefix(llvm).join("include/llvm-c").exists()
}

fn package(llvm: u32) -> String {
    format!("llvm-{llvm}-dev")
}

fn feature(llvm: u32) -> String {
    format!("llvm-{llvm}")
}

/// Cargo records beside `bin/` with which features it installed a program.
fn was_built_with(linker: &Path, llvm: u32) -> bool {
    linker
        .parent()
        .and_then(Path::parent)
        .and_then(|root| fs::read(root.join(".crates2.json")).ok())
        .and_then(|text| serde_json::from_slice(&text).ok())
        .is_some_and(|record| record_names(&record, llvm))
}

fn record_names(record: &Value, llvm: u32) -> bool {
    let Some(installs) = record["installs"].as_object() else { return false };
    let wanted = format!("bpf-linker {VERSION} ");
    installs.iter().filter(|(package, _)| package.starts_with(&wanted)).any(|(_, install)| {
        install["features"]
            .as_array()
            .is_some_and(|features| features.iter().any(|name| name.as_str() == Some(&feature(llvm))))
    })
}

/// It doesn't, once its LLVM was removed.
fn starts(linker: &Path) -> bool {
    Command::new(linker).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::record_names;

    #[test]
    fn a_linker_counts_only_with_our_version_and_the_right_llvm() {
        let record = |package: &str, feature: &str| json!({"installs": {package: {"features": [feature]}}});
        assert!(record_names(&record("bpf-linker 0.13.0 (registry)", "llvm-22"), 22));
        assert!(!record_names(&record("bpf-linker 0.13.0 (registry)", "llvm-22"), 23));
        assert!(!record_names(&record("bpf-linker 0.12.0 (registry)", "llvm-22"), 22));
        assert!(!record_names(&json!({}), 22));
    }
}
