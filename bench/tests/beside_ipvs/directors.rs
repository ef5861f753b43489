//! Both directors on the same host, one after the other, and whom they have picked.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::service::{Service, config, edits, rules};
use lb_bench::lab::{Director, Greeted, Host, greeted};

/// All service addresses but the lab's own are of these; the director is the way to them.
pub(crate) const SERVICES: [&str; 2] = ["10.0.9.0/24", "fd00:10::9:0/112"];

/// The port of every service.
pub(crate) const PORT: u16 = 80;

/// A refusal is heard with the second SYN, after a second: the first one's answer comes while connect() still has the
/// socket, on the guest's one CPU.
const PATIENCE: Duration = Duration::from_secs(5);

/// 10.0.9.1 or `fd00:10::9:1` and so on.
pub(crate) fn service_address(is_v4: bool, number: u8) -> IpAddr {
    if is_v4 {
        Ipv4Addr::new(10, 0, 9, number).into()
    } else {
        Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 9, number.into()).into()
    }
}

/// Makes every address of a prefix the host's own, as if each were on `lo`.
pub(crate) fn own(host: &Host, prefix: &str) {
    host.run("ip", ["route", "add", "local", prefix, "dev", "lo"]).unwrap();
    // Else a socket is bound only to what is on an interface.
    host.sysctl("net.ipv6.ip_nonlocal_bind", "1").unwrap();
}

/// One of the two.
pub(crate) struct Running<'a> {
    host: &'a Host,
    /// Nothing: the kernel's. Else ours, and what stands in the config's table `director`.
    ours: Option<(Director<'a>, &'a str)>,
}

impl<'a> Running<'a> {
    /// The kernel's IPVS with these services.
    pub(crate) fn kernel(host: &'a Host, services: &[Service]) -> Self {
        for prefix in SERVICES {
            own(host, prefix);
        }
        // Where it masquerades, answers are forwarded.
        host.sysctl("net.ipv4.ip_forward", "1").unwrap();
        host.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
        restore(host, &rules(services));
        // An error of one line doesn't show in the status.
        let saved = host.run("ipvsadm", ["--save", "--numeric"]).unwrap();
        assert_eq!(saved.lines().count(), rules(services).lines().count(), "{saved}");
        Self { host, ours: None }
    }

    /// Ours. `director` is what stands in that table of the config.
    pub(crate) fn ours(host: &'a Host, director: &'a str, services: &[Service]) -> Self {
        assert_eq!(host.run("ipvsadm", ["--save", "--numeric"]).unwrap(), "", "the kernel's is still there");
        let ours = host.director(&config(director, services)).unwrap();
        Self { host, ours: Some((ours, director)) }
    }

    /// Gives the real servers of the same services other weights.
    pub(crate) fn reweigh(&mut self, services: &[Service]) {
        match &mut self.ours {
            None => restore(self.host, &edits(services)),
            Some((ours, director)) => drop(ours.reload(&config(director, services)).unwrap()),
        }
    }

    /// Leaves nothing of the kernel's on the host; the data plane of ours goes with the lab.
    pub(crate) fn end(self) {
        if self.ours.is_none() {
            self.host.run("ipvsadm", ["--clear"]).unwrap();
            for prefix in SERVICES {
                self.host.run("ip", ["route", "del", "local", prefix, "dev", "lo"]).unwrap();
            }
        }
    }
}

fn restore(host: &Host, rules: &str) {
    let file = host.directory().join("ipvsadm.rules");
    fs::write(&file, rules).unwrap();
    host.run("sh", ["-c", r#"exec ipvsadm --restore < "$1""#, "sh", file.to_str().unwrap()]).unwrap();
}

/// One connection that is to be made: from where, and to which service.
pub(crate) type Call = (SocketAddr, SocketAddr);

/// Makes the calls, `at_once` at a time, and leaves the connections open. Each is told in its place: by whom it was
/// greeted, and as whom; `X` if nobody did.
pub(crate) fn call(client: &Host, calls: &[Call], at_once: usize) -> (Vec<String>, Vec<Greeted>) {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut made = Vec::new();
        while let Some((from, service)) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
            made.push((*from, *service, greeted(*from, *service, PATIENCE)));
        }
        made
    };
    let made = client.within(|| {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
        })
    });
    let mut told = BTreeMap::new();
    let mut open = Vec::new();
    for (from, service, greeted) in made.unwrap() {
        let who = greeted
            .as_ref()
            .map_or("X".to_owned(), |greeted| format!("{} {}", greeted.name, greeted.seen_as));
        told.insert((from, service), who);
        open.extend(greeted);
    }
    (calls.iter().map(|call| told[call].clone()).collect(), open)
}

/// What became of the calls, by the name of what they show.
pub(crate) type Picks = BTreeMap<String, Vec<String>>;

/// Fails with all that differ.
pub(crate) fn assert_alike(kernel: &Picks, ours: &Picks) {
    assert!(!kernel.is_empty() && kernel.keys().eq(ours.keys()));
    let differ: Vec<_> = kernel.keys().filter(|name| kernel[*name] != ours[*name]).collect();
    let tell = |name: &&String| {
        format!("{name}\n  kernel {}\n  ours   {}\n", kernel[*name].join(", "), ours[*name].join(", "))
    };
    assert!(
        differ.is_empty(),
        "{} of {} differ:\n{}",
        differ.len(),
        kernel.len(),
        differ.iter().map(tell).collect::<String>()
    );
    println!(
        "{} connections of {} kinds went where the kernel's went",
        kernel.values().map(Vec::len).sum::<usize>(),
        kernel.len()
    );
}
