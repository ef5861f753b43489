//! A network namespace for the calling thread, with interfaces 2 and 3 beside its loopback.

use std::process::Command;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread into a new network namespace with two more interfaces. It is gone with the thread.
pub(crate) fn enter_namespace() {
    // SAFETY: a network namespace shares no memory and no files; only sockets that are opened later are in it.
    let entered = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    assert!(entered.is_ok(), "this test makes a network namespace: run it as root ({entered:?})");
    let link = "link add name port2 index 2 type veth peer name port3 index 3";
    let output = Command::new("ip").args(link.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {link}: {}", String::from_utf8_lossy(&output.stderr));
}
