//! A virtual service as both directors are told of it: lb's config and ipvsadm's rules from the same words.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// How packets get to the real servers of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Forward {
    DirectRouting,
    /// What stands behind `tunnel =`, and ipvsadm's options for the same.
    Tunnel {
        ours: &'static str,
        ipvsadm: &'static str,
    },
    Masquerade,
}

/// A TCP service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) scheduler: &'static str,
    /// As `scheduler_flags` has them, separated by commas; ipvsadm's words are the same.
    pub(crate) flags: &'static str,
    pub(crate) forward: Forward,
    /// In the order in which they are added, with their weights.
    pub(crate) real_servers: Vec<(SocketAddr, u32)>,
}

/// lb's config. `director` is what stands in its table.
pub(crate) fn config(director: &str, services: &[Service]) -> String {
    let mut text = format!("[director]\nxdp_mode = \"native\"\n{director}\n");
    text += "[tables]\nflows = 16384\nservices = 128\ndestinations = 512\nring_slots = 131072\n";
    for Service { address, scheduler, flags, forward, real_servers } in services {
        let flags: Vec<_> = flags.split(',').filter(|flag| !flag.is_empty()).collect();
        let forward = match forward {
            Forward::DirectRouting => "\"direct-routing\"".to_owned(),
            Forward::Tunnel { ours, .. } => format!("\"tunnel\"\ntunnel = {ours}"),
            Forward::Masquerade => "\"masquerade\"".to_owned(),
        };
        writeln!(text, "\n[[virtual_service]]\nprotocol = \"tcp\"\naddress = \"{address}\"").unwrap();
        writeln!(text, "scheduler = \"{scheduler}\"\nscheduler_flags = {flags:?}").unwrap();
        for (real_server, weight) in real_servers {
            writeln!(text, "\n[[virtual_service.real_server]]\naddress = \"{real_server}\"").unwrap();
            writeln!(text, "weight = {weight}\nforward = {forward}").unwrap();
        }
    }
    text
}

/// What `ipvsadm --restore` reads to add the services.
pub(crate) fn rules(services: &[Service]) -> String {
    let mut text = String::new();
    for service in services {
        let Service { address, scheduler, flags, .. } = service;
        let flags = if flags.is_empty() { String::new() } else { format!(" -b {flags}") };
        writeln!(text, "-A -t {address} -s {scheduler}{flags}").unwrap();
        text += &real_servers(service, "-a");
    }
    text
}

/// What `ipvsadm --restore` reads to give the services' real servers other weights.
pub(crate) fn edits(services: &[Service]) -> String {
    services.iter().map(|service| real_servers(service, "-e")).collect()
}

fn real_servers(service: &Service, command: &str) -> String {
    let forward = match service.forward {
        Forward::DirectRouting => "-g".to_owned(),
        Forward::Tunnel { ipvsadm, .. } => format!("-i {ipvsadm}"),
        Forward::Masquerade => "-m".to_owned(),
    };
    let mut text = String::new();
    for (real_server, weight) in &service.real_servers {
        writeln!(text, "{command} -t {} -r {real_server} {forward} -w {weight}", service.address).unwrap();
    }
    text
}
