//! Much data through a service, there and back, that must come back as it was.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use lb_bench::lab::Host;

/// Nothing here takes longer without being lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends all, then reads until the end.
pub(crate) fn there_and_back(service: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect_timeout(&service, PATIENCE).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(data).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::with_capacity(data.len());
    stream.read_to_end(&mut back).unwrap();
    back
}

/// Reads all that a client has to say, then says it all back.
pub(crate) fn store_server(host: &Host, port: u16) {
    let listener = host.within(|| TcpListener::bind(SocketAddr::from(([0_u16; 8], port)))).unwrap().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut data = Vec::new();
                // A check, or a client that has given up, sees the end of the stream.
                if stream.read_to_end(&mut data).is_ok() {
                    let _client_has_left = stream.write_all(&data);
                }
            });
        }
    });
}

/// Bytes in which no part looks like another.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}
