//! `cargo xtask build`: the eBPF object, then the programs of the host that include it.
//!
//! Refuses to know what is in the object.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cargo::{self, Built};
use crate::child;
use crate::setup::{self, Compiler};
use crate::workspace::Workspace;

/// Build the eBPF object (target/bpf/lb-ebpf) and the command lb.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Build lb with optimisation; the eBPF object always is
    #[arg(long)]
    release: bool,
}

/// How the host's programs are built. The eBPF object always is a release: unoptimised, the verifier refuses it.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// Runs the command.
pub(crate) fn command(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let compiler = setup::for_build(workspace)?;
    object(workspace, &compiler)?;
    let profile = if arguments.release { Profile::Release } else { Profile::Dev };
    let lb = programs(workspace, profile, &[("lb-user", "lb")])?.program("lb")?;
    eprintln!("built {} and {}", workspace.object().display(), lb.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the eBPF objects: the director's, the benchmark's harness and the lab's real server.
/// A file is replaced only when its content changed: what includes it is rebuilt otherwise.
pub(crate) fn object(workspace: &Workspace, compiler: &Compiler) -> Result<()> {
    // A directory of its own: another compiler's artifacts would push out the host's.
    let directory = workspace.target.join("bpf/build");
    let mut cargo = ebpf_cargo(workspace, compiler, "build");
    cargo.args(["--bin", "lb-ebpf", "--bin", "harness", "--bin", "real_server"]);
    ensure!(child::shown(&mut cargo)?, "the eBPF objects were not built: see above");
    let built = directory.join("bpfel-unknown-none/release");
    replace_if_changed(&built.join("lb-ebpf"), &workspace.object())?;
    // The bench's build looks for it beside the harness.
    let real_server = workspace.harness().with_file_name("real_server");
    replace_if_changed(&built.join("real_server"), &real_server)?;
    replace_if_changed(&built.join("harness"), &workspace.harness())
}

fn replace_if_changed(built: &Path, object: &Path) -> Result<()> {
    let content = fs::read(built).with_context(|| format!("reading {}", built.display()))?;
    if fs::read(object).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let new = object.with_extension("new");
    fs::write(&new, content)
        .and_then(|()| fs::rename(&new, object))
        .with_context(|| format!("writing {}", object.display()))
}

/// The eBPF compiler's cargo with a sub-command (`build`, `clippy`) for the crate lb-ebpf.
pub(crate) fn ebpf_cargo(
    workspace: &Workspace,
    compiler: &Compiler,
    subcommand: &str,
) -> std::process::Command {
    let mut cargo = compiler.cargo();
    cargo
        .args([subcommand, "--package", "lb-ebpf", "--release"])
        .args(["-Z", "build-std=core", "--target", "bpfel-unknown-none", "--target-dir"])
        .arg(workspace.target.join("bpf/build"))
        .arg("--manifest-path")
        .arg(workspace.root.join("Cargo.toml"));
    cargo
}

/// Builds programs of the host, given as (package, program), in one go.
pub(crate) fn programs(workspace: &Workspace, profile: Profile, wanted: &[(&str, &str)]) -> Result<Built> {
    let mut cargo = cargo::command(workspace, "build");
    for (package, program) in wanted {
        cargo.args(["--package", package, "--bin", program]);
    }
    if let Profile::Release = profile {
        cargo.arg("--release");
    }
    cargo::build(&mut cargo)
}

/// Everything optimised: the object, lb and the bench. Answers with the paths of lb and of the bench.
pub(crate) fn release_with_bench(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    let compiler = setup::for_run(workspace)?;
    object(workspace, &compiler)?;
    let built = programs(workspace, Profile::Release, &[("lb-user", "lb"), ("lb-bench", "lb-bench")])?;
    Ok((built.program("lb")?, built.program("lb-bench")?))
}
