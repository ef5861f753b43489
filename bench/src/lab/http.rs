//! A real web server for the part of a real server: nginx.
//! Refuses to know who asks it.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    time::Duration,
};

use super::{Host, LabError, Process};

/// How long nginx may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(10);

impl Host {
    /// Starts nginx, which answers every request on `port`, of any address of this host, with `body`.
    ///
    /// One connection carries one request, so that every request is scheduled. Returns when it listens.
    pub fn http_server(&self, port: u16, body: &str) -> Result<Process, LabError> {
        let directory = self.directory().join(format!("nginx-{port}"));
        prepare(&directory, port, body).map_err(|source| {
            LabError::system(format!("write nginx's configuration to {}", directory.display()), source)
        })?;
        let mut nginx = self.command("nginx");
        nginx.arg("-p").arg(&directory).args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut server = self.spawn(nginx)?;
        server.wait_for_listener((Ipv4Addr::LOCALHOST, port).into(), START_DEADLINE)?;
        server.wait_for_listener((Ipv6Addr::LOCALHOST, port).into(), START_DEADLINE)?;
        Ok(server)
    }
}

/// Everything that nginx writes stays in the directory.
fn prepare(directory: &Path, port: u16, body: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // A file, because in a `return` the body would be subject to nginx's variables and quoting.
    fs::write(directory.join("body"), body)?;
    fs::write(directory.join("nginx.conf"), configuration(port))
}

/// Without master process: it is one process, which can be killed without leaving workers behind.
fn configuration(port: u16) -> String {
    format!(
        "\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_timeout 0;
    types {{ }}
    default_type text/plain;
    server {{
        listen 0.0.0.0:{port} backlog=4096;
        listen [::]:{port} ipv6only=on backlog=4096;
        root .;
        location / {{ try_files /body =500; }}
    }}
}}
"
    )
}
