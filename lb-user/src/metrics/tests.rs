//! The text as Prometheus's own tool reads it, and HTTP as curl does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use lb_common::Verdict;
use lb_common::wire::{Counters, Load, Protocol, State};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::model::{ForwardMethod, Scheduler, ServiceId};
use crate::plan::Health;

fn counters(packets: u64) -> Counters {
    Counters { packets, bytes: 100 * packets, connections: packets / 10, dropped: packets / 100 }
}

fn real_server(address: &str, name: Option<&str>, health: Health) -> RealServerSnapshot {
    RealServerSnapshot {
        name: name.map(str::to_owned),
        address: address.parse().unwrap(),
        port: 80,
        forward: ForwardMethod::DirectRouting,
        weight: 5,
        health,
        resolved: true,
        counters: counters(1_000),
        load: Load { connections: [-1, 7], ..Load::default() },
        templates: 3,
    }
}

fn snapshot() -> Snapshot {
    let service = |protocol, address: &str, real_servers| ServiceSnapshot {
        id: ServiceId::Address { protocol, address: address.parse::<IpAddr>().unwrap(), port: 80 },
        scheduler: Scheduler::Wrr,
        real_servers,
        departed: counters(400),
    };
    let fill = |used, size| Fill { used, size };
    Snapshot {
        services: vec![
            service(
                Protocol::Tcp,
                "10.0.0.50",
                vec![
                    real_server("10.0.0.11", Some("web1"), Health::Up),
                    real_server("10.0.0.12", Some("a \"quoted\\ name"), Health::Down),
                    RealServerSnapshot {
                        forward: ForwardMethod::Local,
                        ..real_server("10.0.0.13", None, Health::Unknown)
                    },
                ],
            ),
            service(Protocol::Udp, "fd00::50", vec![real_server("fd00::11", None, Health::Up)]),
            ServiceSnapshot {
                id: ServiceId::of_mark(7, "fd00::50".parse().unwrap()),
                ..service(
                    Protocol::Tcp,
                    "fd00::50",
                    vec![RealServerSnapshot { port: 0, ..real_server("fd00::12", None, Health::Up) }],
                )
            },
        ],
        verdicts: (0..Verdict::COUNT as u64).map(|index| 100 + index).collect(),
        evictions: std::array::from_fn(|state| state as u64),
        without_template: 6,
        flows: FlowTableSnapshot {
            slots: 2_621_440,
            expired: 12,
            sweep: Some(SweepSnapshot {
                states: std::array::from_fn(|state| 10 * state as u64),
                ended: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
                duration: Duration::from_millis(25),
            }),
        },
        tables: TablesSnapshot {
            services: fill(2, 1_024),
            destinations: fill(4, 16_384),
            ring_slots: fill(9, 1_048_576),
            templates: fill(190, 171_800),
            class_addresses: fill(3, 4_096),
            class_rules: fill(5, 4_096),
            sources: fill(3, 16_384),
            localities: fill(2, 16_384),
        },
        checks: 4,
        interfaces: vec![
            InterfaceSnapshot { name: "eth0".into(), xdp_mode: Some("native") },
            InterfaceSnapshot { name: "eth1".into(), xdp_mode: None },
        ],
        daemon: DaemonSnapshot {
            started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500),
            loaded: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_100),
            reloads_ok: 3,
            reloads_failed: 1,
        },
    }
}

/// Nothing but what a daemon has that has just started.
fn bare() -> Snapshot {
    let mut bare = snapshot();
    (bare.services, bare.interfaces, bare.verdicts, bare.flows.sweep) = (vec![], vec![], vec![], None);
    bare
}

/// Samples of a text: what stands before the value, and the value.
fn samples(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut samples = BTreeMap::new();
    for line in lines {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert_eq!(samples.insert(series, value), None, "{series} twice");
    }
    samples
}

#[test]
fn promtool_has_nothing_to_say() {
    for text in [encode(&snapshot()), encode(&bare())] {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool judges the metrics' format: `cargo xtask setup` installs it");
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success() && said.is_empty(),
            "{}{}\n{text}",
            output.status,
            String::from_utf8_lossy(&said)
        );
    }
}

#[test]
fn samples_have_these_names_labels_and_values() {
    let text = encode(&snapshot());
    let samples = samples(&text);
    let web1 = r#"{service="10.0.0.50:80",protocol="tcp",real_server="10.0.0.11:80",name="web1"}"#;
    let quoted =
        r#"{service="10.0.0.50:80",protocol="tcp",real_server="10.0.0.12:80",name="a \"quoted\\ name"}"#;
    let nameless = r#"{service="10.0.0.50:80",protocol="tcp",real_server="10.0.0.13:80"}"#;
    let v6 = r#"{service="[fd00::50]:80",protocol="udp",real_server="[fd00::11]:80"}"#;
    let marked = r#"{service="FWM 7 IPv6",protocol="fwm",real_server="[fd00::12]:0"}"#;
    let service = r#"{service="10.0.0.50:80",protocol="tcp"}"#;
    for (name, labels, value) in [
        ("lb_real_server_packets_total", web1, "1000"),
        ("lb_real_server_bytes_total", web1, "100000"),
        ("lb_real_server_connections_total", web1, "100"),
        ("lb_real_server_dropped_packets_total", web1, "10"),
        ("lb_real_server_active_connections", web1, "7"),
        ("lb_real_server_inactive_connections", web1, "0"),
        ("lb_real_server_weight", web1, "5"),
        ("lb_real_server_up", web1, "1"),
        ("lb_real_server_up", quoted, "0"),
        ("lb_real_server_up", nameless, "0"),
        ("lb_real_server_up", v6, "1"),
        ("lb_real_server_resolved", v6, "1"),
        ("lb_real_server_packets_total", marked, "1000"),
        ("lb_service_info", r#"{service="FWM 7 IPv6",protocol="fwm",scheduler="wrr"}"#, "1"),
        // Three of 1,000 and those of 400 that are gone.
        ("lb_service_packets_total", service, "3400"),
        ("lb_service_bytes_total", service, "340000"),
        ("lb_service_connections_total", service, "340"),
        ("lb_service_dropped_packets_total", service, "34"),
        ("lb_service_active_connections", service, "21"),
        ("lb_service_inactive_connections", service, "0"),
        ("lb_service_weight", service, "15"),
        ("lb_service_real_servers", r#"{service="10.0.0.50:80",protocol="tcp",health="unknown"}"#, "1"),
        ("lb_service_real_servers", r#"{service="[fd00::50]:80",protocol="udp",health="down"}"#, "0"),
        ("lb_service_info", r#"{service="10.0.0.50:80",protocol="tcp",scheduler="wrr"}"#, "1"),
        ("lb_flow_table_slots", "", "2621440"),
        ("lb_flow_table_entries", r#"{state="established"}"#, "20"),
        ("lb_flow_table_evictions_total", r#"{state="time_wait"}"#, "7"),
        ("lb_flow_table_evictions_total", r#"{state="sctp_closed"}"#, "15"),
        ("lb_flow_table_expirations_total", "", "12"),
        ("lb_flow_table_last_sweep_duration_seconds", "", "0.025"),
        ("lb_flow_table_last_sweep_timestamp_seconds", "", "1800000000"),
        ("lb_table_entries", r#"{table="ring_slots"}"#, "9"),
        ("lb_table_entries", r#"{table="templates"}"#, "190"),
        ("lb_templates", r#"{held="false"}"#, "90"),
        ("lb_templates", r#"{held="true"}"#, "100"),
        ("lb_template_evictions_total", "", "19"),
        ("lb_connections_without_template_total", "", "6"),
        ("lb_real_server_persistent_connections", web1, "3"),
        ("lb_table_entries", r#"{table="class_rules"}"#, "5"),
        ("lb_table_entries", r#"{table="sources"}"#, "3"),
        ("lb_table_entries", r#"{table="localities"}"#, "2"),
        ("lb_table_capacity_entries", r#"{table="destinations"}"#, "16384"),
        ("lb_checks", "", "4"),
        ("lb_interface_attached", r#"{interface="eth0",mode="native"}"#, "1"),
        ("lb_interface_attached", r#"{interface="eth1",mode="none"}"#, "0"),
        ("lb_config_reloads_total", r#"{result="ok"}"#, "3"),
        ("lb_config_reloads_total", r#"{result="failed"}"#, "1"),
        ("lb_config_last_reload_success_timestamp_seconds", "", "1700000100"),
        ("process_start_time_seconds", "", "1700000000.5"),
    ] {
        let series = format!("{name}{labels}");
        assert_eq!(samples.get(series.as_str()).copied(), Some(value), "{series} of\n{text}");
    }
    let local = samples.keys().find(|series| series.contains("forward=\"Local\"")).unwrap();
    assert!(local.starts_with("lb_real_server_info{"), "{local}");
}

#[test]
fn every_verdict_is_there_exactly_once_even_before_the_first_packet() {
    for (snapshot, first) in [(snapshot(), 100), (bare(), 0)] {
        let text = encode(&snapshot);
        let samples = samples(&text);
        for verdict in Verdict::ALL {
            let (action, reason) = (verdict.action().label(), verdict.label());
            let series = format!("lb_packets_total{{action=\"{action}\",reason=\"{reason}\"}}");
            let value = if first == 0 { 0 } else { first + verdict.index() };
            assert_eq!(samples.get(series.as_str()), Some(&value.to_string().as_str()), "{series}");
        }
        let all = samples.keys().filter(|series| series.starts_with("lb_packets_total"));
        assert_eq!(all.count(), Verdict::COUNT);
        let states = samples.keys().filter(|series| series.starts_with("lb_flow_table_evictions_total"));
        // Those of templates have metrics of their own.
        assert_eq!(states.count(), State::ALL.len() - 2);
    }
}

/// A server of metrics that is shut down when this is dropped, and the requests that it makes.
async fn served() -> (SocketAddr, mpsc::Receiver<oneshot::Sender<Snapshot>>, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::channel(1);
    let (shutdown, ended) = oneshot::channel();
    tokio::spawn(serve(listener, sender, async { drop(ended.await) }));
    (address, requests, shutdown)
}

/// Status, content type and body.
async fn curl(arguments: &[&str], url: &str) -> (String, String, String) {
    let output = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "10", "--noproxy", "*"])
        .args(["--write-out", "\n%{http_code} %{content_type}"])
        .args(arguments)
        .arg(url)
        .output()
        .await
        .expect("curl fetches the metrics: `cargo xtask setup` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    let (body, about) = output.rsplit_once('\n').unwrap();
    let (status, kind) = about.split_once(' ').unwrap();
    (status.to_owned(), kind.to_owned(), body.to_owned())
}

#[tokio::test]
async fn metrics_are_served_and_the_rest_is_answered_in_words() {
    let (address, mut requests, _shutdown) = served().await;
    let daemon = async {
        while let Some(reply) = requests.recv().await {
            reply.send(snapshot()).unwrap();
        }
    };
    let scraper = async {
        let (status, kind, body) = curl(&[], &format!("http://{address}/metrics")).await;
        assert_eq!((status.as_str(), kind.as_str()), ("200", "text/plain; version=0.0.4; charset=utf-8"));
        assert_eq!(body, encode(&snapshot()));
        let (status, _, body) = curl(&[], &format!("http://{address}/")).await;
        assert_eq!(
            (status.as_str(), body.as_str()),
            ("404", "there is nothing here: metrics are at /metrics\n")
        );
        let (status, _, body) = curl(&["--request", "POST"], &format!("http://{address}/metrics")).await;
        assert_eq!((status.as_str(), body.as_str()), ("405", "metrics are only read: use GET\n"));
    };
    tokio::select! {
        () = daemon => panic!("the server has ended"),
        () = scraper => {}
    }
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_told_of() {
    let (address, requests, shutdown) = served().await;
    let url = format!("http://{address}/metrics");
    let (status, _, body) = curl(&[], &url).await;
    assert_eq!(status, "503");
    assert_eq!(body, "the daemon did not answer within a second: it is busy, its log says with what\n");
    drop(requests);
    let (status, _, body) = curl(&[], &url).await;
    assert_eq!((status.as_str(), body.as_str()), ("503", "the daemon is ending\n"));

    drop(shutdown);
    let ended = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("nobody listens any more");
}
