//! Whose lab it is: the name that every part of a lab carries, and whether its owner still lives.
//! Refuses to know what a lab is made of.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    process,
    str::FromStr,
};

/// Where the labs of all processes have their directories.
pub(super) const LABS: &str = "/run/lb-lab";

/// Holds the start time of the owning process.
const OWNER_FILE: &str = "owner";

/// `lb<pid>.<count>`: the process that made the lab, and the how-manieth of its labs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LabId {
    pid: u32,
    count: u32,
}

impl LabId {
    pub(super) fn of_this_process(count: u32) -> Self {
        Self { pid: process::id(), count }
    }

    /// The lab that a namespace called `<id>-<name>` belongs to.
    pub(super) fn of_namespace(namespace: &str) -> Option<Self> {
        namespace.split_once('-')?.0.parse().ok()
    }

    pub(super) fn directory(self) -> PathBuf {
        Path::new(LABS).join(self.to_string())
    }

    /// Writes into the lab's directory which process owns it; a process number alone is used again.
    pub(super) fn sign(self, directory: &Path) -> io::Result<()> {
        let started = start_time(self.pid).ok_or(io::ErrorKind::NotFound)?;
        fs::write(directory.join(OWNER_FILE), started)
    }

    /// Whether the process that made the lab is still there.
    ///
    /// A lab that isn't signed is being made, or being taken down: then the process number has to do.
    pub(super) fn has_living_owner(self) -> bool {
        match (start_time(self.pid), fs::read_to_string(self.directory().join(OWNER_FILE))) {
            (None, _) => false,
            (Some(now), Ok(signed)) => now == signed,
            (Some(_), Err(_)) => true,
        }
    }
}

impl fmt::Display for LabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lb{}.{}", self.pid, self.count)
    }
}

impl FromStr for LabId {
    type Err = NotALab;

    fn from_str(text: &str) -> Result<Self, NotALab> {
        let (pid, count) = text.strip_prefix("lb").and_then(|rest| rest.split_once('.')).ok_or(NotALab)?;
        let id = Self {
            pid: pid.parse().map_err(|_not_a_number| NotALab)?,
            count: count.parse().map_err(|_not_a_number| NotALab)?,
        };
        // "lb+1.02" parses too, and is nobody's.
        if id.to_string() == text { Ok(id) } else { Err(NotALab) }
    }
}

/// The name is somebody else's.
#[derive(Debug)]
pub(super) struct NotALab;

/// Field 22 of `/proc/<pid>/stat`, in clock ticks since boot (`proc_pid_stat(5)`).
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 2 is the command in parentheses and may itself hold blanks and parentheses; field 3 follows it.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(22 - 3).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_namespace_names_its_lab() {
        assert_eq!(LabId::of_namespace("lb12.3-rs-1"), Some(LabId { pid: 12, count: 3 }));
        for foreign in ["lb12.3", "lb-1", "lb12-client", "web-lb1.2", "lb+1.2-x", "lb01.2-x"] {
            assert_eq!(LabId::of_namespace(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_start_time_is_a_number_of_ticks() {
        assert!(start_time(process::id()).unwrap().parse::<u64>().unwrap() > 0);
    }
}
