//! Who stands between client and web servers. Each has a host of its own on the same switch.
//!
//! Refuses to know how fast anybody is. Who can't be started here is left out, and said aloud.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::Context as _;

use super::{OURS, WITHOUT};
use crate::lab::{Director, Host, OneArm, Process};

/// Web servers.
pub(super) const REAL_SERVERS: usize = 2;

/// nginx's module for TCP, as Debian has it.
const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// How long a balancer may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

type Start = fn(&Host) -> anyhow::Result<Process>;

/// Whom the client asks.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) addresses: Vec<String>,
}

/// Everybody, running.
pub(super) struct Balancers<'a> {
    subjects: Vec<Subject>,
    _web: Vec<Process>,
    _director: Director<'a>,
    // Processes before their hosts.
    _others: Vec<(Process, Host)>,
    _nat: Vec<Host>,
}

impl<'a> Balancers<'a> {
    pub(super) fn start(lab: &'a OneArm) -> anyhow::Result<Self> {
        prepare(&lab.client)?;
        let mut web = Vec::new();
        for host in &lab.real_servers {
            prepare(host)?;
            web.push(start_nginx(host, WEB)?);
        }
        let mut subjects = vec![
            Subject {
                name: WITHOUT,
                addresses: (0..REAL_SERVERS).map(|index| OneArm::real_server_v4(index).to_string()).collect(),
            },
            Subject { name: OURS, addresses: vec![OneArm::SERVICE_V4.to_string()] },
        ];
        let director = lab.director.director(&config())?;
        let (mut others, mut nat) = (Vec::new(), Vec::new());
        let proxies: [(&'static str, u8, Start); 2] =
            [("haproxy", 61, start_haproxy), ("nginx-stream", 62, start_stream)];
        for (name, address, start) in proxies {
            let host = host(lab, name, address)?;
            match start(&host) {
                Ok(process) => {
                    others.push((process, host));
                    subjects.push(Subject { name, addresses: vec![format!("10.0.0.{address}")] });
                }
                Err(error) => eprintln!("{name} is left out: {error:#}"),
            }
        }
        let host = host(lab, "nft", 63)?;
        match start_nat(&host) {
            Ok(()) => {
                nat.push(host);
                subjects.push(Subject { name: "nftables", addresses: vec!["10.0.0.63".into()] });
            }
            Err(error) => eprintln!("nftables is left out: {error:#}"),
        }
        Ok(Self { subjects, _web: web, _director: director, _others: others, _nat: nat })
    }

    pub(super) fn subjects(&self) -> Vec<Subject> {
        self.subjects.clone()
    }
}

fn host(lab: &OneArm, name: &str, address: u8) -> anyhow::Result<Host> {
    // With its interface it is the name of a port on the switch.
    let short = if name.len() > 9 { "stream" } else { name };
    let host = lab.lab.host(short)?;
    host.connect(&lab.lan, "eth0", &[&format!("10.0.0.{address}/24")])?;
    prepare(&host)?;
    Ok(host)
}

/// Many connections one after the other, which all leave a port behind.
fn prepare(host: &Host) -> anyhow::Result<()> {
    host.sysctl("net.ipv4.ip_local_port_range", "1024 65535")?;
    host.sysctl("net.ipv4.tcp_tw_reuse", "1")?;
    host.sysctl("net.core.somaxconn", "8192")?;
    Ok(())
}

/// lb's: direct routing, one after the other.
fn config() -> String {
    let mut text = format!(
        "[director]\ninterfaces = [\"eth0\"]\n[[virtual_service]]\nprotocol = \"tcp\"\n\
         address = \"{}:80\"\nscheduler = \"rr\"\n",
        OneArm::SERVICE_V4
    );
    for index in 0..REAL_SERVERS {
        let address = OneArm::real_server_v4(index);
        let _infallible = write!(text, "[[virtual_service.real_server]]\naddress = \"{address}\"\n");
    }
    text
}

/// As many requests on a connection as the client likes.
const WEB: &str = "
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 16384; }
http {
    access_log off;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_timeout 60s;
    keepalive_requests 1000000000;
    server { listen 80 backlog=8192; location / { return 200 'ok'; } }
}
";

fn start_nginx(host: &Host, configuration: &str) -> anyhow::Result<Process> {
    let directory = host.directory().join("nginx");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("nginx.conf"), configuration)?;
    let mut nginx = host.command("nginx");
    nginx.arg("-p").arg(&directory).args(["-c", "nginx.conf", "-e", "stderr"]);
    listening(host.spawn(nginx)?)
}

fn start_stream(host: &Host) -> anyhow::Result<Process> {
    anyhow::ensure!(Path::new(STREAM).exists(), "{STREAM} is missing: run `cargo xtask setup`");
    let servers = real_servers("server ", ":80;");
    let configuration = format!(
        "load_module {STREAM};\ndaemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 16384; }}\nstream {{\n upstream real_servers {{ {servers} }}\n \
         server {{ listen 80 backlog=8192; proxy_pass real_servers; tcp_nodelay on; }}\n}}\n"
    );
    start_nginx(host, &configuration)
}

fn start_haproxy(host: &Host) -> anyhow::Result<Process> {
    let servers = real_servers(" server rs", ":80\n");
    let configuration = format!(
        "global\n maxconn 4096\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n \
         timeout server 60s\nfrontend service\n bind :80 backlog 8192\n default_backend real_servers\n\
         backend real_servers\n balance roundrobin\n{servers}"
    );
    let file = host.directory().join("haproxy.cfg");
    fs::write(&file, configuration)?;
    let mut haproxy = host.command("haproxy");
    haproxy.arg("-db").arg("-f").arg(&file);
    listening(host.spawn(haproxy)?)
}

/// Destination and source NAT: real servers answer the balancer, which is no router of theirs.
fn start_nat(host: &Host) -> anyhow::Result<()> {
    host.sysctl("net.ipv4.ip_forward", "1")?;
    let map: Vec<_> =
        (0..REAL_SERVERS).map(|index| format!("{index} : {}", OneArm::real_server_v4(index))).collect();
    let rules = format!(
        "table ip bench {{\nchain prerouting {{\ntype nat hook prerouting priority dstnat\n\
         ip daddr 10.0.0.63 tcp dport 80 dnat to numgen inc mod {REAL_SERVERS} map {{ {} }}\n}}\n\
         chain postrouting {{\ntype nat hook postrouting priority srcnat\ntcp dport 80 masquerade\n}}\n}}\n",
        map.join(", ")
    );
    host.run("nft", [rules])?;
    // Connections that have ended hold no place for two minutes.
    host.sysctl("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "1")?;
    Ok(())
}

/// Each real server's address between these words; haproxy wants a name for each.
fn real_servers(before: &str, after: &str) -> String {
    let one = |index: usize| {
        let address = OneArm::real_server_v4(index);
        let name = if before.ends_with("rs") { format!("{index} ") } else { String::new() };
        format!("{before}{name}{address}{after}")
    };
    (0..REAL_SERVERS).map(one).collect::<Vec<_>>().concat()
}

fn listening(mut process: Process) -> anyhow::Result<Process> {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    process.wait_for_listener(address, PATIENCE).context("it doesn't listen")?;
    Ok(process)
}
