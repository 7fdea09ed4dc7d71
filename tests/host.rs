//! `tpmssh host`: a private sshd whose host key is in the TPM.

mod beside_files;
mod other_systems;
mod proven;
mod removal;

use std::fs;
use std::os::unix::fs::symlink;

use testing::{Service, Sshd};

use crate::certs::{key_file, sign, with_authority};
use crate::program::{Outcome, Program, run, text};

/// A machine below the home of a program: `etc`, a store, a socket, and a `systemctl` that records
/// its calls.
pub(crate) struct Machine {
    pub(crate) program: Program,
    pub(crate) etc: String,
    pub(crate) store: String,
    pub(crate) socket: String,
}

impl Machine {
    pub(crate) fn new(program: Program) -> Self {
        let at = |name: &str| text(program.home.path().join(name));
        fs::create_dir(at("bin")).unwrap();
        // systemd runs, and a server called sshd.
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n--version | show-environment) exit 0 ;;\n\
             'is-active --quiet ssh.service') exit 3 ;;\n\
             'is-active --quiet sshd.service') exit 0 ;;\nesac\necho \"$*\" >>{}\n",
            at("calls")
        );
        program.home.script("bin/systemctl", &script);
        fs::create_dir_all(at("etc/ssh")).unwrap();
        fs::write(at("etc/ssh/sshd_config"), "Include sshd_config.d/*.conf\n").unwrap();
        Self {
            etc: at("etc"),
            store: at("host-store"),
            socket: at("run/host.sock"),
            program,
        }
    }

    pub(crate) fn setup(&self, options: &[&str]) -> Outcome {
        self.host("setup", options)
    }

    /// Runs a command of `tpmssh host` for this machine.
    fn host(&self, command: &str, options: &[&str]) -> Outcome {
        let places = [
            "--store",
            &self.store,
            "--etc",
            &self.etc,
            "--socket",
            &self.socket,
        ];
        self.run(&[&["host", command], &places[..], options].concat())
    }

    /// Runs the program where `systemctl` is the one that records its calls.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        let path = std::env::var("PATH").unwrap();
        let bin = self.program.home.path().join("bin");
        let mut command = self.program.command();
        command.env("PATH", format!("{}:{path}", bin.display()));
        Outcome::of(command.args(args))
    }

    fn check(&self, sshd: &Sshd) -> Outcome {
        self.check_at(sshd.port())
    }

    fn check_at(&self, port: u16) -> Outcome {
        let port = port.to_string();
        let machine = ["--store", &self.store, "--etc", &self.etc];
        let mut command = self.program.command();
        command
            .args(["host", "check", "--port", &port])
            .args(machine);
        Outcome::of(command.args(["--socket", &self.socket]))
    }

    /// Makes a host key in a file, as a distribution does; its public line.
    fn file_key(&self, kind: &str, options: &[&str]) -> String {
        let path = format!("{}/ssh/ssh_host_{kind}_key", self.etc);
        let arguments = ["-q", "-N", "", "-C", "file", "-t", kind, "-f", &path];
        run("ssh-keygen", &[&arguments, options].concat());
        self.read(&format!("ssh/ssh_host_{kind}_key.pub"))
    }

    /// The fingerprint for each algorithm that the server offers. The server must prove each key to
    /// a client that has never seen it.
    fn shown(&self, sshd: &Sshd, key: &str) -> Vec<(String, String)> {
        let scan = run("ssh", &["-F", "/dev/null", "-Q", "HostKeyAlgorithms"]);
        let known = text(self.program.home.path().join("known"));
        let mut shown = Vec::new();
        for algorithm in scan.lines().filter(|it| !it.contains("-cert-")) {
            let _ = fs::remove_file(&known);
            let options = [
                "-i",
                key,
                "-o",
                &format!("HostKeyAlgorithms={algorithm}"),
                "-o",
                "StrictHostKeyChecking=accept-new",
                "-o",
                "UpdateHostKeys=no",
                "-o",
                "LogLevel=INFO",
            ];
            let mut ssh = self.program.home.command("ssh");
            ssh.args(["-o", &format!("UserKnownHostsFile={known}")]);
            ssh.args(options).args(sshd.ssh_args());
            ssh.args([&sshd.destination(), "echo in"]);
            let outcome = Outcome::of(&mut ssh);
            if outcome.stderr.contains("no matching host key type") {
                continue;
            }
            let log = sshd.log();
            assert_eq!(outcome.stdout, "in\n", "{algorithm}: {outcome:?}{log}");
            let line = fs::read_to_string(&known).unwrap();
            let key = line.split_whitespace().nth(2).unwrap().to_owned();
            shown.push((algorithm.to_owned(), key));
        }
        shown
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(format!("{}/{name}", self.etc)).unwrap()
    }

    /// The service, as its unit describes it.
    pub(crate) fn serve(&self) -> Service {
        let unit = self.read("systemd/system/tpmssh-host.service");
        let mut command = self.program.home.daemon(env!("CARGO_BIN_EXE_tpmssh"));
        let environment = unit
            .lines()
            .filter_map(|it| it.strip_prefix("Environment="));
        let mut known = 0;
        for setting in environment.map(|it| it.trim_matches('"')) {
            let (name, value) = setting.split_once('=').unwrap();
            if name.starts_with("TPMSSH_") {
                command.env(name, value);
                known += 1;
            }
        }
        assert_eq!(known, 2, "{unit}");
        let start = format!(
            "ExecStart=\"{}\" agent --no-ask\n",
            env!("CARGO_BIN_EXE_tpmssh")
        );
        assert!(unit.contains(&start), "{unit}");
        command.args(["agent", "--no-ask", "--socket", &self.socket]);
        Service::start("tpmssh agent", command, self.socket.as_ref())
    }

    /// Whether OpenSSH's own client accepts the host key of the TPM from this server.
    fn logs_in(&self, sshd: &Sshd, key: &str) -> bool {
        let public = self.read("ssh/ssh_host_tpm_ecdsa_key.pub");
        fs::write(sshd.known_hosts(), format!("* {public}")).unwrap();
        let algorithm = public.split(' ').next().unwrap();
        let algorithm = format!("HostKeyAlgorithms={algorithm}");
        let options = ["-i", key, "-o", &algorithm];
        let output = sshd.run(&self.program.home, &[], &options, "echo in");
        output.stdout == b"in\n"
    }

    /// A server with the drop-in that was written; a key for it.
    pub(crate) fn sshd(&self) -> (Sshd, String) {
        self.sshd_with("")
    }

    /// The same with further lines of configuration.
    fn sshd_with(&self, lines: &str) -> (Sshd, String) {
        let drop_in = self.read("ssh/sshd_config.d/10-tpmssh.conf");
        let sshd = Sshd::with_config(&self.program.home, &(drop_in + lines));
        let key = text(self.program.home.path().join("user"));
        if !fs::exists(&key).unwrap() {
            key_file(&self.program, "user");
        }
        fs::copy(format!("{key}.pub"), sshd.authorized_keys()).unwrap();
        (sshd, key)
    }
}

#[test]
fn sshd_proves_a_host_key_and_a_host_certificate_of_the_tpm() {
    let machine = Machine::new(with_authority());
    let done = machine.setup(&[]);
    assert!(
        done.stderr
            .contains("systemctl enable --now tpmssh-host.socket"),
        "{done:?}"
    );
    assert!(!done.stderr.contains("does not include"), "{done:?}");
    done.ok();
    let public = machine.read("ssh/ssh_host_tpm_ecdsa_key.pub");
    assert!(public.starts_with("ecdsa-sha2-nistp256 ") && public.ends_with(" host key\n"));
    let calls = fs::read_to_string(machine.program.home.path().join("calls")).unwrap();
    assert_eq!(calls, "daemon-reload\nenable --now tpmssh-host.socket\n");

    let agent = machine.serve();
    let (sshd, key) = machine.sshd();
    fs::write(sshd.known_hosts(), format!("* {public}")).unwrap();
    let login = |sshd: &Sshd, option: &str| {
        let options = ["-i", &key, "-o", option];
        sshd.run(&machine.program.home, &[], &options, "echo in")
    };
    let output = login(&sshd, "HostKeyAlgorithms=ecdsa-sha2-nistp256");
    assert_eq!(
        output.stdout,
        b"in\n",
        "{output:?}{}{}",
        sshd.log(),
        agent.log()
    );
    let proven = machine.check(&sshd).ok();
    let at = format!("127.0.0.1:{}", sshd.port());
    assert!(
        proven.starts_with(&format!("{at} proves ecdsa-p256 SHA256:")),
        "{proven}"
    );
    drop(sshd);

    // The same key, certified; once more changes no key.
    let path = format!("{}/ssh/ssh_host_tpm_ecdsa_key", machine.etc);
    let options = ["-n", "127.0.0.1", "-V", "+1h"];
    let certificate = sign(&machine.program, "sign-host", &path, &options);
    let elsewhere = machine
        .program
        .secret("signed", &fs::read_to_string(&certificate).unwrap());
    fs::remove_file(certificate).unwrap();
    machine.setup(&["--certificate", &elsewhere]).ok();
    assert_eq!(machine.read("ssh/ssh_host_tpm_ecdsa_key.pub"), public);
    let (sshd, _) = machine.sshd();
    let line = machine
        .program
        .run(&["ca", "public-key", "--known-hosts", "*"])
        .ok();
    fs::write(sshd.known_hosts(), line).unwrap();
    let output = login(
        &sshd,
        "HostKeyAlgorithms=ecdsa-sha2-nistp256-cert-v01@openssh.com",
    );
    assert_eq!(
        output.stdout,
        b"in\n",
        "{output:?}{}{}",
        sshd.log(),
        agent.log()
    );

    // Without the agent nobody signs, and the check says so.
    drop(agent);
    let label = public.trim().splitn(3, ' ').nth(2).unwrap();
    machine.check(&sshd).fails(
        1,
        &format!(
            "tpmssh: the server at 127.0.0.1:{} does not prove host key \"{label}\": the agent of the host \
             keys does not answer at {}\n\
             hint: start it: sudo systemctl restart tpmssh-host.socket\n",
            sshd.port(),
            machine.socket,
        ),
    );
}

#[test]
fn a_server_without_the_key_is_found_out() {
    let machine = Machine::new(Program::new());
    machine.setup(&[]).ok();
    let _agent = machine.serve();
    let sshd = Sshd::start(&machine.program.home);
    let refused = machine.check(&sshd);
    let port = sshd.port();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let label = machine.read("ssh/ssh_host_tpm_ecdsa_key.pub");
    let label = label.trim().splitn(3, ' ').nth(2).unwrap().to_owned();
    assert_eq!(
        refused.stderr,
        format!(
            "tpmssh: the server at 127.0.0.1:{port} does not prove host key \"{label}\": it offers no \
             key of this type and curve, only ssh-ed25519\n\
             hint: sudo tpmssh host setup puts it there; after that: sudo systemctl reload ssh\n"
        )
    );
}

#[test]
fn a_dry_run_shows_everything_and_changes_nothing() {
    let machine = Machine::new(Program::new());
    fs::write(format!("{}/ssh/ssh_host_ed25519_key", machine.etc), "a key").unwrap();
    let shown = machine.setup(&["--dry-run"]).ok();
    let etc = &machine.etc;
    for file in [
        "systemd/system/tpmssh-host.socket",
        "systemd/system/tpmssh-host.service",
        "ssh/sshd_config.d/10-tpmssh.conf",
    ] {
        assert!(shown.contains(&format!("# {etc}/{file}\n")), "{shown}");
        assert!(!fs::exists(format!("{etc}/{file}")).unwrap());
    }
    assert!(
        shown.contains(&format!(
            "HostKeyAgent {}\nHostKey {etc}/ssh/ssh_host_tpm_ecdsa_key.pub\n\
             HostKey {etc}/ssh/ssh_host_ed25519_key\n",
            machine.socket
        )),
        "{shown}"
    );
    assert!(!fs::exists(&machine.store).unwrap());
    assert!(!machine.program.home.path().join("calls").exists());
    let only = machine.setup(&["--dry-run", "--only"]).ok();
    assert!(!only.contains("ed25519"), "{only}");
}

#[test]
fn what_is_not_ours_or_not_for_this_host_is_refused_before_anything_is_made() {
    let machine = Machine::new(with_authority());
    let key = key_file(&machine.program, "other");
    let user = sign(
        &machine.program,
        "sign-user",
        &key,
        &["-n", "anna", "-V", "+1h"],
    );
    machine.setup(&["--certificate", &user]).fails(
        2,
        &format!("tpmssh: {user}: it is the certificate of a user\n"),
    );
    let units = format!("{}/systemd/system", machine.etc);
    fs::create_dir_all(&units).unwrap();
    let foreign = format!("{units}/tpmssh-host.service");
    fs::write(&foreign, "[Service]\n").unwrap();
    machine.setup(&[]).fails(
        1,
        &format!(
            "tpmssh: {foreign} was not written by tpmssh\n\
             hint: move it away first if it is not needed\n"
        ),
    );
    assert!(!fs::exists(&machine.store).unwrap());
    fs::remove_file(foreign).unwrap();

    let other = sign(
        &machine.program,
        "sign-host",
        &key,
        &["-n", "host", "-V", "+1h"],
    );
    let refused = machine.setup(&["--certificate", &other]);
    assert_eq!(refused.code, Some(8), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("the certificate is for another key: SHA256:"),
        "{refused:?}"
    );
    assert!(!fs::exists(format!("{}/ssh/sshd_config.d", machine.etc)).unwrap());

    fs::write(format!("{}/ssh/sshd_config", machine.etc), "Port 22\n").unwrap();
    let told = machine.setup(&[]);
    let etc = &machine.etc;
    assert!(
        told.stderr.contains(&format!(
            "tpmssh: {etc}/ssh/sshd_config does not include it: add Include \
             {etc}/ssh/sshd_config.d/*.conf at its top\n"
        )),
        "{told:?}"
    );
    told.ok();
    let store = machine.setup(&["--check", "--store", "/nonexistent/store"]);
    assert_eq!(store.code, Some(2), "given twice: {store:?}");
}

/// sshd penalises an address for failed logins. A check is not one.
#[test]
fn a_check_is_no_attempt_to_log_in() {
    let machine = Machine::new(Program::new());
    machine.setup(&[]).ok();
    let _agent = machine.serve();
    // The default of OpenSSH 9.8 and newer: after three logins by an unknown user it refuses the address.
    let penalties = match Sshd::knows("PerSourcePenalties=yes") {
        true => "PerSourcePenalties yes\n",
        false => "",
    };
    let (sshd, _) = machine.sshd_with(penalties);
    for _ in 0..4 {
        machine.check(&sshd).ok();
    }
    let log = sshd.log();
    for word in [
        "Invalid user",
        "Failed",
        "authenticating user",
        "Permission denied",
    ] {
        assert!(!log.contains(word), "{log}");
    }
    assert!(log.contains("Connection closed by 127.0.0.1"), "{log}");
    let port = sshd.port();
    drop(sshd);
    let gone = machine.check_at(port);
    let why = "nothing listens there: Connection refused (os error 111)\n\
               hint: start it: sudo systemctl start ssh; or name another --port\n";
    assert!(gone.stderr.ends_with(why), "{gone:?}");
}

#[test]
fn the_status_shows_keys_in_the_tpm_and_in_files() {
    let machine = Machine::new(Program::new());
    machine.file_key("ed25519", &[]);
    machine.setup(&[]).ok();
    let mut command = machine.program.command();
    command.args(["host", "status", "--store", &machine.store]);
    let status = Outcome::of(command.args(["--etc", &machine.etc])).ok();
    let lines: Vec<_> = status
        .lines()
        .map(|line| line.split_whitespace().take(3))
        .collect();
    let words: Vec<_> = lines.into_iter().map(|it| it.collect::<Vec<_>>()).collect();
    assert_eq!(words[1], ["TPM", "ecdsa-sha2-nistp256", "yes"], "{status}");
    assert_eq!(words[2], ["file", "ssh-ed25519", "yes"], "{status}");
}
