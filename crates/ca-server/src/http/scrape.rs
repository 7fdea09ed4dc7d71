//! The metrics of a node, at an address of their own.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{json_answer, problem, talk};
use crate::authority::{Authority, now};

/// The most connections at a time.
const MOST: usize = 8;

/// Answers `GET /metrics` at `listener`. It does not return.
pub async fn serve_metrics(authority: Arc<Authority>, listener: TcpListener) {
    let connections = Arc::new(Semaphore::new(MOST));
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let authority = Arc::clone(&authority);
        tokio::spawn(async move {
            let _permit = permit;
            talk(stream, move |request| {
                let authority = Arc::clone(&authority);
                async move {
                    if request.uri().path() != "/metrics" || request.method() != hyper::Method::GET
                    {
                        return problem(404, "not-found", "there is nothing here but /metrics");
                    }
                    let text = tokio::task::spawn_blocking(move || authority.metrics_text(now()));
                    let Ok(text) = text.await else {
                        return problem(500, "internal", "the authority has made a mistake");
                    };
                    let mut answer = json_answer(StatusCode::OK, text);
                    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                    let kind = HeaderValue::from_static(kind);
                    answer.headers_mut().insert(CONTENT_TYPE, kind);
                    answer
                }
            })
            .await;
        });
    }
}
