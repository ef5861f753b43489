//! The lab: hosts, switches and the wires between them, made of network namespaces on one machine.
//! Refuses to know what runs on a host, apart from the web server and the clients that every test needs.
//!
//! ```text
//!   namespace lb4711.0-client          namespace lb4711.0-lan            namespace lb4711.0-rs1
//!  +--------------------------+     +-------------------------+      +--------------------------+
//!  |                          |     |  client.eth0            |      |                          |
//!  |  eth0 -------- veth -----------------o                   |      |                          |
//!  |  10.0.0.100/24           |     |      \     rs1.eth0     |      |                          |
//!  |  fd00:10::100/64         |     |   bridge br0   o------------------ veth -------- eth0      |
//!  |                          |     |                         |      |          10.0.0.11/24    |
//!  +--------------------------+     +-------------------------+      |  lo      10.0.0.50/32    |
//!                                                                    +--------------------------+
//! ```
//!
//! Every host and every switch is a namespace of its own, so `ip netns exec lb4711.0-client tcpdump` works
//! while a test is held in a debugger. 4711 is the process that made the lab, 0 counts its labs: tests in
//! parallel and test runs side by side don't meet.
//!
//! A lab is gone when its [`Lab`] is dropped, when its process panics, and at Ctrl-C. What a process leaves
//! behind that was killed with SIGKILL, the next [`Lab::new`] removes ([`sweep`]). `/run/netns` itself stays:
//! it is ip-netns(8)'s.
//!
//! ```no_run
//! use lb_bench::lab::OneArm;
//!
//! # fn main() -> Result<(), lb_bench::lab::LabError> {
//! let lab = OneArm::new("first look", 3)?;
//! let _servers = lab.http_servers(80)?;
//! let mut daemon = lab.director.command("lb");
//! daemon.args(["run", "lb.toml"]);
//! let mut daemon = lab.director.spawn(daemon)?;
//! daemon.wait_for_line("ready", std::time::Duration::from_secs(10))?;
//! let answers = lab.client.curl("http://10.0.0.50/", 3000)?;
//! println!("{:?}, {} failed", answers.tally(), answers.failed());
//! # Ok(())
//! # }
//! ```

mod command;
mod curl;
mod director;
mod error;
mod greeter;
mod host;
mod http;
mod id;
mod interrupt;
mod link;
mod namespace;
mod pass;
mod ping;
mod process;
mod routed;
mod switch;
mod tear_down;
mod topology;
mod tunnel_end;
mod two_arm;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
};

use rustix::mount::{MountFlags, MountPropagationFlags};

use id::LabId;
use link::MacAddress;
use namespace::Namespace;

pub use curl::Answers;
pub use director::Director;
pub use error::LabError;
pub use greeter::{Greeted, greeted};
pub use host::Host;
pub use process::Process;
pub use routed::Routed;
pub use rustix::process::Signal;
pub use switch::Switch;
pub use tear_down::sweep;
pub use topology::{OneArm, TwoDirectors};
pub use two_arm::TwoArm;

/// A network of its own. Dropping it ends every process in its namespaces and removes all that it made.
#[derive(Debug)]
pub struct Lab {
    name: String,
    id: LabId,
    directory: PathBuf,
    hosts: AtomicU8,
    switches: AtomicU8,
}

impl Lab {
    /// An empty lab. `name` is for messages about it.
    ///
    /// Sweeps first, and takes SIGINT, SIGTERM and SIGHUP for this process: they remove its labs and then do
    /// what they would have done.
    ///
    /// # Errors
    /// [`LabError::NotRoot`], or whatever the kernel refused.
    pub fn new(name: &str) -> Result<Self, LabError> {
        /// Labs that this process made.
        static MADE: AtomicU32 = AtomicU32::new(0);

        if !rustix::process::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        interrupt::install()?;
        sweep()?;

        let _building = interrupt::building();
        let id = LabId::of_this_process(MADE.fetch_add(1, Ordering::Relaxed));
        let directory = id.directory();
        // From here on Drop takes back a half-made lab.
        let lab = Self {
            name: name.to_owned(),
            id,
            directory,
            hosts: AtomicU8::new(0),
            switches: AtomicU8::new(0),
        };
        interrupt::register(lab.id);
        lab.make_directory().map_err(|source| {
            LabError::system(format!("make the lab's directory {}", lab.directory.display()), source)
        })?;
        Ok(lab)
    }

    /// A host without interfaces other than `lo`, which is up; [`Host::connect`] gives it some.
    ///
    /// `name` is of `a-z`, `0-9` and `-`. With a dot and an interface's name it must fit the 15 bytes of an
    /// interface's name, because that is what its port on the switch is called.
    pub fn host(&self, name: &str) -> Result<Host, LabError> {
        let number = next(&self.hosts, "hosts")?;
        Host::new(Namespace::create(self.id, name, &self.directory)?, number)
    }

    /// A switch without ports: a Linux bridge that doesn't speak spanning tree and has no address.
    ///
    /// `name` as for [`Lab::host`]; hosts and switches share one set of names.
    pub fn switch(&self, name: &str) -> Result<Switch, LabError> {
        let number = next(&self.switches, "switches")?;
        let namespace = Namespace::create(self.id, name, &self.directory)?;
        // Host number 0 is never given out, so nothing here meets a host's address.
        Switch::new(Host::new(namespace, 0)?, MacAddress::of_bridge(number))
    }

    /// What [`Lab::new`] was told.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first part of the names of this lab's namespaces, such as `lb4711.0`.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// Removed with the lab. Holds a directory for each host.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What dropping does, with the error that a drop can only print.
    pub fn close(self) -> Result<(), LabError> {
        interrupt::forget(self.id);
        tear_down::tear_down(self.id)
        // The drop that follows finds nothing left to do.
    }

    fn make_directory(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        rustix::mount::mount(c"lb-lab", &self.directory, c"tmpfs", MountFlags::empty(), None)?;
        // Shared, so that unmounting here also unmounts in the copies that the processes of other labs hold.
        rustix::mount::mount_change(&self.directory, MountPropagationFlags::SHARED)?;
        self.id.sign(&self.directory)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        interrupt::forget(self.id);
        if let Err(error) = tear_down::tear_down(self.id) {
            eprintln!("lab {} ({}) was not removed whole: {error}", self.id, self.name);
        }
    }
}

/// 1, 2, 3, ... up to 255: a number is one byte of a MAC address.
fn next(counter: &AtomicU8, what: &'static str) -> Result<u8, LabError> {
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |made| made.checked_add(1))
        .map(|made| made + 1)
        .map_err(|_full| LabError::Full { what })
}
