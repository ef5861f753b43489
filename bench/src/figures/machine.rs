//! What the machine is, as far as it bears on a figure, and of which versions who is compared there.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// What to know of the machine before a figure is believed.
pub(super) fn describe() -> BTreeMap<&'static str, String> {
    let mut machine = BTreeMap::new();
    let mut tell = |key, value: Option<String>| {
        drop(
            machine.insert(key, value.filter(|value| !value.is_empty()).unwrap_or_else(|| "unknown".into())),
        );
    };
    tell("kernel", read("/proc/sys/kernel/osrelease"));
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of_cpu = |key: &str| {
        let line = cpus.lines().find(|line| line.starts_with(key))?;
        line.split_once(": ").map(|(_, value)| value.to_owned())
    };
    tell("cpu", of_cpu("model name"));
    tell("mhz", of_cpu("cpu MHz"));
    tell("cpus", Some(cpus.lines().filter(|line| line.starts_with("processor")).count().to_string()));
    tell("governor", read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
    tell("mitigations", Some(mitigations()));
    tell("load", read("/proc/loadavg"));
    tell("bpf_jit", read("/proc/sys/net/core/bpf_jit_enable"));
    tell("nic", Some(interfaces()));
    tell("xdp", Some("test runs; in the lab native, over veth, one queue each".into()));
    tell("lb", Some(env!("CARGO_PKG_VERSION").into()));
    for (peer, option) in [("nft", "--version"), ("haproxy", "-v"), ("nginx", "-v"), ("wrk", "-v")] {
        tell(peer, Some(version(peer, option).unwrap_or_else(|| "not installed".into())));
    }
    machine
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).ok()
}

/// The CPU's weaknesses that the kernel works around, which costs.
fn mitigations() -> String {
    let directory = "/sys/devices/system/cpu/vulnerabilities";
    let mut active: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| {
            let text = fs::read_to_string(file.path()).ok()?;
            let how = text.trim().strip_prefix("Mitigation: ")?.to_owned();
            Some(format!("{} ({how})", file.file_name().to_string_lossy()))
        })
        .collect();
    active.sort();
    active.join(", ")
}

/// The machine's network cards with their drivers and queues. The lab uses none of them.
fn interfaces() -> String {
    let mut cards: Vec<_> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|interface| {
            let path = interface.path();
            let driver = fs::read_link(path.join("device/driver")).ok()?;
            let queues = fs::read_dir(path.join("queues")).ok()?.flatten();
            let receiving = queues.filter(|queue| queue.file_name().to_string_lossy().starts_with("rx-"));
            let driver = driver.file_name()?.to_string_lossy().into_owned();
            Some(format!(
                "{} ({driver}, {} queues)",
                interface.file_name().to_string_lossy(),
                receiving.count()
            ))
        })
        .collect();
    cards.sort();
    if cards.is_empty() { "none".into() } else { cards.join(", ") }
}

/// The first line of what a program says of itself, on either stream and whatever its exit code.
fn version(program: &str, option: &str) -> Option<String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).arg(option).env("PATH", path).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said)
        .lines()
        .find(|line| !line.trim().is_empty())
        .map(|line| line.trim().to_owned())
}
