//! Packages from Debian: which are missing, and installing them without starting a service.
//!
//! Refuses to know which packages are wanted, and to act where there is no apt or where we aren't root.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::needs::Need;
use crate::child;

/// Installs through apt what is missing of `needs`; at once when nothing is.
pub(crate) fn install_missing(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !is_there(need.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if !may_install() {
        let list: Vec<String> = missing
            .iter()
            .map(|need| format!("  {} (package {}): {}", need.program, need.package, need.purpose))
            .collect();
        bail!(
            "missing here:\n{}\nOn Debian: sudo apt-get install --no-install-recommends {}",
            list.join("\n"),
            packages.join(" ")
        );
    }
    install(&packages)?;
    // Where there is no systemd, packages enable nothing.
    if Path::new("/run/systemd/system").exists() {
        for unit in missing.iter().filter_map(|need| need.service) {
            child::quiet(
                &format!("keeping {unit} from starting at boot"),
                Command::new("systemctl").args(["disable", "--now", unit]),
            )?;
        }
    }
    match missing.iter().find(|need| !is_there(need.program)) {
        None => Ok(()),
        Some(need) => bail!("package {} is installed, but {} isn't there", need.package, need.program),
    }
}

/// Installs the newest that Debian has of all `needs`, or upgrades to it.
///
/// Reads apt's lists first: those of a machine's image are as old as the image, and name packages of that day.
pub(crate) fn install_newest(needs: &[Need]) -> Result<()> {
    update()?;
    let packages: Vec<&str> = needs.iter().map(|need| need.package).collect();
    install_now(&packages)
}

/// Installs `packages`; first reads apt's lists where there are none, or where they turn out to be too old.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let fresh = !has_lists();
    if fresh {
        update()?;
    }
    let result = install_now(packages);
    if result.is_ok() || fresh {
        return result;
    }
    eprintln!("apt's lists may be old: once more with new ones");
    update()?;
    install_now(packages)
}

/// Whether Debian offers `package` here; reads apt's lists first where there are none.
pub(crate) fn offers(package: &str) -> Result<bool> {
    if child::find("apt-cache").is_none() {
        return Ok(false);
    }
    if !has_lists() && may_install() {
        update()?;
    }
    let output = Command::new("apt-cache").args(["show", "--no-all-versions", package]).output()?;
    Ok(output.status.success() && !output.stdout.is_empty())
}

/// Whether apt is here and we may use it.
pub(crate) fn may_install() -> bool {
    rustix::process::geteuid().is_root() && child::find("apt-get").is_some()
}

fn is_there(program: &str) -> bool {
    if program.starts_with('/') { Path::new(program).exists() } else { child::find(program).is_some() }
}

fn has_lists() -> bool {
    fs::read_dir("/var/lib/apt/lists").is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    })
}

fn update() -> Result<()> {
    child::quiet("apt-get update", apt().arg("update"))
}

/// A package's script asks `policy-rc.d` before it starts a service; ours says no while apt runs.
/// The shell removes it even when a signal has ended us. One that is there already is somebody's choice and stays,
/// unless it is ours from a run that was killed.
const WITHOUT_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
mark='# cargo xtask setup: no service starts while its packages are installed'
if grep -qsF "$mark" "$policy"; then rm -f "$policy"; fi
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy"
    chmod 755 "$policy"
fi
"$@"
"#;

fn install_now(packages: &[&str]) -> Result<()> {
    let apt = apt();
    let mut command = Command::new("sh");
    command.args(["-c", WITHOUT_SERVICES, "sh"]).arg(apt.get_program()).args(apt.get_args());
    command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    child::quiet(&format!("installing {} from Debian", packages.join(", ")), &mut command)
}

/// Waits for another apt instead of failing beside it.
fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["--quiet", "--option", "DPkg::Lock::Timeout=300"]);
    command
}
