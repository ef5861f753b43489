//! The ends that run no destructors: Ctrl-C and its kin, and a panic where panics abort.
//! Refuses to know how a lab is removed.

use std::{
    collections::BTreeSet,
    fs, io, mem, panic,
    sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard},
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use super::{LabError, id::LabId, tear_down::tear_down};

/// The labs of this process that nobody has torn down yet.
static STANDING: Mutex<BTreeSet<LabId>> = Mutex::new(BTreeSet::new());

/// Read while something is made, written for good once a signal has come: nothing is made behind the
/// back of the last tear-down.
static GATE: RwLock<()> = RwLock::new(());

/// Takes SIGINT, SIGTERM and SIGHUP, once a process, except those that it was started to ignore (nohup).
pub(super) fn install() -> Result<(), LabError> {
    static INSTALLED: OnceLock<Result<(), io::ErrorKind>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| watch().map_err(|error| error.kind()))
        .map_err(|kind| LabError::system("watch for Ctrl-C", kind))
}

/// Hold the guard while making anything that a lab leaves behind. Waits for ever once a signal has come:
/// the process is about to end.
pub(super) fn building() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn register(lab: LabId) {
    STANDING.lock().unwrap_or_else(PoisonError::into_inner).insert(lab);
}

pub(super) fn forget(lab: LabId) {
    STANDING.lock().unwrap_or_else(PoisonError::into_inner).remove(&lab);
}

fn watch() -> io::Result<()> {
    let ignored = ignored_signals()?;
    let taken = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(taken)?;
    thread::Builder::new().name("lab-signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            mem::forget(GATE.write().unwrap_or_else(PoisonError::into_inner));
            tear_down_all();
            // Whoever waits for this process sees that the signal ended it. Nothing is left to do if not.
            let _ = emulate_default_handler(signal);
        }
    })?;
    // Tests unwind and drop their labs; this workspace's other profiles abort.
    if cfg!(panic = "abort") {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            report(panic);
            tear_down_all();
        }));
    }
    Ok(())
}

/// One bit a signal, the lowest for signal 1 (`SigIgn` of `proc_pid_status(5)`).
fn ignored_signals() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask =
        status.lines().find_map(|line| line.strip_prefix("SigIgn:")).ok_or(io::ErrorKind::InvalidData)?;
    u64::from_str_radix(mask.trim(), 16).map_err(io::Error::other)
}

fn tear_down_all() {
    let labs = mem::take(&mut *STANDING.lock().unwrap_or_else(PoisonError::into_inner));
    for lab in labs {
        if let Err(error) = tear_down(lab) {
            eprintln!("lab {lab} was not removed whole: {error}");
        }
    }
}
