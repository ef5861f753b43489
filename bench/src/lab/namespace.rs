//! One network namespace with its directory and its BPF file system, and how to get into it.
//! Refuses to know what is in it: hosts and switches do.

use std::{
    ffi::{CStr, CString, OsStr},
    fs, io,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    panic,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use rustix::{
    fs::{Mode, OFlags},
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
    thread::{LinkNameSpaceType, UnshareFlags},
};

use super::{LabError, command, id::LabId, interrupt};

/// Where ip-netns(8) keeps the namespaces that have names.
pub(super) const NAMED: &str = "/run/netns";

/// A named network namespace of a lab.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    lab: LabId,
    short_name: String,
    directory: PathBuf,
    /// The same in the shape that a child between fork and exec can use.
    door: Door,
}

/// What it takes to enter, made before a fork.
#[derive(Clone, Debug)]
struct Door {
    network: CString,
    bpffs: CString,
}

impl Namespace {
    /// Makes the namespace `<lab>-<name>`, and `<name>/bpf` with a BPF file system under `labs_directory`.
    pub(super) fn create(lab: LabId, name: &str, labs_directory: &Path) -> Result<Self, LabError> {
        let lawful = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || !name.bytes().all(lawful) {
            let rule = "it must be one or more of a-z, 0-9 and -";
            return Err(LabError::Name { name: name.to_owned(), what: "a host or switch", rule });
        }
        let full_name = format!("{lab}-{name}");
        let directory = labs_directory.join(name);
        let bpffs = directory.join("bpf");

        let _building = interrupt::building();
        let mut add = command::outside("ip");
        add.args(["netns", "add", &full_name]);
        command::run(command::INITIAL, add)?;
        fs::create_dir_all(&bpffs)
            .and_then(|()| Ok(rustix::mount::mount(c"bpf", &bpffs, c"bpf", MountFlags::empty(), None)?))
            .map_err(|source| {
                LabError::system(format!("mount a BPF file system at {}", bpffs.display()), source)
            })?;

        let door = Door { network: c_path(&Path::new(NAMED).join(full_name))?, bpffs: c_path(&bpffs)? };
        Ok(Self { lab, short_name: name.to_owned(), directory, door })
    }

    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.lab, self.short_name)
    }

    pub(super) fn short_name(&self) -> &str {
        &self.short_name
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn bpffs(&self) -> PathBuf {
        self.directory.join("bpf")
    }

    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command::outside(program);
        let door = self.door.clone();
        let enter = move || door.enter();
        // SAFETY: `enter` only makes system calls on strings that exist already: it allocates nothing and
        // takes no lock that another thread may have held at the fork.
        unsafe { command.pre_exec(enter) };
        command
    }

    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let inside = thread::scope(|scope| {
            let worker = scope.spawn(|| self.door.enter().map(|()| work()));
            worker.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
        });
        inside.map_err(|source| LabError::system(format!("enter the namespace {}", self.name()), source))
    }
}

impl Door {
    /// Moves the calling thread into the network namespace and a mount namespace of its own, as
    /// `ip netns exec` does, with this host's BPF file system at `/sys/fs/bpf`.
    fn enter(&self) -> io::Result<()> {
        let network =
            rustix::fs::open(self.network.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::thread::move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        // SAFETY: NEWNS leaves the file descriptor table alone, whose parting is what makes this unsafe.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
        // What is unmounted outside goes here too; what is mounted here stays here.
        rustix::mount::mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        // A sysfs shows the interfaces of the namespace that it was mounted in.
        match rustix::mount::unmount(c"/sys", UnmountFlags::DETACH) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        rustix::mount::mount(c"sysfs", c"/sys", c"sysfs", MountFlags::empty(), None::<&CStr>)?;
        rustix::mount::mount_bind(self.bpffs.as_c_str(), c"/sys/fs/bpf")?;
        Ok(())
    }
}

fn c_path(path: &Path) -> Result<CString, LabError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|nul| LabError::system(format!("use the path {}", path.display()), nul))
}
