//! A second network namespace, for the host at the far end of a veth pair.
//! It refuses to know what that host is.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};

use rustix::thread::{LinkNameSpaceType, gettid, move_into_link_name_space};

use crate::namespace::{enter_new, ip};

/// The namespace. It ends, with its interfaces, when this is dropped.
pub(crate) struct Far(File);

impl Far {
    /// Makes it, with `lo` up.
    pub(crate) fn new() -> Self {
        let made = std::thread::spawn(|| {
            enter_new();
            current()
        });
        Self(made.join().unwrap())
    }

    /// Makes a veth pair: `here` in the thread's namespace, `there` in this one. Both are up.
    pub(crate) fn connect(&self, here: &str, there: &str) {
        ip(&format!("link add {here} type veth peer name {there}"));
        // The namespace has no name: `ip` opens it by the file that this process holds.
        let file = format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd());
        ip(&format!("link set {there} netns {file}"));
        ip(&format!("link set {here} up"));
        self.ip(&format!("link set {there} up"));
    }

    /// Runs `ip` in it and returns what it printed.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        self.inside(|| ip(arguments))
    }

    /// Writes a file of `/proc/sys/net` as it is in there.
    pub(crate) fn write(&self, path: &str, value: &str) {
        self.inside(|| fs::write(path, value).unwrap());
    }

    fn inside<T>(&self, act: impl FnOnce() -> T) -> T {
        let home = current();
        enter(&self.0);
        let result = act();
        enter(&home);
        result
    }
}

fn enter(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn current() -> File {
    File::open(format!("/proc/self/task/{}/ns/net", gettid().as_raw_nonzero())).unwrap()
}
