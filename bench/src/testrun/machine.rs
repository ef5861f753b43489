//! What the machine is, as far as it bears on a figure.

use std::{collections::BTreeMap, fs};

/// What to know of the machine before a figure is believed.
pub(super) fn describe() -> BTreeMap<&'static str, String> {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let mut machine = BTreeMap::new();
    let mut tell =
        |key, value: Option<String>| drop(machine.insert(key, value.unwrap_or_else(|| "unknown".into())));
    tell("kernel", read("/proc/sys/kernel/osrelease"));
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    tell("cpu", model.map(str::to_owned));
    tell("cpus", Some(cpus.lines().filter(|line| line.starts_with("processor")).count().to_string()));
    tell("governor", read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
    tell("bpf_jit", read("/proc/sys/net/core/bpf_jit_enable"));
    tell("mitigations", Some(mitigations()));
    machine
}

/// The CPU's weaknesses that the kernel works around, which costs.
fn mitigations() -> String {
    let directory = "/sys/devices/system/cpu/vulnerabilities";
    let mut active: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|file| fs::read_to_string(file.path()).is_ok_and(|text| text.starts_with("Mitigation")))
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect();
    active.sort();
    active.join(" ")
}
