//! Debian's package `user-mode-linux`, fetched and unpacked without being installed.
//! Refuses to know what is in it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{UmlError, system};

/// Fetches the package and unpacks it to a directory that doesn't exist yet.
pub(super) fn fetch(directory: &Path) -> Result<(), UmlError> {
    let parent = directory.parent().unwrap_or(Path::new("."));
    let making = |source| system(format!("make a directory in {}", parent.display()))(source);
    fs::create_dir_all(parent).map_err(making)?;
    let scratch = tempfile::Builder::new().prefix("uml-").tempdir_in(parent).map_err(making)?;
    let mut apt = Command::new("apt-get");
    // apt's own user can't write into a directory of root.
    apt.args(["--quiet", "--option", "APT::Sandbox::User=root", "download", "user-mode-linux"]);
    finish(apt.current_dir(scratch.path()))?;
    let entries = fs::read_dir(scratch.path()).map_err(system("look for what apt fetched"))?;
    let package = entries
        .flatten()
        .find(|entry| entry.path().extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| UmlError::NoPackage("apt-get fetched nothing".to_owned()))?;
    let unpacked = scratch.path().join("unpacked");
    finish(Command::new("dpkg-deb").arg("--extract").arg(package.path()).arg(&unpacked))?;
    // All or nothing: a directory of that name is a whole package.
    fs::rename(&unpacked, directory).map_err(system(format!("make {}", directory.display())))
}

fn finish(command: &mut Command) -> Result<(), UmlError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| UmlError::NoPackage(format!("{program} can't be started: {source}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(UmlError::NoPackage(format!("{program} ended with {}: {last}", output.status)))
}
