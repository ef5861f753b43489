//! A compiler for eBPF: rustup's nightly with rust-src, else Debian's own with its library's source.
//!
//! The target has no precompiled core, so the library's source and unstable options are needed.
//! Refuses to know what is compiled.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{debian, linker, needs};
use crate::child;
use crate::workspace::Workspace;

/// The LLVM versions that our bpf-linker can be built with.
const LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// From this LLVM on, eBPF may be compiled with loads and stores that aren't aligned.
const LLVM_WITH_MISALIGNED_ACCESS: u32 = 22;

/// A Rust compiler that can build for eBPF, and the linker that goes with it.
pub(crate) struct Compiler {
    toolchain: Toolchain,
    linker: PathBuf,
}

/// Where a toolchain comes from: what is done when a part is missing differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Rustup,
    Debian,
}

struct Toolchain {
    origin: Origin,
    /// The directory of its rustc and cargo.
    programs: PathBuf,
    /// LLVM's major version, which bpf-linker must share: it reads this rustc's bitcode.
    llvm: u32,
    /// `rustc 1.96.0 (..)`, for people.
    version: String,
}

/// Finds a compiler with its linker, or installs them.
pub(crate) fn ready(workspace: &Workspace) -> Result<Compiler> {
    let mut found: Vec<Toolchain> = [nightly(), debian_own()].into_iter().flatten().collect();
    if let Some((index, linker)) = found
        .iter()
        .enumerate()
        .find_map(|(index, toolchain)| Some((index, linker::find(workspace, toolchain.llvm)?)))
    {
        return Ok(Compiler { toolchain: found.swap_remove(index), linker });
    }
    for toolchain in found {
        if linker::can_build(toolchain.llvm)? {
            let linker = linker::build(workspace, toolchain.llvm)?;
            return Ok(Compiler { toolchain, linker });
        }
    }
    if !debian::may_install() {
        bail!(
            "no compiler for eBPF here, and it can't be installed without root and apt. One of:\n\
             \x20 on Debian: sudo apt-get install rustc-web cargo-web rust-web-src llvm-22-dev g++\n\
             \x20 elsewhere: rustup toolchain install nightly --component rust-src, \
             and LLVM's development files of the same version (rustc +nightly -vV names it), \
             or a bpf-linker {} built with it, named by LB_BPF_LINKER",
            linker::VERSION
        );
    }
    // A rustc that is there already may be the release's first one, whose LLVM is too old for eBPF as we use it.
    debian::install_newest(needs::COMPILER)?;
    let toolchain = debian_own().with_context(|| {
        format!(
            "Debian's newest rustc-web has an LLVM that isn't one of {} to {}, which bpf-linker {} knows \
             (/usr/bin/rustc -vV names it). Is deb.debian.org's security archive among apt's sources?",
            LLVM.start(),
            LLVM.end(),
            linker::VERSION
        )
    })?;
    let linker = linker::build(workspace, toolchain.llvm)?;
    Ok(Compiler { toolchain, linker })
}

impl Compiler {
    /// This compiler's cargo, with everything set that makes it build for eBPF.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = child::foreign(self.toolchain.programs.join("cargo"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        // First in PATH: cargo finds its sub-commands (clippy) there.
        let path = std::iter::once(self.toolchain.programs.clone()).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(path) {
            command.env("PATH", path);
        }
        command
            .env("RUSTC", self.toolchain.programs.join("rustc"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", self.rustflags());
        command
    }

    /// Installs clippy where it comes from Debian; says why not where there is none.
    pub(crate) fn clippy(&self) -> Result<()> {
        if self.toolchain.origin == Origin::Debian {
            return debian::install_missing(needs::CLIPPY);
        }
        if child::is_program(&self.toolchain.programs.join("cargo-clippy")) {
            return Ok(());
        }
        bail!("rustup's nightly has no clippy: rustup component add clippy --toolchain nightly")
    }

    fn rustflags(&self) -> String {
        // BTF comes from debug information; v3 has the atomic and the 32-bit instructions.
        let mut flags =
            format!("-C linker={} -C debuginfo=2 -C link-arg=--btf -C target-cpu=v3", self.linker.display());
        // Headers lie at odd offsets: without this, each field is loaded byte by byte.
        // Kernels on x86-64 and arm64 take such loads.
        if self.toolchain.llvm >= LLVM_WITH_MISALIGNED_ACCESS {
            flags += " -C link-arg=--cpu-features=+allows-misaligned-mem-access";
        }
        flags
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {}, LLVM {}, {}",
            self.toolchain.version,
            match self.toolchain.origin {
                Origin::Rustup => "rustup's nightly",
                Origin::Debian => "Debian",
            },
            self.toolchain.llvm,
            self.linker.display()
        )
    }
}

fn nightly() -> Option<Toolchain> {
    let rustc = rustup_program("rustc")?;
    toolchain(Origin::Rustup, rustc.parent()?)
}

fn debian_own() -> Option<Toolchain> {
    toolchain(Origin::Debian, Path::new("/usr/bin"))
}

/// The path of a program of rustup's nightly. Never installs a toolchain.
pub(crate) fn rustup_program(name: &str) -> Option<PathBuf> {
    let rustup = child::find("rustup")?;
    let output = child::foreign(rustup)
        .env("RUSTUP_AUTO_INSTALL", "0")
        .args(["which", "--toolchain", "nightly", name])
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end());
    (output.status.success() && child::is_program(&path)).then_some(path)
}

/// The toolchain in `programs`, if it has all that eBPF needs.
fn toolchain(origin: Origin, programs: &Path) -> Option<Toolchain> {
    let source = programs.parent()?.join("lib/rustlib/src/rust/library/core/src/lib.rs");
    if !source.exists() || !child::is_program(&programs.join("cargo")) {
        return None;
    }
    let output = child::foreign(programs.join("rustc")).arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let llvm = llvm_major(&text)?;
    let version = text.lines().next()?.to_owned();
    LLVM.contains(&llvm).then(|| Toolchain { origin, programs: programs.to_owned(), llvm, version })
}

/// 22 of `LLVM version: 22.1.8`, a line of `rustc -vV`.
fn llvm_major(verbose_version: &str) -> Option<u32> {
    let version = verbose_version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::llvm_major;

    #[test]
    fn the_llvm_version_is_read_from_rustc() {
        let text = "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_major(text), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
