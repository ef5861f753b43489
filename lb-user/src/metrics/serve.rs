//! `GET /metrics`, and words for whoever asks for something else or too early.
//! It refuses to know what is in a snapshot, and whom it lets ask: that is the address it is bound to.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Snapshot, encode};

/// Whoever owns the daemon's state: a request is where the answer goes.
type Source = mpsc::Sender<oneshot::Sender<Snapshot>>;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Prometheus's text format and its version.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers on `listener` until `shutdown` is there and the requests that are under way are answered.
///
/// Each scrape asks `source` for a snapshot and gives up after a second (503).
pub async fn serve(
    listener: TcpListener,
    source: mpsc::Sender<oneshot::Sender<Snapshot>>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, "metrics are only read: use GET\n")
        })
        .fallback(async || (StatusCode::NOT_FOUND, "there is nothing here: metrics are at /metrics\n"))
        .with_state(source);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
        tracing::error!("metrics are served no more: {error}");
    }
}

async fn metrics(State(source): State<Source>) -> Response {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        source.send(reply).await.ok()?;
        answer.await.ok()
    };
    match timeout(PATIENCE, asked).await {
        // Thousands of real servers take their time, which is not the owner's.
        Ok(Some(snapshot)) => match tokio::task::spawn_blocking(move || encode(&snapshot)).await {
            Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
            Err(_cancelled) => unavailable("the daemon is ending\n"),
        },
        Ok(None) => unavailable("the daemon is ending\n"),
        Err(_elapsed) => {
            unavailable("the daemon did not answer within a second: it is busy, its log says with what\n")
        }
    }
}

fn unavailable(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}
