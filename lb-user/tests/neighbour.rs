//! Neighbours followed in real network namespaces, with a veth pair to a host that really answers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "namespace/far.rs"]
mod far;
mod namespace;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lb_user::neighbour::{Event, Keeping, Mac, Neighbours, Reach, Unreachable};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

use far::Far;
use namespace::{in_namespace, ip};

const DEADLINE: Duration = Duration::from_secs(10);

/// This host 10.0.0.1 and `fd00::1` on `here`, the other 10.0.0.2 and `fd00::2` on `there`.
struct Lab {
    far: Far,
    neighbours: Neighbours,
    events: Receiver<Event>,
}

impl Lab {
    fn start(keeping: Keeping) -> Self {
        let far = Far::new();
        far.connect("here", "there");
        near_addresses();
        far_addresses(&far);
        let (neighbours, events) = Neighbours::start(keeping).unwrap();
        Self { far, neighbours, events }
    }

    fn watch(&self, addresses: &[&str]) {
        self.neighbours.watch(addresses.iter().map(|address| address.parse().unwrap()));
    }

    async fn next(&mut self) -> Event {
        timeout(DEADLINE, self.events.recv()).await.expect("no event came").expect("following ended")
    }

    /// Takes events until one says of the address what is looked for.
    async fn until(&mut self, address: &str, is: impl Fn(&Reach) -> bool) -> Reach {
        let address: IpAddr = address.parse().unwrap();
        let mut seen = Vec::new();
        loop {
            let Ok(event) = timeout(DEADLINE, self.events.recv()).await else {
                panic!("the event for {address} didn't come, but {seen:#?}");
            };
            let event = event.expect("following ended");
            if event.address == address && is(&event.reach) {
                return event.reach;
            }
            seen.push(event);
        }
    }

    async fn until_on_link(&mut self, address: &str) -> Reach {
        self.until(address, |reach| matches!(reach, Reach::OnLink { .. })).await
    }

    fn far_mac(&self) -> Mac {
        mac(&self.far.ip("-j link show dev there"))
    }

    fn expected(&self, from: &str, mtu: u32) -> Reach {
        let link = &json(&ip("-j link show dev here"))[0];
        Reach::OnLink {
            interface: u32::try_from(link["ifindex"].as_u64().unwrap()).unwrap(),
            source: mac(&ip("-j link show dev here")),
            destination: self.far_mac(),
            mtu,
            from: Some(from.parse().unwrap()),
        }
    }
}

/// The address of this host that packets are sent from.
fn from(reach: &Reach) -> Option<String> {
    match reach {
        Reach::OnLink { from, .. } | Reach::Unresolved { from, .. } | Reach::Routed { from, .. } => {
            from.map(|from| from.to_string())
        }
        Reach::Local | Reach::Unreachable { .. } => None,
    }
}

fn near_addresses() {
    ip("address add 10.0.0.1/24 dev here");
    ip("address add fd00::1/64 dev here nodad");
}

fn far_addresses(far: &Far) {
    far.ip("address add 10.0.0.2/24 dev there");
    far.ip("address add fd00::2/64 dev there nodad");
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn mac(links: &str) -> Mac {
    let octets: Vec<u8> = json(links)[0]["address"]
        .as_str()
        .unwrap()
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).unwrap())
        .collect();
    octets.try_into().unwrap()
}

/// The entries that the kernel keeps resolved, sorted.
fn managed() -> Vec<String> {
    let entries = json(&ip("-j neigh show nud all"));
    let managed = entries.as_array().unwrap().iter().filter(|entry| entry.get("managed").is_some());
    let mut names: Vec<_> = managed.map(|entry| entry["dst"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "{what}: {}", ip("neigh show nud all"));
        sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn addresses_on_the_link_are_resolved_and_kept() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Managed);
        lab.watch(&["10.0.0.2", "fd00::2", "10.0.0.1"]);
        let expected = [lab.expected("10.0.0.1", 1500), lab.expected("fd00::1", 1500)].map(Some);
        let mut all = [None, None, None];
        while all.iter().any(|reach| !matches!(reach, Some(Reach::OnLink { .. } | Reach::Local))) {
            let event = lab.next().await;
            let at =
                ["10.0.0.2", "fd00::2", "10.0.0.1"].iter().position(|one| *one == event.address.to_string());
            all[at.unwrap()] = Some(event.reach);
        }
        let [v4, v6] = expected;
        assert_eq!(all, [v4, v6, Some(Reach::Local)]);
        assert_eq!(managed(), ["10.0.0.2", "fd00::2"]);
        lab.neighbours.stop().await.unwrap();
        assert_eq!(managed(), [""; 0]);
    });
}

#[test]
fn a_new_mac_is_told_within_a_second() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Managed);
        lab.watch(&["10.0.0.2"]);
        lab.until_on_link("10.0.0.2").await;

        // By the operator, which also ends the managed flag: it is set again.
        let begun = Instant::now();
        ip("neigh replace 10.0.0.2 lladdr 02:00:00:00:00:99 dev here nud reachable");
        let given = [2, 0, 0, 0, 0, 0x99];
        lab.until(
            "10.0.0.2",
            |reach| matches!(reach, Reach::OnLink { destination, .. } if *destination == given),
        )
        .await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        eventually("managed again", || managed() == ["10.0.0.2"]).await;

        // By a gratuitous ARP of the neighbour itself.
        lab.far.write("/proc/sys/net/ipv4/conf/there/arp_notify", "1");
        let begun = Instant::now();
        lab.far.ip("link set there address 02:00:00:00:00:77");
        let announced = [2, 0, 0, 0, 0, 0x77];
        lab.until(
            "10.0.0.2",
            |reach| matches!(reach, Reach::OnLink { destination, .. } if *destination == announced),
        )
        .await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_route_by_a_gateway_is_told_as_such_and_so_is_none() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Managed);
        ip("route add 10.5.0.0/24 dev here");
        ip("route add fd05::/64 dev here");
        lab.watch(&["10.5.0.9", "fd05::9", "fe80::9"]);
        lab.until("10.5.0.9", |reach| matches!(reach, Reach::Unresolved { mtu: 1500, .. })).await;
        lab.until("fd05::9", |reach| matches!(reach, Reach::Unresolved { .. })).await;
        lab.until("fe80::9", |reach| *reach == Reach::Unreachable { why: Unreachable::LinkLocal }).await;
        assert_eq!(managed(), ["10.5.0.9", "fd05::9"]);

        let far_mac = Some(lab.far_mac());
        for (address, net, gateway) in
            [("10.5.0.9", "10.5.0.0/24", "10.0.0.2"), ("fd05::9", "fd05::/64", "fd00::2")]
        {
            ip(&format!("route del {net} dev here"));
            ip(&format!("route add {net} via {gateway} mtu 1400"));
            let routed = lab
                .until(address, |reach| {
                    matches!(reach, Reach::Routed { destination: Some(_), mtu: 1400, .. })
                })
                .await;
            let Reach::Routed { gateway: told, destination, .. } = routed else { unreachable!() };
            assert_eq!((told.to_string().as_str(), destination), (gateway, far_mac));
        }
        assert_eq!(managed(), ["10.0.0.2", "fd00::2"]);

        ip("route replace blackhole 10.5.0.0/24");
        let refused = Reach::Unreachable { why: Unreachable::RefusedByRoute("blackhole") };
        lab.until("10.5.0.9", |reach| *reach == refused).await;
        ip("route del 10.5.0.0/24");
        lab.until("10.5.0.9", |reach| *reach == Reach::Unreachable { why: Unreachable::NoRoute }).await;
        ip("rule add to 10.5.0.9 prohibit");
        let refused = Reach::Unreachable { why: Unreachable::RefusedByRoute("prohibit") };
        lab.until("10.5.0.9", |reach| *reach == refused).await;
        eventually("the gateway is no longer needed", || managed() == ["fd00::2"]).await;
    });
}

#[test]
fn the_address_to_send_from_is_told_and_followed() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Managed);
        ip("address add 10.0.0.3/24 dev here");
        ip("route add 10.5.0.0/24 via 10.0.0.2");
        ip("route add fd05::/64 via fd00::2");
        lab.watch(&["10.5.0.9", "fd05::9"]);
        let known = |reach: &Reach| matches!(reach, Reach::Routed { destination: Some(_), .. });
        assert_eq!(from(&lab.until("10.5.0.9", known).await).unwrap(), "10.0.0.1");
        assert_eq!(from(&lab.until("fd05::9", known).await).unwrap(), "fd00::1");
        // Whether the neighbour answers makes no difference.
        let unresolved = |reach: &Reach| matches!(reach, Reach::Unresolved { .. });
        lab.watch(&["10.5.0.9", "fd05::9", "10.0.0.8"]);
        assert_eq!(from(&lab.until("10.0.0.8", unresolved).await).unwrap(), "10.0.0.1");

        // As the route says.
        ip("route replace 10.5.0.0/24 via 10.0.0.2 src 10.0.0.3");
        lab.until("10.5.0.9", |reach| from(reach).as_deref() == Some("10.0.0.3")).await;

        // As the addresses say: one that matches the destination better, but not after its preferred lifetime.
        ip("address add fd05::1/128 dev here nodad");
        lab.until("fd05::9", |reach| from(reach).as_deref() == Some("fd05::1")).await;
        ip("address change fd05::1/128 dev here preferred_lft 0 valid_lft forever");
        lab.until("fd05::9", |reach| from(reach).as_deref() == Some("fd00::1")).await;

        // Of another interface, and of none.
        ip("address flush dev here");
        ip("address add 10.7.0.1/32 dev lo");
        ip("route add 10.5.0.0/24 dev here");
        lab.until("10.5.0.9", |reach| unresolved(reach) && from(reach).as_deref() == Some("10.7.0.1")).await;
        ip("address del 10.7.0.1/32 dev lo");
        lab.until("10.5.0.9", |reach| unresolved(reach) && from(reach).is_none()).await;
    });
}

#[test]
fn an_interface_is_followed_down_up_away_and_back() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Managed);
        lab.watch(&["10.0.0.2"]);
        lab.until_on_link("10.0.0.2").await;
        let down = |reach: &Reach| matches!(reach, Reach::Unreachable { .. });

        ip("link set here down");
        lab.until("10.0.0.2", down).await;
        ip("link set here up");
        lab.until_on_link("10.0.0.2").await;

        lab.far.ip("link set there down");
        let carrier = Reach::Unreachable { why: Unreachable::LinkDown("here".to_owned()) };
        lab.until("10.0.0.2", |reach| *reach == carrier).await;
        lab.far.ip("link set there up");
        let expected = lab.expected("10.0.0.1", 1500);
        lab.until("10.0.0.2", |reach| *reach == expected).await;
        eventually("kept again", || managed() == ["10.0.0.2"]).await;

        ip("link del here");
        lab.until("10.0.0.2", down).await;
        ip("link add taken type veth peer name index");
        lab.far.connect("here", "there");
        near_addresses();
        far_addresses(&lab.far);
        let again = lab.expected("10.0.0.1", 1500);
        assert_ne!(again, expected);
        lab.until("10.0.0.2", |reach| *reach == again).await;
    });
}

#[test]
fn the_egress_interface_is_told_anew_when_its_mac_or_mtu_changes() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Managed);
        lab.watch(&["10.0.0.2"]);
        lab.until_on_link("10.0.0.2").await;
        ip("link set here mtu 1400");
        let expected = lab.expected("10.0.0.1", 1400);
        lab.until("10.0.0.2", |reach| *reach == expected).await;
        ip("link set here address 02:00:00:00:00:55");
        let expected = lab.expected("10.0.0.1", 1400);
        lab.until("10.0.0.2", |reach| *reach == expected).await;
    });
}

#[test]
fn what_is_no_longer_watched_is_no_longer_kept() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Managed);
        // Left by a daemon that was killed; made by the operator, permanent and managed; labelled by somebody else.
        ip("neigh add 10.0.0.7 dev here managed proto 108");
        ip("neigh add 10.0.0.8 lladdr 02:00:00:00:00:08 dev here nud permanent");
        ip("neigh add 10.0.0.9 dev here managed");
        ip("neigh add 10.0.0.10 lladdr 02:00:00:00:00:10 dev here nud stale proto zebra");
        lab.watch(&["10.0.0.2", "fd00::2", "10.0.0.8", "10.0.0.9", "10.0.0.10"]);
        for address in ["10.0.0.2", "fd00::2"] {
            lab.until_on_link(address).await;
        }
        eventually("kept", || managed() == ["10.0.0.10", "10.0.0.2", "10.0.0.9", "fd00::2"]).await;
        let permanent = ip("neigh show 10.0.0.8 dev here");
        assert!(permanent.contains("PERMANENT"), "{permanent}");

        lab.watch(&["10.0.0.2"]);
        eventually("released", || managed() == ["10.0.0.2", "10.0.0.9"]).await;
        let released = ip("neigh show fd00::2 dev here");
        assert!(released.contains("lladdr") && !released.contains("proto 108"), "{released}");
        assert!(ip("neigh show 10.0.0.10 dev here").contains("proto zebra"));
        assert_eq!(ip("neigh show 10.0.0.8 dev here"), permanent);

        // In again: told again, though nothing changed.
        lab.watch(&["10.0.0.2", "10.0.0.8"]);
        lab.until_on_link("10.0.0.8").await;

        drop(lab.neighbours);
        eventually("released by drop", || managed() == ["10.0.0.9"]).await;
    });
}

#[test]
fn a_flushed_table_is_no_event_and_a_dead_neighbour_is() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Managed);
        lab.watch(&["10.0.0.2"]);
        lab.until_on_link("10.0.0.2").await;
        ip("neigh flush dev here");
        eventually("kept again", || {
            managed() == ["10.0.0.2"] && ip("neigh show 10.0.0.2 dev here").contains("REACHABLE")
        })
        .await;
        ip("link set here mtu 1400");
        assert_eq!(lab.next().await.reach, lab.expected("10.0.0.1", 1400), "the first event after the flush");

        lab.far.ip("address del 10.0.0.2/24 dev there");
        ip("neigh del 10.0.0.2 dev here");
        lab.until("10.0.0.2", |reach| matches!(reach, Reach::Unresolved { mtu: 1400, .. })).await;
        lab.far.ip("address add 10.0.0.2/24 dev there");
        lab.until_on_link("10.0.0.2").await;
    });
}

#[test]
fn lost_news_are_made_up_for() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Managed);
        lab.watch(&["10.0.0.2"]);
        lab.until_on_link("10.0.0.2").await;
        // The runtime has one thread, and this doesn't give it back: nothing reads the socket while it overflows.
        let batch = tempfile::NamedTempFile::new().unwrap();
        let routes: Vec<_> =
            (0..6000).map(|n| format!("route add 10.9.{}.{}/32 dev lo", n / 250, n % 250)).collect();
        std::fs::write(&batch, routes.join("\n")).unwrap();
        ip(&format!("-batch {}", batch.path().display()));
        ip("neigh replace 10.0.0.2 lladdr 02:00:00:00:00:99 dev here nud reachable");
        let given = [2, 0, 0, 0, 0, 0x99];
        lab.until(
            "10.0.0.2",
            |reach| matches!(reach, Reach::OnLink { destination, .. } if *destination == given),
        )
        .await;
    });
}

#[test]
fn without_managed_entries_it_asks() {
    in_namespace(async || {
        let mut lab = Lab::start(Keeping::Asked);
        lab.watch(&["10.0.0.2", "fd00::2"]);
        for address in ["10.0.0.2", "fd00::2"] {
            lab.until_on_link(address).await;
        }
        ip("neigh flush dev here");
        eventually("asked again", || ip("neigh show 10.0.0.2 dev here").contains("REACHABLE")).await;
        assert_eq!(managed(), [""; 0]);
    });
}
