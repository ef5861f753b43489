//! `cargo xtask run`: the director, in the lab or on a real interface.
//!
//! Refuses to know what a lab is: lb-bench makes it.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use crate::workspace::Workspace;
use crate::{build, child, setup};

/// Build everything and run a director: in a lab on this machine, or on an interface.
///
/// Without --iface among ARGS, a lab of network namespaces (client, director, real servers) is built, shown at work and
/// taken down again; ARGS go to it.
///
/// With --iface, `lb run ARGS` runs on that interface: cargo xtask run -- --iface eth0 --config lb.toml
#[derive(Args)]
pub(crate) struct Arguments {
    /// Show the lab at work once and end, instead of running until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Tell what happens in the lab as JSON
    #[arg(long)]
    json: bool,
    /// For the lab, or for `lb run` where --iface is among them
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// Runs the command: becomes lb or the lab, so that signals reach it.
pub(crate) fn command(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    if !names_an_interface(&arguments.args) {
        let (lb, bench) = build::release_with_bench(workspace)?;
        let mut lab = child::own(bench);
        lab.env("LB_BIN", lb).env("LB_EBPF_OBJECT", workspace.object()).arg("lab");
        lab.args(arguments.once.then_some("--once")).args(arguments.json.then_some("--json"));
        return Err(child::become_it(lab.args(&arguments.args)));
    }
    ensure!(
        !arguments.once && !arguments.json,
        "--once and --json belong to the lab; with --iface, `lb run` runs until it is stopped"
    );
    let compiler = setup::for_build(workspace)?;
    build::object(workspace, &compiler)?;
    let lb = build::programs(workspace, build::Profile::Release, &[("lb-user", "lb")])?.program("lb")?;
    Err(child::become_it(child::own(lb).arg("run").args(&arguments.args)))
}

fn names_an_interface(args: &[OsString]) -> bool {
    args.iter().any(|arg| arg == "--iface" || arg.to_string_lossy().starts_with("--iface="))
}

#[cfg(test)]
mod tests {
    use super::names_an_interface;

    #[test]
    fn an_interface_is_found_in_either_spelling() {
        assert!(names_an_interface(&["--iface".into(), "eth0".into()]));
        assert!(names_an_interface(&["--config".into(), "a".into(), "--iface=eth0".into()]));
        assert!(!names_an_interface(&["--interfaces".into()]));
    }
}
