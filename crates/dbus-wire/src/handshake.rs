//! The authentication of a client: lines of text before the first message.
//!
//! # Source
//!
//! D-Bus Specification, "Authentication Protocol": the mechanism EXTERNAL, in which the kernel
//! tells the bus the client's user id, and NEGOTIATE_UNIX_FD.

use crate::Error;

/// A client's half of the handshake.
///
/// Send the bytes that [`Handshake::start`] returns. Then give each line of the bus to
/// [`Handshake::line`], and do the step that it returns.
#[derive(Debug)]
pub struct Handshake {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for `OK`. With descriptors, one more request follows.
    Identified {
        descriptors: bool,
    },
    /// Waits for `AGREE_UNIX_FD`.
    Negotiated,
    Done,
}

/// The next step of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes, and wait for another line.
    Send(&'static [u8]),
    /// Send these bytes. The handshake is finished, and messages follow.
    Finish(&'static [u8]),
}

impl Handshake {
    /// Begins as the user `uid`, and returns the first bytes to send.
    ///
    /// With `descriptors` the bus must agree to pass file descriptors.
    #[must_use]
    pub fn start(uid: u32, descriptors: bool) -> (Self, Vec<u8>) {
        let uid = uid.to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        let state = State::Identified { descriptors };
        let hello = format!("\0AUTH EXTERNAL {hex}\r\n");
        (Self { state }, hello.into_bytes())
    }

    /// Takes the bus's next line, without its end.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] if the bus does not accept this user; [`Error::NoDescriptors`] if it
    /// passes no descriptors; [`Error::Malformed`] for an unexpected line.
    pub fn line(&mut self, line: &[u8]) -> Result<Step, Error> {
        let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        let begin = Step::Finish(b"BEGIN\r\n");
        let (state, step) = match (self.state, word) {
            (State::Identified { descriptors: true }, b"OK") => {
                (State::Negotiated, Step::Send(b"NEGOTIATE_UNIX_FD\r\n"))
            }
            (State::Identified { descriptors: false }, b"OK") => (State::Done, begin),
            (State::Identified { .. }, b"REJECTED" | b"ERROR") => return Err(Error::Rejected),
            (State::Negotiated, b"AGREE_UNIX_FD") => (State::Done, begin),
            (State::Negotiated, b"ERROR") => return Err(Error::NoDescriptors),
            _ => return Err(Error::Malformed("line")),
        };
        self.state = state;
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_let_in_with_and_without_descriptors() {
        let (mut handshake, hello) = Handshake::start(1000, false);
        assert_eq!(hello, b"\0AUTH EXTERNAL 31303030\r\n");
        assert_eq!(handshake.line(b"OK 0f"), Ok(Step::Finish(b"BEGIN\r\n")));

        let (mut handshake, _) = Handshake::start(0, true);
        let ask = Step::Send(b"NEGOTIATE_UNIX_FD\r\n");
        assert_eq!(handshake.line(b"OK 0f"), Ok(ask));
        let begin = Step::Finish(b"BEGIN\r\n");
        assert_eq!(handshake.line(b"AGREE_UNIX_FD"), Ok(begin));
        assert_eq!(handshake.line(b"OK"), Err(Error::Malformed("line")));
    }

    #[test]
    fn each_refusal_is_told_apart() {
        let answer = |lines: &[&[u8]]| {
            let (mut handshake, _) = Handshake::start(0, true);
            let mut lines = lines.iter().map(|line| handshake.line(line));
            lines.find_map(Result::err)
        };
        assert_eq!(answer(&[b"REJECTED EXTERNAL"]), Some(Error::Rejected));
        assert_eq!(answer(&[b"ERROR"]), Some(Error::Rejected));
        assert_eq!(answer(&[b"OK 0", b"ERROR no"]), Some(Error::NoDescriptors));
        for line in [&b""[..], b"OKAY", b"AGREE_UNIX_FD", b"\xff\0"] {
            assert_eq!(answer(&[line]), Some(Error::Malformed("line")));
        }
    }
}
