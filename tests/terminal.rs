//! What a user at a terminal sees, on a private pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use testing::{PATIENCE, end_of};

use crate::program::{PIN, Program, SO_PIN};

/// A program on a terminal; the test is its user.
pub(crate) struct Session {
    terminal: File,
    child: Child,
    seen: String,
}

impl Session {
    /// Starts `tpmssh` with a controlling terminal. `setsid` execs it, so the process id is its own.
    pub(crate) fn start(program: &Program, args: &[&str]) -> Self {
        let mut command = program.home.command("setsid");
        command
            .args(["--ctty", env!("CARGO_BIN_EXE_tpmssh")])
            .args(args);
        Self::spawn(command)
    }

    /// Starts any program; with `setsid --ctty` this is its controlling terminal.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new())
            .unwrap()
            .into_string()
            .unwrap();
        let other = File::options().read(true).write(true).open(name).unwrap();
        let stdio = || Stdio::from(other.try_clone().unwrap());
        let child = command
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap();
        Self {
            terminal: File::from(terminal),
            child,
            seen: String::new(),
        }
    }

    /// Waits until `text` has been shown; what was shown up to its end.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.contains(text) {
            assert!(self.read(deadline), "no {text:?} in {:?}", self.seen);
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end).collect()
    }

    /// Reads what is there; `false` at the end or at the deadline.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.terminal, PollFlags::IN)];
        if poll(&mut fds, Some(&timeout)).unwrap() == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        // A terminal whose last program has ended gives EIO.
        let count = self.terminal.read(&mut bytes).unwrap_or(0);
        self.seen
            .push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }

    /// What has been shown since the last `expect` or `forget`.
    pub(crate) fn seen(&self) -> &str {
        &self.seen
    }

    /// Starts anew with what is shown from now on.
    pub(crate) fn forget(&mut self) {
        self.seen.clear();
    }

    /// Waits for more to be shown.
    #[track_caller]
    pub(crate) fn read_more(&mut self) {
        assert!(
            self.read(Instant::now() + PATIENCE),
            "nothing more after {:?}",
            self.seen
        );
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Whether typing is shown. Both ends of a terminal have the same modes.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.terminal)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
    }

    /// Reads to the end; how the program ended and what it showed since the last `expect`.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        while self.read(deadline) {}
        (end_of(&mut self.child), self.seen)
    }

    /// Ends a program that goes on until somebody ends it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }
}

/// Keeps the modes of a terminal readable after its program has ended.
fn holder(session: &Session) -> OwnedFd {
    session.terminal.as_fd().try_clone_to_owned().unwrap()
}

#[test]
fn a_pin_is_asked_for_without_being_shown() {
    let program = Program::with_token();
    let mut session = Session::start(&program, &["keygen", "--label", "mine"]);
    session.expect("PIN for token \"work\": ");
    assert!(!session.echoes());
    session.type_in("correct horse\n");
    session.expect("\r\nlabel        mine\r\n");
    assert!(session.echoes());
    let (status, rest) = session.end();
    assert!(status.success());
    assert!(!rest.contains(PIN), "{rest}");
}

#[test]
fn a_new_pin_is_asked_for_twice() {
    let program = Program::new();
    let mut session = Session::start(&program, &["token", "init", "--label", "work"]);
    session.expect("New PIN for token \"work\": ");
    session.type_in("correct horse\n");
    session.expect("New PIN for token \"work\", again: ");
    session.type_in("correct horse\n");
    session.expect("Recovery code (SO PIN): ");
    session.expect("token \"work\" made");
    assert!(session.end().0.success());
    program.keygen("the same one");
}

#[test]
fn two_different_entries_are_asked_for_again_three_times() {
    let program = Program::new();
    let init = |answers: &[(&str, &str)]| {
        let mut session = Session::start(&program, &["token", "init", "--label", "work"]);
        session.expect("A PIN has at least 4 bytes; a letter or a digit is one.\r\n");
        for (first, second) in answers {
            session.expect("New PIN for token \"work\": ");
            session.type_in(&format!("{first}\n"));
            // A PIN that cannot be used is not asked for a second time.
            if first.len() >= 4 {
                session.expect("New PIN for token \"work\", again: ");
                session.type_in(&format!("{second}\n"));
            }
        }
        session.end()
    };
    let wrong = ("correct horse", "correct hrose");
    let (status, rest) = init(&[wrong, wrong, wrong]);
    assert_eq!(status.code(), Some(1));
    assert_eq!(rest, "\r\ntpmssh: the two entries are not the same\r\n");
    let (status, rest) = init(&[wrong, ("abc", ""), ("abc", "")]);
    assert_eq!(status.code(), Some(3), "{rest}");
    assert_eq!(program.run(&["token", "list", "--json"]).ok(), "[]\n");
    let (status, rest) = init(&[wrong, ("abc", ""), ("correct horse", "correct horse")]);
    assert!(status.success(), "{rest}");
    program.keygen("the right one");
}

#[test]
fn the_old_pin_is_looked_at_before_a_new_one_is_asked_for() {
    let program = Program::with_token();
    let mut session = Session::start(&program, &["token", "change-pin"]);
    session.expect("PIN for token \"work\": ");
    session.type_in("incorrect horse\n");
    let (status, rest) = session.end();
    assert_eq!(status.code(), Some(3));
    let expected = "\r\ntpmssh: the PIN was not changed: wrong PIN, 2 tries left\r\n";
    assert_eq!(rest, expected);
    let mut session = Session::start(&program, &["token", "change-pin"]);
    session.expect("PIN for token \"work\" (2 of 3 tries left): ");
    session.type_in("incorrect horse\n");
    assert_eq!(session.end().0.code(), Some(3));
    // The last try has to be confirmed.
    let mut session = Session::start(&program, &["keygen"]);
    session.expect("Only 1 try is left. A wrong PIN now locks the token. Try anyway? [y/N] ");
    session.type_in("n\n");
    let (_, rest) = session.end();
    assert!(
        rest.ends_with("tpmssh: not confirmed, nothing was changed\r\n"),
        "{rest}"
    );
    let mut session = Session::start(&program, &["keygen", "-C", "mine"]);
    session.expect("[y/N] ");
    session.type_in("y\n");
    session.expect("PIN for token \"work\" (1 of 3 tries left): ");
    session.type_in("incorrect horse\n");
    let (_, rest) = session.end();
    assert!(rest.contains("no more tries left"), "{rest}");
    // For a locked token no PIN is asked for.
    let mut session = Session::start(&program, &["keygen"]);
    session.expect("tpmssh: the PIN is locked after too many wrong ones\r\n");
    assert_eq!(session.end().0.code(), Some(4));
}

#[test]
fn a_token_init_asks_for_the_owner_password_that_it_needs() {
    let program = Program::new();
    let password = program.secret("owner", "owner password");
    program
        .run(&["tpm", "change-auth", "owner", "--new-auth-file", &password])
        .ok();
    let mut session = Session::start(
        &program,
        &[
            "token",
            "init",
            "--label",
            "work",
            "--pin-file",
            &program.pin,
        ],
    );
    session.expect("Owner password of the TPM: ");
    session.type_in("owner password\n");
    session.expect("token \"work\" made");
    assert!(session.end().0.success());
    let list = program.run(&["token", "list"]).ok();
    assert!(list.contains("counter"), "{list}");
}

#[test]
fn an_so_resets_a_pin() {
    let program = Program::with_token();
    let mut session = Session::start(&program, &["token", "reset-pin"]);
    session.expect("Recovery code (SO PIN) for token \"work\": ");
    session.type_in(&format!("{SO_PIN}\n"));
    session.expect("New PIN for token \"work\": ");
    session.type_in("new horse\n");
    session.expect("again: ");
    session.type_in("new horse\n");
    session.expect("tpmssh: token \"work\" has the new PIN\r\n");
    assert!(session.end().0.success());
}

#[test]
fn ctrl_d_declines() {
    let program = Program::with_token();
    let mut session = Session::start(&program, &["keygen"]);
    session.expect(": ");
    session.type_in("\x04");
    let (status, rest) = session.end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(rest, "\r\ntpmssh: no answer was given\r\n");
}

#[test]
fn ctrl_c_leaves_a_terminal_that_shows_typing() {
    let program = Program::with_token();
    let mut session = Session::start(&program, &["keygen"]);
    let terminal = holder(&session);
    session.expect("PIN for token \"work\": ");
    assert!(!session.echoes());
    session.type_in("secr\x03");
    let (status, _) = session.end();
    assert_eq!(signal_of(status), Some(2));
    assert!(
        tcgetattr(&terminal)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
    );
}

#[test]
fn other_signals_leave_a_terminal_that_shows_typing() {
    let program = Program::with_token();
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut session = Session::start(&program, &["keygen"]);
        let terminal = holder(&session);
        session.expect("PIN for token \"work\": ");
        session.signal(signal);
        let (status, _) = session.end();
        assert_eq!(signal_of(status), Some(signal.as_raw()));
        assert!(
            tcgetattr(&terminal)
                .unwrap()
                .local_modes
                .contains(LocalModes::ECHO)
        );
    }
}

fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[test]
fn rsa_generation_shows_that_it_works_and_ctrl_c_ends_it() {
    let program = Program::with_token();
    let args = [
        "keygen",
        "-t",
        "rsa",
        "-b",
        "3072",
        "--pin-file",
        &program.pin,
        "--label",
        "big",
    ];
    let mut session = Session::start(&program, &args);
    session.expect("tpmssh: the TPM makes an rsa3072 key … 0 s (Ctrl-C stops it)");
    // Stopped in the middle: the TPM itself does not go on meanwhile.
    program.swtpm.pause();
    session.expect(" … 1 s ");
    session.type_in("\x03");
    session.expect("\r\x1b[Ktpmssh: stopping when the TPM has finished (Ctrl-C: at once)\r\n");
    session.type_in("\x03");
    let (status, rest) = session.end();
    program.swtpm.resume();
    assert_eq!(signal_of(status), Some(2));
    assert!(
        rest.ends_with("\r\x1b[Ktpmssh: interrupted; no key was made\r\n"),
        "{rest:?}"
    );
    assert_eq!(program.run(&["list-objects", "--json"]).ok(), "[]\n");
    program.keygen("it works on");

    let mut session = Session::start(&program, &args);
    session.expect(" … 0 s ");
    session.expect("\r\x1b[Klabel        big\r\n");
    assert!(session.end().0.success());
}

#[test]
fn deleting_asks() {
    let program = Program::with_key();
    for (answer, deleted) in [
        ("n\n", false),
        ("\n", false),
        ("\x04", false),
        ("y\n", true),
    ] {
        let mut session = Session::start(&program, &["delete", "first"]);
        session.expect("Delete ecdsa-p256 key \"first\" (SHA256:");
        session.expect(") for ever? [y/N] ");
        assert!(session.echoes());
        session.type_in(answer);
        let (status, rest) = session.end();
        assert_eq!(status.success(), deleted, "{answer:?}: {rest}");
        let expected = if deleted {
            "tpmssh: ecdsa-p256 key \"first\" is deleted\r\n"
        } else {
            "tpmssh: not confirmed, nothing was changed\r\n"
        };
        assert!(rest.ends_with(expected), "{rest}");
    }
}

#[test]
fn the_terminal_is_asked_even_if_stdin_is_something_else() {
    let program = Program::with_token();
    let mut command = program.home.command("setsid");
    let line = format!("echo not the PIN | {} keygen", env!("CARGO_BIN_EXE_tpmssh"));
    command.args(["--ctty", "sh", "-c", &line]);
    let mut session = Session::spawn(command);
    session.expect("PIN for token \"work\": ");
    session.type_in("correct horse\n");
    assert!(session.end().0.success());
}
