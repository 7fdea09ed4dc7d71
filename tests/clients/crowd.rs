//! Many processes at once and in a row, and some that are killed: on a TPM that answers one
//! connection at a time, and behind a resource manager.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use testing::{Abrmd, Sshd};

use super::{file, module_path, ok, write};
use crate::program::{PIN, Program};

/// A token with the key `first` (id 01) whose programs reach the TPM directly, or by way of
/// `tpm2-abrmd`.
struct Crowd {
    program: Program,
    env: Vec<(OsString, OsString)>,
    _manager: Option<Abrmd>,
}

impl Crowd {
    fn new(managed: bool) -> Self {
        let mut program = Program::with_token();
        let make = ["keygen", "--id", "01", "--label", "first", "--pin-file"];
        program.run(&[&make[..], &[&program.pin]].concat()).ok();
        write(&program.home, "data", "to be signed");
        let manager = managed.then(|| Abrmd::start(&program.swtpm));
        if let Some(manager) = &manager {
            program.home.set_tcti(manager.tcti());
        }
        Self {
            env: manager.as_ref().map(Abrmd::env).unwrap_or_default(),
            _manager: manager,
            program,
        }
    }

    fn tool(&self, args: &[&str]) -> Command {
        let mut command = self.program.home.command("pkcs11-tool");
        command
            .args(["--module", &module_path(), "--login", "--pin", PIN])
            .args(args)
            .envs(self.env.clone());
        command
    }

    /// Signs into the file `name`, with a process of its own.
    fn sign(&self, name: &str) -> Command {
        let out = file(&self.program.home, name);
        let how = ["--sign", "--mechanism", "ECDSA-SHA256", "--id", "01"];
        let files = ["--input-file", "data", "--output-file", &out];
        self.tool(&[&how[..], &files].concat())
    }

    /// Whether the signature in the file `name` is good, without the TPM.
    fn check(&self, name: &str) {
        let how = ["--verify", "--mechanism", "ECDSA-SHA256", "--id", "01"];
        let files = ["--input-file", "data", "--signature-file", name];
        let mut verify = self.program.home.command("pkcs11-tool");
        verify
            .args(["--module", &module_path()])
            .args(how)
            .args(files);
        let printed = ok(&mut verify);
        assert!(printed.contains("Signature is valid"), "{printed}");
    }

    fn signs_four_at_once_five_times(&self) {
        thread::scope(|scope| {
            for number in 0..4 {
                scope.spawn(move || {
                    for round in 0..5 {
                        let name = format!("signature-{number}-{round}");
                        ok(&mut self.sign(&name));
                        self.check(&name);
                    }
                });
            }
        });
    }

    fn makes_keys_in_four_processes(&self) {
        let ids = ["11", "12", "13", "14"];
        thread::scope(|scope| {
            for id in ids {
                scope.spawn(move || {
                    let make = ["--keypairgen", "--key-type", "EC:prime256v1", "--id", id];
                    ok(&mut self.tool(&make));
                });
            }
        });
        let objects = ok(&mut self.tool(&["-O"]));
        for id in ids {
            let line = format!("ID:         {id}\n");
            assert_eq!(objects.matches(&line).count(), 2, "{id}: {objects}");
        }
    }

    /// Processes are killed earlier and later in their life; the next one signs all the same.
    fn survives_the_killed(&self) {
        for step in 0..24 {
            let mut victim = self.sign("nothing");
            victim.stdout(Stdio::null()).stderr(Stdio::null());
            let mut victim = victim.spawn().unwrap();
            thread::sleep(Duration::from_millis(5 * step));
            // It may be done by then.
            let _ = victim.kill();
            victim.wait().unwrap();
            if step % 4 == 3 {
                ok(&mut self.sign("signature"));
                self.check("signature");
            }
        }
        // None of them cost a try: their PIN was right.
        let tokens = self.program.run(&["token", "list"]).ok();
        assert!(tokens.contains("3 of 3 tries left"), "{tokens}");
    }

    fn signs_twenty_times_in_a_row(&self) {
        for _ in 0..20 {
            ok(&mut self.sign("signature"));
        }
        self.check("signature");
    }
}

/// tpm2-abrmd has 27 places, and a session that has logged in gives its place back: this many are open
/// at once with room for others. `TPMSSH_TEST_SESSIONS=100` opens a hundred.
#[test]
fn more_ssh_sessions_than_a_resource_manager_has_places_are_open_at_once() {
    let number = std::env::var("TPMSSH_TEST_SESSIONS");
    let number = number.map_or(36, |number| number.parse().unwrap());
    let crowd = Crowd::new(true);
    let home = &crowd.program.home;
    let sshd = Sshd::start(home);
    let mut export = home.command(env!("CARGO_BIN_EXE_tpmssh"));
    let public = ok(export.args(["export", "first"]).envs(crowd.env.clone()));
    fs::write(sshd.authorized_keys(), public).unwrap();
    let askpass = home.askpass(crowd.program.pin.as_ref());
    let open = || {
        let mut ssh = sshd.ssh(home, &["-I", &module_path()], "echo in; exec cat");
        ssh.envs(askpass.clone()).envs(crowd.env.clone());
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut session = ssh.spawn().unwrap();
        let mut line = String::new();
        let said = BufReader::new(session.stdout.take().unwrap()).read_line(&mut line);
        said.unwrap();
        assert_eq!(line, "in\n");
        session
    };
    let mut sessions = Vec::new();
    while sessions.len() < number {
        thread::scope(|scope| {
            let opening: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            sessions.extend(opening.into_iter().map(|session| session.join().unwrap()));
        });
    }
    for session in &mut sessions {
        assert!(session.try_wait().unwrap().is_none(), "it is open");
    }
    for mut session in sessions {
        drop(session.stdin.take());
        assert!(session.wait().unwrap().success());
    }
}

#[test]
fn four_processes_sign_at_once_and_twenty_in_a_row() {
    let crowd = Crowd::new(false);
    crowd.signs_four_at_once_five_times();
    crowd.signs_twenty_times_in_a_row();
}

#[test]
fn four_processes_sign_at_once_behind_a_resource_manager() {
    let crowd = Crowd::new(true);
    crowd.signs_four_at_once_five_times();
    crowd.signs_twenty_times_in_a_row();
}

#[test]
fn four_processes_make_keys_at_once() {
    Crowd::new(false).makes_keys_in_four_processes();
}

#[test]
fn four_processes_make_keys_at_once_behind_a_resource_manager() {
    Crowd::new(true).makes_keys_in_four_processes();
}

#[test]
fn killed_processes_leave_nothing_that_stops_others() {
    Crowd::new(false).survives_the_killed();
}

#[test]
fn killed_processes_leave_nothing_that_stops_others_behind_a_resource_manager() {
    Crowd::new(true).survives_the_killed();
}
