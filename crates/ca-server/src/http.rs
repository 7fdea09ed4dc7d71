//! The service over HTTP/1.1. A request passes the rate limits, and then waits for one of a few worker threads.

mod answer;
mod limits;
mod queue;
mod room;
mod scrape;
mod source;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use base64ct::{Base64, Encoding};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HeaderValue, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use key_proof::MAX_FILE_LEN;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::Reply;
use crate::authority::{Authority, now};
use crate::policy::Listen;

use answer::{
    Answer, busy, ca_keys_answer, json_answer, krl_answer, not_ready, pem_answer, problem, refused,
    too_often,
};
pub use limits::Limits;
use queue::Queue;
pub use queue::{LONGEST_WAIT, come_again, work};
pub use room::room;
pub use scrape::serve_metrics;
pub use tls::Tls;

/// The longest head of a request, in bytes: the smallest limit that hyper accepts.
const MAX_HEAD: usize = 8 * 1024;
/// The longest time for each of the TLS handshake, the head and the body of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// The numbers of workers for renewals and for enrolments. Enrolments have workers of their own so that they do not delay renewals.
const WORKERS: (usize, usize) = (12, 4);
/// How long a connection accepts requests. The client then has the same time again to read the last answer.
const TURN: Duration = Duration::from_secs(30);
/// How long the node waits for requests that have begun after it was told to end.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `end` is ready, with at most `connections` connections at a time. Then requests that have begun get ten seconds to finish.
///
/// # Errors
///
/// If the semaphore that counts the connections was closed. Nothing closes it.
pub async fn serve(
    authority: Arc<Authority>,
    listener: TcpListener,
    tls: Tls,
    connections: usize,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let gauge = authority.metrics().sign_queue();
    let service = Service {
        authority,
        tls: tls.clone(),
        limits: Arc::new(Limits::new()),
        renewals: Queue::new(WORKERS.0, gauge.clone()),
        enrolments: Queue::new(WORKERS.1, gauge),
    };
    let connections = Arc::new(Semaphore::new(connections));
    tokio::pin!(end);
    loop {
        let next = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream, peer) = tokio::select! {
            () = &mut end => break,
            (permit, accepted) = next => match accepted {
                Ok((stream, peer)) => (permit?, stream, peer.ip()),
                Err(err) => {
                    // Such as too many open files, which may be better after a pause.
                    eprintln!("tpmssh-ca: a connection is not accepted: {err}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (service, tls) = (service.clone(), tls.acceptor());
        tokio::spawn(async move {
            match tls {
                None => service.connection(stream, peer, permit).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = timeout(PATIENCE, tls.accept(stream)).await {
                        service.connection(stream, peer, permit).await;
                    }
                }
            }
        });
    }
    drop(listener);
    let idle = async {
        service.renewals.idle().await;
        service.enrolments.idle().await;
        // Time for the answers to be written to their sockets.
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let _ = timeout(GRACE, idle).await;
    Ok(())
}

/// Opens the port of the service.
///
/// # Errors
///
/// If the port is in use.
pub async fn listen(listen: &Listen) -> anyhow::Result<TcpListener> {
    bind(listen.address).await
}

/// Opens a port at `address`.
///
/// # Errors
///
/// If the port is in use.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen at {address}"))
}

/// All paths of the service.
const PATHS: [&str; 9] = [
    "/v1/enroll/begin",
    "/v1/enroll/finish",
    "/v1/renew",
    "/v1/nonce",
    "/v1/krl",
    "/v1/ca-keys",
    "/v1/tls",
    "/healthz",
    "/readyz",
];

#[derive(Clone)]
struct Service {
    authority: Arc<Authority>,
    tls: Tls,
    limits: Arc<Limits>,
    renewals: Queue,
    enrolments: Queue,
}

impl Service {
    async fn connection(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: IpAddr,
        _permit: OwnedSemaphorePermit,
    ) {
        talk(stream, move |request| {
            let service = self.clone();
            async move { service.counted(request, peer).await }
        })
        .await;
    }

    async fn counted(&self, request: Request<Incoming>, peer: IpAddr) -> Answer {
        let path = request.uri().path();
        // An unknown path must not become a label, because clients can ask for any number of them.
        let path = PATHS.into_iter().find(|it| *it == path);
        let answer = self.answer(request, peer).await;
        let status = answer.status().as_u16();
        let metrics = self.authority.metrics();
        metrics.request(path.unwrap_or("other"), status);
        answer
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Answer {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        let wanted = match path.as_str() {
            "/v1/enroll/begin" | "/v1/enroll/finish" | "/v1/renew" => Method::POST,
            "/v1/nonce" | "/v1/krl" | "/v1/ca-keys" | "/v1/tls" | "/healthz" | "/readyz" => {
                Method::GET
            }
            _ => return problem(404, "not-found", "there is nothing here"),
        };
        if method != wanted {
            let mut answer = problem(405, "method", "this is asked for otherwise");
            let allow = HeaderValue::from_str(wanted.as_str());
            answer
                .headers_mut()
                .extend(allow.ok().map(|it| (ALLOW, it)));
            return answer;
        }
        let policy = self.authority.policy();
        let source = source::of(peer, request.headers(), &policy.listen.trusted_proxies);
        drop(policy);
        if let Err(wait) = self.limits.take(&path, source, Instant::now()) {
            return too_often(wait);
        }
        // Answered without a worker, so that it also works while all workers are busy.
        if path == "/healthz" {
            return json_answer(StatusCode::OK, "{\"status\":\"ok\"}\n".to_owned());
        }
        if path == "/v1/tls" {
            return match self.tls.chain() {
                Some(chain) => pem_answer(&chain),
                None => problem(404, "no-tls", "this node is asked without TLS"),
            };
        }
        let known = request.headers().get(IF_NONE_MATCH).cloned();
        let body = match read(request).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        if path == "/v1/enroll/begin"
            && let Err(wait) = self.limits.take_key(&body, source, Instant::now())
        {
            return too_often(wait);
        }
        let queue = if path.starts_with("/v1/enroll/") {
            &self.enrolments
        } else {
            &self.renewals
        };
        let turn = match queue.enter().await {
            Ok(turn) => turn,
            Err(wait) => return busy(wait),
        };
        let authority = Arc::clone(&self.authority);
        // It has waited like a renewal, so that a busy node sends machines away before their TPMs sign. The answer is made here, because it needs only the
        // ticket key, and waking a thread costs more.
        if path == "/v1/nonce" {
            return handle(&authority, &path, &body, None);
        }
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            handle(&authority, &path, &body, known.as_ref())
        });
        work.await
            .unwrap_or_else(|_| problem(500, "internal", "the authority has made a mistake"))
    }
}

/// Answers the requests of one connection, which lasts a minute at most, also if the client does not read the answers.
async fn talk<F: Future<Output = Answer>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(Request<Incoming>) -> F,
) {
    let serve = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), serve);
    tokio::pin!(connection);
    // Errors of the connection are ignored: the client is gone.
    if timeout(TURN, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(TURN, connection).await;
    }
}

/// Reads the body: at most 64 KiB, within ten seconds.
async fn read(request: Request<Incoming>) -> Result<Bytes, Answer> {
    let body = Limited::new(request.into_body(), MAX_FILE_LEN).collect();
    match timeout(PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(err)) if err.is::<http_body_util::LengthLimitError>() => {
            Err(problem(413, "too-long", "the body is longer than 64 KiB"))
        }
        Ok(Err(_)) => Err(problem(400, "malformed", "the body is cut short")),
        Err(_) => Err(problem(408, "too-slow", "the body did not come in time")),
    }
}

fn handle(authority: &Authority, path: &str, body: &[u8], known: Option<&HeaderValue>) -> Answer {
    let now = now();
    let done = match path {
        "/v1/enroll/begin" => authority.begin(body, now),
        "/v1/enroll/finish" => authority.finish(body, now),
        "/v1/renew" => authority.renew(body, now),
        "/v1/nonce" => authority.nonce(now).map(|nonce| {
            let nonce = Base64::encode_string(&nonce);
            Reply::Json(format!("{}\n", json!({ "nonce": nonce })))
        }),
        "/v1/ca-keys" => return ca_keys_answer(authority, now, known),
        "/v1/krl" => {
            return match authority.krl(now) {
                Ok(krl) => krl_answer(&krl, known),
                Err(refusal) => refused(&refusal),
            };
        }
        "/readyz" => match &authority.missing(now)[..] {
            [] => Ok(Reply::Json("{\"status\":\"ready\"}\n".to_owned())),
            missing => return not_ready(missing),
        },
        _ => Ok(Reply::Json("{\"status\":\"ok\"}\n".to_owned())),
    };
    match done {
        Ok(Reply::Json(text)) => json_answer(StatusCode::OK, text),
        Ok(Reply::Pending(id)) => json_answer(
            StatusCode::ACCEPTED,
            format!("{}\n", json!({ "pending": id })),
        ),
        Err(refusal) => refused(&refusal),
    }
}

/// Ends at SIGTERM or SIGINT.
///
/// # Errors
///
/// If the signals cannot be watched.
pub fn ended() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::Response;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    async fn long(_: Request<Incoming>) -> Answer {
        Response::new(Full::from(vec![b'x'; 64 * 1024]))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_read_the_answer_is_sent_away() {
        let (mut machine, node) = duplex(1024);
        machine.write_all(QUESTION).await.unwrap();
        let begun = Instant::now();
        let ended = timeout(10 * TURN, talk(node, long)).await;
        assert!(ended.is_ok(), "the connection is held for good");
        assert_eq!(begun.elapsed().as_secs(), 2 * TURN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_slowly_gets_the_answer_and_no_other() {
        let (mut machine, node) = duplex(1024);
        let talk = tokio::spawn(talk(node, long));
        let begun = Instant::now();
        let mut read = 0;
        machine.write_all(QUESTION).await.unwrap();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            match machine.read(&mut [0; 1024]).await.unwrap() {
                0 => break,
                some => read += some,
            }
        }
        assert!(read > 64 * 1024 && begun.elapsed() > TURN, "{read}");
        talk.await.unwrap();
    }
}
