//! The daemon's door: one abstract socket, which is also the lock that keeps a second daemon out.
//!
//! An abstract name lives in a network namespace, as a director does, and is gone with its process
//! however that ends. One line asks, what is answered until the end of the stream is the answer.

use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};

/// A line longer than this is not a request.
const REQUEST_MAX: usize = 64;

/// What can be asked of a running daemon.
#[derive(Debug)]
pub(super) enum Request {
    /// Detach, remove everything, end.
    Stop(oneshot::Sender<String>),
    /// Read the config again.
    Reload(oneshot::Sender<String>),
}

/// The door is shut: why.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another daemon has it.
    #[error("a director with the pins {0} runs already in this network namespace: `lb stop` ends it")]
    Running(String),
    /// No socket.
    #[error("the control socket can't be opened: {0}")]
    Open(#[source] io::Error),
}

/// Takes the door of the director with these pins.
pub(super) fn open(pins: &Path) -> Result<UnixListener, ControlError> {
    let address = address(pins).map_err(ControlError::Open)?;
    match UnixListener::bind_addr(&address) {
        Ok(listener) => listener.set_nonblocking(true).map(|()| listener).map_err(ControlError::Open),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(ControlError::Running(pins.display().to_string()))
        }
        Err(error) => Err(ControlError::Open(error)),
    }
}

/// Answers whoever knocks, as long as the daemon listens.
pub(super) async fn serve(listener: UnixListener, requests: mpsc::Sender<Request>) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let requests = requests.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &requests).await {
                tracing::debug!(%error, "control connection");
            }
        });
    }
}

/// Asks the daemon with these pins; nothing if none runs. Waits until it has answered.
pub fn ask(pins: &Path, request: &str) -> io::Result<Option<String>> {
    let mut stream = match UnixStream::connect_addr(&address(pins)?) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
        Err(error) => return Err(error),
    };
    stream.write_all(request.as_bytes())?;
    stream.write_all(b"\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(Some(answer))
}

async fn answer(stream: tokio::net::UnixStream, requests: &mpsc::Sender<Request>) -> io::Result<()> {
    // An abstract name has no file permissions: whoever asks must be root, or whoever the daemon is.
    let peer = stream.peer_cred()?.uid();
    let allowed = peer == 0 || peer == rustix::process::geteuid().as_raw();
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while line.len() < REQUEST_MAX && !line.ends_with(b"\n") {
        let available = stream.fill_buf().await?;
        if available.is_empty() {
            break;
        }
        let end =
            available.iter().position(|&byte| byte == b'\n').map_or(available.len(), |newline| newline + 1);
        line.extend_from_slice(&available[..end]);
        stream.consume(end);
    }
    let (sender, receiver) = oneshot::channel();
    let request = match line.as_slice() {
        _ if !allowed => return stream.write_all(b"not allowed: only root may ask\n").await,
        b"stop\n" => Request::Stop(sender),
        b"reload\n" => Request::Reload(sender),
        _ => return stream.write_all(b"not understood: stop and reload can be asked\n").await,
    };
    if requests.send(request).await.is_ok()
        && let Ok(answer) = receiver.await
    {
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

fn address(pins: &Path) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("lb{}", pins.display()))
}
