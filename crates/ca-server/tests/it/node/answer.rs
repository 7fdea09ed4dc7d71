//! Answers of a node over HTTP.

use std::io::Read;
use std::net::TcpStream;

use serde_json::Value;
use ssh_format::Certificate;

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `Retry-After` in seconds; 0 without one.
    pub(crate) fn retry_after(&self) -> u64 {
        let line = self
            .head
            .lines()
            .find_map(|it| it.strip_prefix("retry-after: "));
        line.map_or(0, |it| it.parse().unwrap())
    }

    /// The status, the code and the text of a refusal.
    #[track_caller]
    pub(crate) fn refused(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("code"), text("detail"))
    }

    /// Reads an answer to its end. Its status is 0 if the node was gone before its head ended.
    pub(super) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        let Some(end) = end else {
            return Self {
                status: 0,
                head: String::new(),
                body: bytes,
            };
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    #[track_caller]
    pub(crate) fn certificate(&self) -> Certificate {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let json = self.json();
        Certificate::from_line(json["certificate"].as_str().unwrap())
            .unwrap()
            .0
    }
}
