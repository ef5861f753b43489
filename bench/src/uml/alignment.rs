//! The verifier's rule on alignment in the guest: made the one that x86-64 and arm64 have.
//! Refuses to know which programs are loaded.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{UmlError, system};

const SOURCE: &str = include_str!("any_alignment.c");

/// Compiles a library to be preloaded (`LD_PRELOAD`) by what loads eBPF in the guest, into this directory.
///
/// User-mode Linux does not tell its verifier that the processor reads unaligned words; the kernels of x86-64
/// and arm64 do, and the shipped program counts on it. The library asks for their rule, and changes no more.
pub fn any_alignment(directory: &Path) -> Result<PathBuf, UmlError> {
    let (source, library) = (directory.join("any_alignment.c"), directory.join("any_alignment.so"));
    super::write(&source, SOURCE)?;
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let output = cc.stdin(Stdio::null()).output().map_err(system("start cc, of the package gcc"))?;
    if output.status.success() {
        return Ok(library);
    }
    let said = std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned());
    Err(system(format!("compile {}", source.display()))(said))
}
