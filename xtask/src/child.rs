//! Starting other programs: with which environment, seen or unseen, and finding them first.
//!
//! Refuses to know what the programs are for.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// What `cargo run` and rustup's proxies export to us and would mislead another toolchain.
/// `LD_LIBRARY_PATH` is among them: cargo puts the libraries of its own rustc there.
const FOREIGN: [&str; 12] = [
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
];

/// The cargo that runs us, with the user's own environment: for everything that runs on the host.
pub(crate) fn cargo() -> Command {
    own(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program with our environment less what cargo says about the xtask package.
pub(crate) fn own(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let about_us = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name.starts_with("CARGO_BIN_")
        });
        if about_us {
            command.env_remove(name);
        }
    }
    command
}

/// A program that must not see which toolchain runs us: another toolchain's cargo, rustup, `cargo install`.
pub(crate) fn foreign(program: impl AsRef<OsStr>) -> Command {
    let mut command = own(program);
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
}

/// Runs `command` behind one line that says what and, when done, how long it took.
/// Its output is shown only if it fails.
pub(crate) fn quiet(what: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    eprint!("{what} ... ");
    io::stderr().flush().ok();
    let output = command.stdin(Stdio::null()).output();
    let Ok(output) = output else {
        eprintln!("failed");
        return output.map(drop).with_context(|| format!("can't start {}", command.get_program().display()));
    };
    let seconds = started.elapsed().as_secs_f32();
    if output.status.success() {
        eprintln!("{seconds:.1} s");
        return Ok(());
    }
    eprintln!("failed after {seconds:.1} s");
    io::stderr().write_all(&output.stdout).and_then(|()| io::stderr().write_all(&output.stderr)).ok();
    bail!("{what}: {} ended with {}", command.get_program().display(), output.status)
}

/// Runs `command` with its output shown; says whether it succeeded.
pub(crate) fn shown(command: &mut Command) -> Result<bool> {
    let status =
        command.status().with_context(|| format!("can't start {}", command.get_program().display()))?;
    Ok(status.success())
}

/// Becomes `command`: signals reach it and nobody else. Returns only if it can't start.
pub(crate) fn become_it(command: &mut Command) -> anyhow::Error {
    let error = command.exec();
    anyhow::Error::new(error).context(format!("can't start {}", command.get_program().display()))
}

/// The program `name` of PATH, or of the system's directories that a user's PATH may lack.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    find_all(name).into_iter().next()
}

/// Every program `name` of PATH, in its order; `name` may also be an absolute path.
pub(crate) fn find_all(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .filter(|candidate| is_program(candidate))
        .collect()
}

/// Whether there is a file here that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
