//! A proxy between a client and an authority, which changes the answers of the authority.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The paths of the requests, each with the index of the authority that has answered.
pub(crate) type Passed = Vec<(String, usize)>;

type Change = Box<dyn FnMut(&str, Vec<u8>) -> Vec<u8> + Send>;

/// A server that passes each request on, and changes each answer by `change`.
pub(crate) struct Between {
    pub(crate) url: String,
}

impl Between {
    /// `change` gets the path of a request and the whole answer, head and body.
    pub(crate) fn new(
        authority: &str,
        change: impl FnMut(&str, Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let authority = authority.to_owned();
        Self::passing_by(move || authority.clone(), change)
    }

    /// A proxy that changes nothing. `to` is the address of the authority, which can be replaced while the proxy runs.
    pub(crate) fn switching(to: &Arc<Mutex<String>>) -> Self {
        Self::passing_to(Arc::clone(to), |_, answer| answer)
    }

    pub(super) fn passing_to(
        to: Arc<Mutex<String>>,
        change: impl FnMut(&str, Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Self {
        Self::passing_by(move || to.lock().unwrap().clone(), change)
    }

    /// A balancer that passes each request to the next of `authorities`, and records its path and the index of the authority. Addresses can be
    /// replaced while it runs. Only one client may use it at a time.
    pub(crate) fn in_turn(authorities: &Arc<Mutex<Vec<String>>>) -> (Self, Arc<Mutex<Passed>>) {
        let all = Arc::clone(authorities);
        let passed = Arc::<Mutex<Passed>>::default();
        let (noted, chosen) = (Arc::clone(&passed), Arc::new(Mutex::new(0)));
        let choice = Arc::clone(&chosen);
        let mut turn = 0;
        let next = move || {
            let all = all.lock().unwrap();
            let at = turn % all.len();
            turn += 1;
            *choice.lock().unwrap() = at;
            all[at].clone()
        };
        let between = Self::passing_by(next, move |path, answer| {
            let at = *chosen.lock().unwrap();
            noted.lock().unwrap().push((path.to_owned(), at));
            answer
        });
        (between, passed)
    }

    fn passing_by(
        mut to: impl FnMut() -> String + Send + 'static,
        change: impl FnMut(&str, Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let change: Arc<Mutex<Change>> = Arc::new(Mutex::new(Box::new(change)));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, change) = (client.unwrap(), Arc::clone(&change));
                let to = to()
                    .trim_start_matches("http://")
                    .trim_end_matches('/')
                    .to_owned();
                std::thread::spawn(move || pass(client, &to, &change));
            }
        });
        Self { url }
    }
}

fn pass(mut client: TcpStream, to: &str, change: &Mutex<Change>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let head = loop {
        let read = client.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..read]);
        if let Some(at) = request.windows(4).position(|it| it == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).into_owned();
    let path = text.split(' ').nth(1).unwrap().to_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.eq_ignore_ascii_case("content-length")).then(|| value.trim().parse::<usize>())
    });
    let length = length.map_or(0, |it| it.unwrap());
    let mut body = request[head..].to_vec();
    while body.len() < length {
        let read = client.read(&mut buffer).unwrap();
        body.extend_from_slice(&buffer[..read]);
    }
    // There is one request per connection.
    let head: String = text
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:") && !line.is_empty())
        .map(|line| format!("{line}\r\n"))
        .collect();
    let mut server = TcpStream::connect(to).unwrap();
    server
        .write_all(format!("{head}connection: close\r\n\r\n").as_bytes())
        .unwrap();
    server.write_all(&body).unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).unwrap();
    let answer = change.lock().unwrap()(&path, answer);
    let _ = client.write_all(&answer);
}

/// An answer with another body.
pub(crate) fn with_body(body: &[u8]) -> Vec<u8> {
    with_status("200 OK", body)
}

/// An answer with this status and body.
pub(crate) fn with_status(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The body of an answer.
pub(crate) fn body_of(answer: &[u8]) -> &[u8] {
    let at = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    &answer[at + 4..]
}
