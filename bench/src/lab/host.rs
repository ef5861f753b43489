//! A host: a namespace with interfaces, addresses and routes, in which programs run.
//! Refuses to know its part: client, director and real server are made by the topologies.

use std::{
    ffi::OsStr,
    fs, io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use super::{
    LabError, Switch, command,
    link::{self, MacAddress},
    namespace::Namespace,
    pass, tunnel_end,
};

/// What every host is told before it has an interface, so that each interface is born with it.
const SYSCTLS: [(&str, &str); 9] = [
    // Answers that come back by another way than the kernel would choose are this lab's business.
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    // Addresses can be used at once, and nothing but the test speaks on the wire.
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.all.accept_ra", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.all.router_solicitations", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
    // `Host::ping`.
    ("net.ipv4.ping_group_range", "0 2147483647"),
];

/// A host of a [`super::Lab`]; it goes when the lab goes.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    number: u8,
    interfaces: AtomicU8,
    /// What lives as long as the host: links of XDP programs on its interfaces.
    kept: Mutex<Vec<OwnedFd>>,
}

impl Host {
    pub(super) fn new(namespace: Namespace, number: u8) -> Result<Self, LabError> {
        let host = Self { namespace, number, interfaces: AtomicU8::new(0), kept: Mutex::new(Vec::new()) };
        for (key, value) in SYSCTLS {
            host.sysctl(key, value)?;
        }
        host.run("ip", ["link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// Keeps a descriptor open as long as the host lives.
    pub(super) fn keep(&self, descriptor: OwnedFd) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(descriptor);
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The namespace's name, such as `lb4711.0-client`, as `ip netns exec` takes it.
    pub fn name(&self) -> String {
        self.namespace.name()
    }

    /// The name that the lab was asked for, such as `client`.
    pub fn short_name(&self) -> &str {
        self.namespace.short_name()
    }

    /// A directory for this host's files, removed with the lab.
    pub fn directory(&self) -> &Path {
        self.namespace.directory()
    }

    /// Where this host's BPF file system is seen from outside; its own processes see it at `/sys/fs/bpf`.
    ///
    /// It belongs to the host: what a process pinned is still there when the process has been killed.
    pub fn bpffs(&self) -> PathBuf {
        self.namespace.bpffs()
    }

    /// Connects a new interface to the switch and gives it addresses, each with its prefix length, such as
    /// `10.0.0.1/24` or `fd00:10::1/64`. When this returns, both ends forward.
    ///
    /// The interface computes the checksums of what it sends itself and cuts no segments, as XDP programs
    /// on other hosts need; `XDP_TX` and redirects out of it work natively.
    pub fn connect(&self, switch: &Switch, interface: &str, addresses: &[&str]) -> Result<(), LabError> {
        let number = self.interfaces.fetch_add(1, Ordering::Relaxed);
        let mac = MacAddress::of_interface(self.number, number);
        link::connect(self, switch, interface, mac)?;
        addresses.iter().try_for_each(|address| self.add_address(interface, address))
    }

    /// Adds an address with its prefix length. IPv6 addresses skip duplicate address detection.
    pub fn add_address(&self, interface: &str, address: &str) -> Result<(), LabError> {
        let mut words = vec!["address", "add", address, "dev", interface];
        if address.contains(':') {
            words.push("nodad");
        }
        self.run("ip", words).map(drop)
    }

    /// Adds a route: `destination` is a prefix, `0.0.0.0/0` or `::/0`.
    pub fn add_route(&self, destination: &str, gateway: IpAddr) -> Result<(), LabError> {
        self.run("ip", ["route", "add", destination, "via", &gateway.to_string()]).map(drop)
    }

    /// Makes this host a real server of a service address as direct routing and tunnels need it: the
    /// address is on `lo`, and the host neither answers ARP for it nor uses it as a sender in ARP.
    ///
    /// IPv6 needs no more than `lo`: neighbour discovery answers only for the addresses of the interface
    /// that was asked.
    pub fn carry_service_address(&self, address: IpAddr) -> Result<(), LabError> {
        self.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
        self.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
        let length = if address.is_ipv4() { 32 } else { 128 };
        self.add_address("lo", &format!("{address}/{length}"))
    }

    /// Makes this host the end of tunnels: what comes in by the interface in IP in IP, GUE or GRE for one of
    /// the addresses goes on without its outer header. Each address comes with the UDP port of GUE, or 0
    /// for none. Once an interface.
    ///
    /// An XDP program does it, since not every kernel has tunnel devices.
    pub fn end_tunnels(&self, interface: &str, addresses: &[(IpAddr, u16)]) -> Result<(), LabError> {
        tunnel_end::attach(self, interface, addresses)
    }

    /// Attaches a loaded XDP program to one of this host's interfaces, natively, for as long as the answer
    /// lives.
    pub fn attach_xdp(&self, interface: &str, program: &(impl AsFd + Sync)) -> Result<OwnedFd, LabError> {
        let index = self.interface_index(interface)?;
        self.within(|| pass::attach_program(program, index))?.map_err(|source| {
            LabError::system(format!("attach XDP to {interface} of {}", self.name()), source)
        })
    }

    /// The ifindex of one of this host's interfaces.
    pub fn interface_index(&self, interface: &str) -> Result<u32, LabError> {
        let file = format!("/sys/class/net/{interface}/ifindex");
        let failed =
            |source| LabError::system(format!("read the index of {interface} in {}", self.name()), source);
        let text = self.within(|| fs::read_to_string(&file))?.map_err(failed)?;
        text.trim_end().parse().map_err(|error| failed(io::Error::other(error)))
    }

    /// Sets a kernel parameter of this host, such as `net.ipv4.ip_forward`. As for sysctl(8), a key that
    /// holds `/` is a path: that is how to name an interface with a dot.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        let path = if key.contains('/') { key.to_owned() } else { key.replace('.', "/") };
        let file = Path::new("/proc/sys").join(path);
        self.within(|| fs::write(file, value))?
            .map_err(|source| LabError::system(format!("set {key} to `{value}` in {}", self.name()), source))
    }

    /// The MAC address of one of this host's interfaces, in the order of the wire.
    ///
    /// Made from the order in which hosts and interfaces were made, so it is the same in every run.
    pub fn mac_address(&self, interface: &str) -> Result<[u8; 6], LabError> {
        let file = format!("/sys/class/net/{interface}/address");
        let failed = |source| {
            LabError::system(format!("read the MAC address of {interface} in {}", self.name()), source)
        };
        let text = self.within(|| fs::read_to_string(&file))?.map_err(failed)?;
        let mac: MacAddress = text.trim_end().parse().map_err(failed)?;
        Ok(mac.octets())
    }

    /// Runs a program on this host to its end and answers its standard output.
    ///
    /// # Errors
    /// Namespace, command line, status and standard error, if it doesn't succeed within 30 s.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, LabError> {
        let mut command = self.command(program);
        command.args(arguments);
        command::run(&self.name(), command)
    }

    /// A command that will run on this host, with a `/sys` that shows this host's interfaces and its BPF
    /// file system at `/sys/fs/bpf`.
    ///
    /// Start it with [`Host::spawn`] where it should go on running: a child of `Command::spawn` is killed
    /// when the *thread* that started it ends (`PR_SET_PDEATHSIG`). `output` and `status` are fine.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Does something on this host, on a thread that lasts no longer: open a socket that stays here,
    /// attach a program. A panic in `work` goes on in the caller.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.namespace.within(work)
    }
}
