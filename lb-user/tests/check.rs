//! Checks where it matters whose fault a failure is: in network namespaces that can't reach, or can't ask.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod namespace;

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use lb_user::check::{CheckId, CheckSpec, Checks, Event, Health};
use lb_user::model::{Check, CheckKind, Protocol, ServiceId};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use namespace::{in_namespace, ip};

/// Whatever is waited for comes within this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(10);

fn check_of(address: &str) -> CheckId {
    let service =
        ServiceId::Address { protocol: Protocol::Tcp, address: IpAddr::from([10, 0, 0, 50]), port: 80 };
    CheckId { service, address: address.parse().unwrap(), port: 80 }
}

fn spec(initial: Option<Health>) -> CheckSpec {
    let ms = Duration::from_millis;
    let check = Check::new(CheckKind::Tcp { port: None });
    CheckSpec { check: Check { interval: ms(100), timeout: ms(100), rise: 1, fall: 1, ..check }, initial }
}

async fn next(events: &mut UnboundedReceiver<Event>) -> Event {
    timeout(DEADLINE, events.recv()).await.expect("an event in time").unwrap()
}

#[test]
fn failures_are_told_in_words() {
    in_namespace(async || {
        // A neighbour whom nobody plays, a route to nowhere, and no route at all.
        ip("link add port0 type veth peer name port1");
        ip("link set port0 up");
        ip("link set port1 up");
        ip("address add 192.0.2.1/25 dev port0");
        ip("neighbour add 192.0.2.2 lladdr 02:00:00:00:00:99 dev port0");
        ip("route add unreachable 192.0.2.128/25");
        let (sender, mut events) = unbounded_channel();
        let mut checks = Checks::start(sender);
        let words = BTreeMap::from([
            (check_of("192.0.2.2"), "no answer within 100ms"),
            (check_of("192.0.2.200"), "no route to host"),
            (check_of("198.51.100.1"), "network unreachable"),
            (check_of("127.0.0.1"), "connection refused"),
        ]);
        checks.set(words.keys().map(|&id| (id, spec(None))).collect());
        for _ in &words {
            let Event { id, health, why } = next(&mut events).await;
            assert_eq!((health, why.as_deref()), (Health::Down, words.get(&id).copied()), "{id:?}");
        }
        checks.stop().await;
    });
}

#[test]
fn a_host_without_free_ports_does_not_take_its_real_servers_down() {
    in_namespace(async || {
        let log = tempfile::NamedTempFile::new().unwrap();
        let writer = Arc::new(log.reopen().unwrap());
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        let _subscribed = tracing::subscriber::set_default(subscriber);
        let logged = || std::fs::read_to_string(log.path()).unwrap();

        // The one port that a probe could have is taken by a connection to the same real server.
        let ports = "/proc/sys/net/ipv4/ip_local_port_range";
        std::fs::write(ports, "40000 40000").unwrap();
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let taken = TcpStream::connect("127.0.0.1:80").unwrap();
        assert_eq!(taken.local_addr().unwrap().port(), 40_000);

        let id = check_of("127.0.0.1");
        let (sender, mut events) = unbounded_channel();
        let mut checks = Checks::start(sender);
        checks.set(BTreeMap::from([(id, spec(Some(Health::Up)))]));
        let warned = async {
            while !logged().contains("could not be checked") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, warned).await.expect("a warning in time");

        // Now there are ports, and nobody listens: the first that is told.
        drop(listener);
        std::fs::write(ports, "40000 50000").unwrap();
        let why = Some("connection refused".to_owned());
        assert_eq!(next(&mut events).await, Event { id, health: Health::Down, why });
        checks.stop().await;
        let logged = logged();
        assert!(logged.contains("Cannot assign requested address"), "{logged}");
        assert_eq!(
            logged.matches("could not be checked").count(),
            1,
            "once, however often it fails: {logged}"
        );
    });
}
