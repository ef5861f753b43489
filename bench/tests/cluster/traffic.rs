//! Traffic that tells what it lost: long connections that carry data, and a stream of numbered datagrams.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lb_bench::lab::Host;

/// Nothing here takes longer without being lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers every byte on TCP `address` with itself, until the process ends.
pub(crate) fn echo_server(host: &Host, address: SocketAddr) {
    let listener = host.within(|| TcpListener::bind(address)).unwrap().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
    let _closed_by_both = stream.shutdown(Shutdown::Both);
}

/// Connections that each send a few bytes every 20 ms and want them back.
pub(crate) struct LongConnections {
    stop: Arc<AtomicBool>,
    echoes: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<u64, String>>>,
}

impl LongConnections {
    pub(crate) fn open(client: &Host, service: SocketAddr, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let echoes = Arc::new(AtomicU64::new(0));
        let streams = client
            .within(|| (0..count).map(|_| TcpStream::connect_timeout(&service, PATIENCE)).collect::<Vec<_>>())
            .unwrap();
        let threads = streams
            .into_iter()
            .map(|stream| {
                let (stream, stop, echoes) = (stream.unwrap(), Arc::clone(&stop), Arc::clone(&echoes));
                thread::spawn(move || keep_talking(stream, &stop, &echoes))
            })
            .collect();
        Self { stop, echoes, threads }
    }

    /// Waits until all connections together have echoed this often more.
    pub(crate) fn wait_for_echoes(&self, more: u64) {
        let goal = self.echoes.load(Relaxed) + more;
        let until = Instant::now() + Duration::from_secs(30);
        while self.echoes.load(Relaxed) < goal {
            assert!(Instant::now() < until, "the connections stand still");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends them; what became of those that broke.
    pub(crate) fn close(self) -> Vec<String> {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().filter_map(|thread| thread.join().unwrap().err()).collect()
    }
}

fn keep_talking(mut stream: TcpStream, stop: &AtomicBool, echoes: &AtomicU64) -> Result<u64, String> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut sent = 0_u64;
    while !stop.load(Relaxed) {
        let said = sent.to_be_bytes();
        let mut heard = [0; 8];
        stream
            .write_all(&said)
            .and_then(|()| stream.read_exact(&mut heard))
            .map_err(|e| format!("{sent}: {e}"))?;
        if said != heard {
            return Err(format!("{sent}: other bytes came back"));
        }
        sent += 1;
        echoes.fetch_add(1, Relaxed);
        thread::sleep(Duration::from_millis(20));
    }
    Ok(sent)
}

/// Counts the numbered datagrams that reach a UDP port.
pub(crate) struct Sink {
    received: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) fn open(host: &Host, address: SocketAddr) -> Self {
        let socket = host.within(|| UdpSocket::bind(address)).unwrap().unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 16 << 20).unwrap();
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while socket.recv(&mut buffer).is_ok() {
                counter.fetch_add(1, Relaxed);
            }
        });
        Self { received }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }
}

/// A stream of datagrams at an even rate, from one socket: one flow.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Stream {
    pub(crate) fn start(client: &Host, service: SocketAddr, per_second: u64) -> Self {
        let local: IpAddr = if service.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let socket = client.within(|| UdpSocket::bind((local, 0))).unwrap().unwrap();
        socket.connect(service).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            let begin = Instant::now();
            while !stopped.load(Relaxed) {
                // What is due by now, in small bursts: the lab's queues hold 256 frames. Time that this
                // thread did not get is not made up for.
                let due = (begin.elapsed().as_nanos() * u128::from(per_second) / 1_000_000_000) as u64;
                let sent = counter.load(Relaxed);
                for _ in 0..due.saturating_sub(sent).min(32) {
                    // An ICMP error about an earlier datagram is told here; it is not this one's.
                    if socket.send(&counter.load(Relaxed).to_be_bytes()).is_ok() {
                        counter.fetch_add(1, Relaxed);
                    }
                }
                thread::sleep(Duration::from_micros(500));
            }
        });
        Self { stop, sent, thread }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Waits until this many more were sent.
    pub(crate) fn wait_for(&self, more: u64) {
        let goal = self.sent() + more;
        let until = Instant::now() + Duration::from_secs(30);
        while self.sent() < goal {
            assert!(Instant::now() < until, "the stream stands still");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the stream; how many were sent.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap();
        self.sent.load(Relaxed)
    }
}
