//! The forms of answers.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use rand_core::{OsRng, RngCore};
use serde_json::json;
use ssh_format::text::error_line;

use super::queue::come_again;
use crate::Refusal;
use crate::authority::{Authority, SignedKrl};

/// The wait that [`come_again`] gets if the registry or the signer cannot be used: `Retry-After` is 30 to 60 seconds then.
const OUTAGE: Duration = Duration::from_secs(14);

pub(super) type Answer = Response<Full<Bytes>>;

/// The authority's keys, or 304 if the machine has this list already.
pub(super) fn ca_keys_answer(
    authority: &Authority,
    now: u64,
    known: Option<&HeaderValue>,
) -> Answer {
    let done = authority.keys_number(now).and_then(|number| {
        let tag = format!("\"{number}\"");
        if known.is_some_and(|it| it.as_bytes() == tag.as_bytes()) {
            let mut answer = Response::new(Full::default());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok((answer, tag));
        }
        let text = authority.ca_keys(now)?;
        Ok((json_answer(StatusCode::OK, text), tag))
    });
    match done {
        Ok((mut answer, tag)) => {
            let tag = HeaderValue::from_str(&tag).ok();
            answer.headers_mut().extend(tag.map(|it| (ETAG, it)));
            answer
        }
        Err(refusal) => refused(&refusal),
    }
}

pub(super) fn krl_answer(krl: &SignedKrl, known: Option<&HeaderValue>) -> Answer {
    let tag = format!("\"{}\"", krl.number);
    let is_known = known.is_some_and(|it| it.as_bytes() == tag.as_bytes());
    let mut answer = if is_known {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        let mut answer = Response::new(Full::from(krl.bytes.clone()));
        let kind = HeaderValue::from_static("application/octet-stream");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        // The armoured signature file, encoded once more so that it fits into one line.
        let signature = Base64::encode_string(krl.signature.as_bytes());
        let signature = HeaderValue::from_str(&signature).ok();
        let headers = signature.map(|it| (HeaderName::from_static("tpmssh-signature"), it));
        answer.headers_mut().extend(headers);
        answer
    };
    let tag = HeaderValue::from_str(&tag).ok();
    answer.headers_mut().extend(tag.map(|it| (ETAG, it)));
    answer
}

pub(super) fn json_answer(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

pub(super) fn pem_answer(text: &str) -> Answer {
    let mut answer = Response::new(Full::from(text.to_owned()));
    let kind = HeaderValue::from_static("application/pem-certificate-chain");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// The answer for a refusal: its code and its reason. The cause of a failure of the node is printed, not sent.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    if refusal.status() == 503 {
        eprintln!("tpmssh-ca: {}", error_line(refusal));
        return busy(OUTAGE);
    }
    problem(refusal.status(), &refusal.code(), &refusal.to_string())
}

pub(super) fn busy(wait: Duration) -> Answer {
    let answer = problem(503, "busy", "the authority cannot do this now");
    later(answer, come_again(wait, OsRng.next_u32()))
}

pub(super) fn too_often(wait: Duration) -> Answer {
    let answer = problem(429, "too-often", "too many requests come from there");
    later(answer, wait.as_secs().saturating_add(1))
}

pub(super) fn not_ready(missing: &[&str]) -> Answer {
    let detail = format!("missing: {}", missing.join(", "));
    later(problem(503, "not-ready", &detail), 5)
}

fn later(mut answer: Answer, seconds: u64) -> Answer {
    let seconds = HeaderValue::from(seconds);
    answer.headers_mut().insert(RETRY_AFTER, seconds);
    answer
}

/// An error as a JSON document of problem details.
///
/// # Source
///
/// RFC 9457.
pub(super) fn problem(status: u16, code: &str, detail: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let fields = json!({"status": status.as_u16(), "code": code, "detail": detail});
    let mut answer = json_answer(status, format!("{fields}\n"));
    let kind = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
