//! The end of a lab: from its name alone, so that it works for labs of processes that are gone.
//! Refuses to know how anything was made.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::FlockOperation,
    io::Errno,
    mount::UnmountFlags,
    process::{Pid, PidfdFlags, Signal},
};

use super::{
    LabError, command,
    id::{LABS, LabId},
    namespace::NAMED,
};

/// How long processes may take to die, and another process to finish its sweep.
const PATIENCE: Duration = Duration::from_secs(30);

/// Removes the labs whose process is gone, and names them. [`super::Lab::new`] does this first.
pub fn sweep() -> Result<Vec<String>, LabError> {
    let _only_one = lock()?;
    let mut swept = Vec::new();
    for lab in known_labs()? {
        if !lab.has_living_owner() {
            tear_down(lab)?;
            swept.push(lab.to_string());
        }
    }
    Ok(swept)
}

/// Ends the lab's processes, then removes its namespaces (and so its interfaces), its mounts and its
/// directory. Goes on after a failure, answers the first one; what is gone already is none.
pub(super) fn tear_down(lab: LabId) -> Result<(), LabError> {
    let namespaces = match namespaces_of(lab) {
        Ok(namespaces) => namespaces,
        Err(source) => return Err(LabError::system(format!("read {NAMED}"), source)),
    };
    let ended = end_processes(&namespaces)
        .map_err(|source| LabError::system(format!("end the processes of lab {lab}"), source));
    let mut results = vec![ended];
    for namespace in &namespaces {
        results.push(remove_namespace(namespace).map_err(|source| {
            LabError::system(format!("remove the namespace {}", namespace.display()), source)
        }));
    }
    let directory = lab.directory();
    results.push(unmount_below(&directory).and_then(|()| remove_directory(&directory)).map_err(|source| {
        LabError::system(format!("remove the lab's directory {}", directory.display()), source)
    }));
    results.into_iter().collect()
}

/// Two sweeps at once would each find the other's half-removed lab.
fn lock() -> Result<File, LabError> {
    let failed = |source| LabError::system(format!("lock {LABS}"), source);
    fs::create_dir_all(LABS).map_err(failed)?;
    // The directory itself, so that the lock leaves no file.
    let file = File::open(LABS).map_err(failed)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// All labs that left a directory or a namespace.
fn known_labs() -> Result<BTreeSet<LabId>, LabError> {
    let list = |directory: &str| {
        names_in(Path::new(directory)).map_err(|source| LabError::system(format!("read {directory}"), source))
    };
    let directories = list(LABS)?.into_iter().filter_map(|name| name.parse().ok());
    let namespaces = list(NAMED)?.into_iter().filter_map(|name| LabId::of_namespace(&name));
    Ok(directories.chain(namespaces).collect())
}

fn namespaces_of(lab: LabId) -> io::Result<Vec<PathBuf>> {
    let all = names_in(Path::new(NAMED))?.into_iter();
    let own = all.filter(|name| LabId::of_namespace(name) == Some(lab));
    Ok(own.map(|name| Path::new(NAMED).join(name)).collect())
}

/// The names of a directory's entries; none if there is no such directory.
fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Kills every process in the namespaces, whoever started it, until there is none: a process that forks
/// while it is looked for is found in the next round.
fn end_processes(namespaces: &[PathBuf]) -> io::Result<()> {
    // A namespace is known by the inode of its file (namespaces(7)). Our own one is nobody's to empty, even
    // if somebody gave it a lab's name.
    let own = fs::metadata("/proc/self/ns/net").map(|file| inode(&file))?;
    let inodes: Vec<_> = namespaces
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .map(|file| inode(&file))
        .filter(|inode| *inode != own)
        .collect();
    let until = Instant::now() + PATIENCE;
    loop {
        let found = processes_in(&inodes)?;
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            match rustix::process::pidfd_send_signal(process, Signal::KILL) {
                // No such process: it ended by itself.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for process in &found {
            command::readable(process, until.saturating_duration_since(Instant::now()))?;
        }
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Handles that stay with their process, even if its number is used again.
fn processes_in(inodes: &[(u64, u64)]) -> io::Result<Vec<OwnedFd>> {
    let mut found = Vec::new();
    let own = process::id();
    let numbers = names_in(Path::new("/proc"))?.into_iter().filter_map(|name| name.parse::<u32>().ok());
    for number in numbers.filter(|number| *number != own) {
        // Not there for processes that ended meanwhile, zombies among them.
        let is_inside = || {
            fs::metadata(format!("/proc/{number}/ns/net")).is_ok_and(|file| inodes.contains(&inode(&file)))
        };
        let Some(pid) = number.try_into().ok().and_then(Pid::from_raw) else { continue };
        if !is_inside() {
            continue;
        }
        // Looked at again once the handle holds it: the number may have changed hands in between.
        if let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            && is_inside()
        {
            found.push(handle);
        }
    }
    Ok(found)
}

fn inode(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// What `ip netns delete` does, for a namespace that may be half removed.
fn remove_namespace(namespace: &Path) -> io::Result<()> {
    unmount(namespace)?;
    match fs::remove_file(namespace) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn unmount_below(directory: &Path) -> io::Result<()> {
    // Field 5 of proc_pid_mountinfo(5). What would be escaped there does not occur in a lab's names.
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let own: Vec<_> = points.filter(|point| point.starts_with(directory)).collect();
    // The last one mounted is unmounted first.
    own.iter().rev().try_for_each(|point| unmount(point))
}

fn unmount(point: &Path) -> io::Result<()> {
    match rustix::mount::unmount(point.as_os_str().as_bytes(), UnmountFlags::DETACH) {
        // Not mounted, or not there.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn remove_directory(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
