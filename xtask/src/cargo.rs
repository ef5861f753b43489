//! Building host programs with cargo and reading from its messages what came out and what failed.
//!
//! Refuses to know what the programs do.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::child;
use crate::workspace::Workspace;

/// What one call of cargo built.
#[derive(Default)]
pub(crate) struct Built {
    /// The programs, in cargo's order.
    pub(crate) executables: Vec<Executable>,
    /// What did not compile: `lb-user (test reload)`.
    pub(crate) failed: Vec<String>,
}

/// A program that cargo built.
pub(crate) struct Executable {
    /// The program itself.
    pub(crate) path: PathBuf,
    /// The directory of its package, where tests expect to be run.
    pub(crate) directory: PathBuf,
    /// The package's name.
    pub(crate) package: String,
    /// `lib`, `bin lb`, `test reload`.
    pub(crate) target: String,
    /// Whether it is a test program rather than the program itself.
    pub(crate) is_test: bool,
}

impl Built {
    /// The program `name`, or an error that repeats what failed.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        if !self.failed.is_empty() {
            bail!("{name} was not built: {} failed to compile", self.failed.join(", "));
        }
        self.executables
            .iter()
            .find(|built| !built.is_test && built.target == format!("bin {name}"))
            .map(|built| built.path.clone())
            .with_context(|| format!("cargo built no program {name}"))
    }
}

/// The host's cargo, set for this workspace: the eBPF object is part of the build.
pub(crate) fn command(workspace: &Workspace, subcommand: &str) -> Command {
    let mut command = child::cargo();
    command.arg(subcommand).arg("--manifest-path").arg(workspace.root.join("Cargo.toml"));
    command.env("LB_EBPF_OBJECT", workspace.object()).env("LB_HARNESS_OBJECT", workspace.harness());
    command
}

/// Runs a cargo `build`, whose messages it shows, to the end.
/// A failure to compile is no error here: it is in the answer.
pub(crate) fn build(command: &mut Command) -> Result<Built> {
    let colour = if io::stderr().is_terminal() { "json-diagnostic-rendered-ansi" } else { "json" };
    let mut cargo = command
        .arg(format!("--message-format={colour}"))
        .stdout(Stdio::piped())
        .spawn()
        .context("can't start cargo")?;
    let mut built = Built::default();
    if let Some(stdout) = cargo.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.context("reading cargo's messages")?;
            if let Ok(message) = serde_json::from_str(&line) {
                note(&message, &mut built);
            }
        }
    }
    let status = cargo.wait().context("waiting for cargo")?;
    if !status.success() && built.failed.is_empty() {
        bail!("cargo ended with {status}; what it says is above");
    }
    Ok(built)
}

fn note(message: &Value, built: &mut Built) {
    match message["reason"].as_str() {
        Some("compiler-artifact") => {
            if let Some(path) = message["executable"].as_str() {
                let directory = package_directory(message);
                let (package, target) = (package_name(message), target_name(message));
                let is_test = message["profile"]["test"] == true;
                built.executables.push(Executable { path: path.into(), directory, package, target, is_test });
            }
        }
        Some("compiler-message") => {
            if let Some(rendered) = message["message"]["rendered"].as_str() {
                io::stderr().write_all(rendered.as_bytes()).ok();
            }
            let name = format!("{} ({})", package_name(message), target_name(message));
            if message["message"]["level"] == "error" && !built.failed.contains(&name) {
                built.failed.push(name);
            }
        }
        _ => {}
    }
}

fn package_directory(message: &Value) -> PathBuf {
    message["manifest_path"]
        .as_str()
        .and_then(|manifest| Path::new(manifest).parent())
        .map_or_else(PathBuf::new, Path::to_owned)
}

/// `lb-user` of `path+file:///src/lb-user#0.1.0` and of `path+file:///src/bench#lb-bench@0.1.0`.
fn package_name(message: &Value) -> String {
    let id = message["package_id"].as_str().unwrap_or_default();
    let (place, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => place.rsplit('/').next().unwrap_or(place).to_owned(),
    }
}

fn target_name(message: &Value) -> String {
    let target = &message["target"];
    match (target["kind"][0].as_str().unwrap_or("lib"), target["name"].as_str().unwrap_or_default()) {
        ("custom-build", _) => "build script".to_owned(),
        (kind @ ("bin" | "test" | "example" | "bench"), name) => format!("{kind} {name}"),
        _ => "lib".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Built, note};

    #[test]
    fn programs_and_failures_are_read_from_messages() {
        let mut built = Built::default();
        note(
            &json!({"reason": "compiler-artifact", "package_id": "path+file:///w/lb-user#0.1.0",
                "manifest_path": "/w/lb-user/Cargo.toml",
                "target": {"kind": ["bin"], "name": "lb"}, "executable": "/w/target/debug/lb"}),
            &mut built,
        );
        let error = json!({"reason": "compiler-message", "package_id": "path+file:///w/bench#lb-bench@0.1.0",
            "target": {"kind": ["test"], "name": "lab"}, "message": {"level": "error", "rendered": ""}});
        note(&error, &mut built);
        note(&error, &mut built);
        let lb = &built.executables[0];
        assert_eq!((lb.package.as_str(), lb.target.as_str()), ("lb-user", "bin lb"));
        assert_eq!(lb.directory.to_str(), Some("/w/lb-user"));
        assert_eq!(built.failed, ["lb-bench (test lab)"]);
        assert!(built.program("lb").is_err(), "a half build gives no program");
    }
}
