//! Checks against real listeners on loopback, and their rhythm on a clock of their own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout};

use super::probe::Outcome;
use super::*;
use crate::model::{CheckKind, Protocol};

/// Whatever is waited for comes within this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(10);

fn fast(rise: u32, fall: u32) -> Check {
    let ms = Duration::from_millis;
    Check { interval: ms(100), timeout: ms(100), rise, fall, ..Check::new(CheckKind::Tcp { port: None }) }
}

fn check_of(target: SocketAddr) -> CheckId {
    let service =
        ServiceId::Address { protocol: Protocol::Tcp, address: IpAddr::from([10, 0, 0, 50]), port: 80 };
    CheckId { service, address: target.ip(), port: target.port() }
}

fn one(id: CheckId, check: Check, initial: Option<Health>) -> BTreeMap<CheckId, CheckSpec> {
    BTreeMap::from([(id, CheckSpec { check, initial })])
}

async fn next(events: &mut UnboundedReceiver<Event>) -> Event {
    timeout(DEADLINE, events.recv()).await.expect("an event in time").unwrap()
}

/// What a check of this real server would say.
fn event(id: CheckId, why: Option<&str>) -> Event {
    let health = if why.is_some() { Health::Down } else { Health::Up };
    Event { id, health, why: why.map(str::to_owned) }
}

/// An address on which nobody listens, and which is nobody else's meanwhile.
fn closed(host: IpAddr) -> TcpSocket {
    let socket = if host.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    socket.bind(SocketAddr::new(host, 0)).unwrap();
    socket
}

#[tokio::test]
async fn a_real_server_goes_down_with_its_listener_and_comes_back() {
    for host in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let target = listener.local_addr().unwrap();
        let id = check_of(target);
        let (sender, mut events) = unbounded_channel();
        let mut checks = Checks::start(sender);
        checks.set(one(id, fast(2, 3), None));

        assert_eq!(next(&mut events).await, event(id, None));
        drop(listener);
        assert_eq!(next(&mut events).await, event(id, Some("connection refused")));
        let _listener = TcpListener::bind(target).await.unwrap();
        assert_eq!(next(&mut events).await, event(id, None));
        checks.stop().await;
        assert_eq!(events.recv().await, None, "the last sender has gone");
    }
}

#[tokio::test]
async fn the_check_may_ask_another_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = closed(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let id = check_of(closed.local_addr().unwrap());
    let (sender, mut events) = unbounded_channel();
    let mut checks = Checks::start(sender);
    let port = Some(listener.local_addr().unwrap().port());
    checks.set(one(id, Check { kind: CheckKind::Tcp { port }, ..fast(1, 1) }, None));
    assert_eq!(next(&mut events).await, event(id, None));

    // The check changes, the health that it had does not: it is told, but as a change.
    checks.set(one(id, fast(1, 1), None));
    assert_eq!(next(&mut events).await, event(id, Some("connection refused")));
}

#[tokio::test]
async fn what_is_gone_ends_and_what_is_unchanged_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stays = check_of(listener.local_addr().unwrap());
    let socket = closed(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let goes = check_of(socket.local_addr().unwrap());
    let (sender, mut events) = unbounded_channel();
    let mut checks = Checks::start(sender);
    let spec = CheckSpec { check: fast(1, 1), initial: None };
    checks.set(BTreeMap::from([(stays, spec), (goes, spec)]));
    assert_eq!(checks.len(), 2);
    let mut first = [next(&mut events).await, next(&mut events).await];
    first.sort_unstable_by_key(|event| event.health == Health::Down);
    assert_eq!(first, [event(stays, None), event(goes, Some("connection refused"))]);

    checks.set(one(stays, spec.check, None));
    assert_eq!(checks.len(), 1);
    // Would come up if anybody asked; and the first decision of the other is not told again.
    let _answers = socket.listen(16).unwrap();
    drop(listener);
    assert_eq!(next(&mut events).await, event(stays, Some("connection refused")));
    checks.set(BTreeMap::new());
    assert!(checks.is_empty());
    checks.stop().await;
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn a_reload_does_not_disturb_a_row_of_failures() {
    let socket = closed(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let id = check_of(socket.local_addr().unwrap());
    let (sender, mut events) = unbounded_channel();
    let mut checks = Checks::start(sender);
    // Every 20 ms the same again: a check that began anew each time would never probe, nor count to ten.
    let down = async {
        loop {
            checks.set(one(id, fast(2, 10), Some(Health::Up)));
            if let Ok(event) = timeout(Duration::from_millis(20), events.recv()).await {
                break event.unwrap();
            }
        }
    };
    assert_eq!(timeout(DEADLINE, down).await.unwrap(), event(id, Some("connection refused")));
}

#[tokio::test]
async fn thousands_of_checks_are_fine() {
    const EACH: u16 = 2_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let (sender, mut events) = unbounded_channel();
    let mut checks = Checks::start(sender);
    let accept = async {
        loop {
            drop(listener.accept().await);
        }
    };
    let check = Check::new(CheckKind::Tcp { port: Some(target.port()) });
    let spec = CheckSpec { check, initial: None };
    checks.set((1..=EACH).map(|port| (CheckId { port, ..check_of(target) }, spec)).collect());
    let decided = async {
        for _ in 0..EACH {
            assert_eq!(next(&mut events).await.health, Health::Up);
        }
    };
    tokio::select! {
        () = decided => {}
        () = accept => {}
    }
}

/// What a check does on a paused clock when its probes end like this, one after the other: the times of the
/// probes, and the events, with an hour to go.
async fn paced(
    check: Check,
    initial: Option<Health>,
    took: Duration,
    outcomes: Vec<Outcome>,
) -> (Vec<Instant>, Vec<Event>) {
    let (sender, mut events) = unbounded_channel();
    let (_check, receiver) = watch::channel(check);
    let left = RefCell::new(outcomes.into_iter());
    let times = Rc::new(RefCell::new(vec![]));
    let probe = |_, _| {
        let outcome = left.borrow_mut().next();
        if outcome.is_some() {
            times.borrow_mut().push(Instant::now());
        }
        async move {
            tokio::time::sleep(took).await;
            match outcome {
                Some(outcome) => outcome,
                None => std::future::pending().await,
            }
        }
    };
    let id = check_of("127.0.0.1:80".parse().unwrap());
    let ended = timeout(Duration::from_secs(3_600), task::run(id, initial, receiver, sender, probe)).await;
    assert!(ended.is_err(), "a check runs on");
    let mut told = vec![];
    while let Ok(event) = events.try_recv() {
        told.push(event);
    }
    (times.take(), told)
}

#[tokio::test(start_paused = true)]
async fn probes_keep_their_interval_however_long_they_take() {
    let check = Check::new(CheckKind::Tcp { port: None });
    let begin = Instant::now();
    let passed = || (0..500).map(|_| Outcome::Passed).collect();
    for took in [Duration::ZERO, check.timeout] {
        let begin = begin.max(Instant::now());
        let (times, events) = paced(check, Some(Health::Up), took, passed()).await;
        assert_eq!((times.len(), events.len()), (500, 0));
        // A millisecond is what tokio's clock rounds up to.
        assert!(times[0] - begin <= Duration::from_millis(201), "{:?}", times[0] - begin);
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let tenth = Duration::from_millis(1_800)..=Duration::from_millis(2_201);
        assert!(gaps.iter().all(|gap| tenth.contains(gap)), "{gaps:?}");
        assert!(gaps.iter().min() != gaps.iter().max(), "not jittered");
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_this_host_count_neither_way() {
    let fault = || Outcome::NotAsked(io::Error::from(Errno::MFILE));
    let failed = |words: &str| Outcome::Failed(words.into());
    let check = Check { fall: 3, ..Check::new(CheckKind::Tcp { port: None }) };
    let outcomes = vec![
        fault(),
        failed("first"),
        fault(),
        failed("second"),
        fault(),
        fault(),
        fault(),
        failed("third"),
        fault(),
    ];
    let (times, events) = paced(check, Some(Health::Up), Duration::ZERO, outcomes).await;
    assert_eq!(times.len(), 9, "it tries again at the next interval");
    let told: Vec<_> = events.iter().map(|event| (event.health, event.why.as_deref())).collect();
    assert_eq!(told, [(Health::Down, Some("third"))]);
    // Nor do they decide for a check that knows nothing yet.
    let (_, events) = paced(check, None, Duration::ZERO, vec![fault(), fault(), fault(), fault()]).await;
    assert_eq!(events, []);
}

#[tokio::test(start_paused = true)]
async fn a_changed_check_drops_its_probe_and_keeps_its_health() {
    let (sender, mut events) = unbounded_channel();
    let (check, receiver) = watch::channel(Check::new(CheckKind::Tcp { port: Some(1) }));
    let asked = Rc::new(RefCell::new(vec![]));
    let asks = Rc::clone(&asked);
    // Port 1 refuses twice, one less than would take it down, and then gives no answer; port 2 refuses.
    let probe = move |target: SocketAddr, _| {
        asks.borrow_mut().push(target.port());
        let hangs = *asks.borrow() == [1, 1, 1];
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Outcome::Failed("refused".into())
        }
    };
    let id = check_of("127.0.0.1:80".parse().unwrap());
    let change = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(*asked.borrow(), [1, 1, 1]);
        check.send_replace(Check::new(CheckKind::Tcp { port: Some(2) }));
        assert_eq!(events.recv().await, Some(event(id, Some("refused"))));
        assert_eq!(*asked.borrow(), [1, 1, 1, 2, 2, 2], "it was up, and counted anew to three");
    };
    tokio::select! {
        () = change => {}
        () = task::run(id, Some(Health::Up), receiver, sender, probe) => panic!("a check runs on"),
    }
}
