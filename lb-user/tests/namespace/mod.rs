//! A network namespace for one test: made, used and gone with the test's thread, under no name.
//! It refuses to know what is tested in it.

use std::process::{Command, Stdio};

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Runs a test on a thread of its own, in a new network namespace with `lo` up and a tokio runtime.
pub(crate) fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let test = std::thread::spawn(move || {
        enter_new();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    });
    if let Err(panic) = test.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Moves the calling thread into a new network namespace, with `lo` up.
pub(crate) fn enter_new() {
    // SAFETY: a network namespace shares no memory and no files; only sockets that are opened later are in it.
    let entered = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    assert!(entered.is_ok(), "this test makes network namespaces: run it as root ({entered:?})");
    ip("link set lo up");
}

/// Runs `ip` in the thread's namespace and returns what it printed.
pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
