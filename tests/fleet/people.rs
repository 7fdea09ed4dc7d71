//! A person's certificates.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use testing::{Sshd, Swtpm};

use super::between::Between;
use super::{AUDIENCE, Authority};
use crate::agent::served::Served;
use crate::program::{Outcome, Program, run, text};

/// The arguments of `tpmssh enroll` for anna's key `first`.
pub(super) fn enrol(program: &Program, url: &str, more: &[&str]) -> Outcome {
    let args = ["enroll", url, "first", "-n", "anna", "--audience", AUDIENCE];
    let pin = ["--pin-file", &program.pin];
    program.run(&[&args[..], &pin, more].concat())
}

pub(super) fn status(program: &Program) -> Value {
    let shown = program.run(&["enroll", "--status", "--json"]).ok();
    serde_json::from_str(&shown).unwrap()
}

pub(super) fn certificates(program: &Program) -> Vec<Value> {
    let shown = program.run(&["cert", "list", "--json"]).ok();
    serde_json::from_str(&shown).unwrap()
}

/// A server that accepts the authority's users, except revoked ones.
pub(super) fn server(program: &Program, authority: &Authority) -> Sshd {
    let revoked = text(program.home.path().join("revoked"));
    authority.run(&["krl", "publish", "-o", &revoked]);
    let principals = text(program.home.path().join("principals"));
    fs::write(&principals, "anna\n").unwrap();
    Sshd::with_config(
        &program.home,
        &format!(
            "TrustedUserCAKeys {}\nAuthorizedPrincipalsFile {principals}\nRevokedKeys {revoked}\n",
            authority.file("user.pub")
        ),
    )
}

#[test]
fn a_person_enrols_logs_in_renews_and_is_revoked() {
    let program = Program::with_tpm(Swtpm::manufactured());
    program.init("work");
    program.keygen("first");
    let authority = Authority::start();
    let token = authority.token("user", "anna");
    let outcome = enrol(&program, &authority.url, &["--join-token", &token]);
    assert!(
        outcome
            .stderr
            .starts_with("tpmssh: from now on these keys of the authority are believed; compare them with its administrator's: users SHA256:"),
        "{outcome:?}"
    );
    let said = outcome.ok();
    assert!(
        said.starts_with("key \"first\" has a certificate for anna until "),
        "{said}"
    );
    let first = certificates(&program);
    assert_eq!(first.len(), 1);

    // The agent answers for the renewal, so no PIN is needed.
    let agent = Served::start(&program);
    program.run(&["renew", "--unattended"]).ok();
    assert_eq!(certificates(&program), first, "its time has not come");
    program.run(&["renew", "--all"]).fails(
        1,
        "tpmssh: key \"first\" is not renewed: no way to ask for the PIN for token \"work\"\n\
         hint: use a terminal, set SSH_ASKPASS, or see --help for options that end in -file and -fd\n",
    );
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    program.run(&["renew", "--all"]).ok();
    let second = certificates(&program);
    assert_eq!(second.len(), 1, "it took the place of the first");
    assert_ne!(second, first);

    let sshd = server(&program, &authority);
    let logs_in = || {
        let output = sshd.run(
            &program.home,
            &agent.env(),
            &["-o", "IdentitiesOnly=no"],
            "echo in",
        );
        output.stdout == b"in\n"
    };
    assert!(logs_in(), "{}{}", sshd.log(), agent.log());

    authority.run(&["device", "revoke", "1", "--reason", "stolen"]);
    let revoked = text(program.home.path().join("revoked"));
    authority.run(&["krl", "publish", "-o", &revoked]);
    assert!(!logs_in(), "sshd has the list");
    let outcome = program.run(&["renew", "--all"]);
    outcome.fails(
        8,
        "tpmssh: key \"first\" is not renewed: the authority refuses: this TPM is not one of those that are expected\n\
         hint: its administrator lets this TPM in with a join token, or by its Name (tpmssh ek show) with: tpmssh-ca device import\n",
    );
    let status = status(&program);
    assert_eq!(status[0]["failures"], 1);
    assert_eq!(
        status[0]["last_error"],
        "the authority refuses: this TPM is not one of those that are expected"
    );
    program.run(&["enroll", "--end", "first"]).ok();
    program.run(&["renew", "--all"]).fails(
        12,
        "tpmssh: no key is enrolled with an authority\nhint: get a first certificate with: tpmssh enroll URL -n NAME; for a host: sudo tpmssh host setup --enroll URL\n",
    );
}

#[test]
fn the_authoritys_keys_are_those_that_were_given_or_those_of_the_first_answer() {
    let program = Program::with_key();
    let authority = Authority::start();
    let token = authority.token("user", "anna");
    let [user, host] = ["user.pub", "host.pub"].map(|name| authority.file(name));
    // Keys of the wrong kind: nothing is stored.
    let swapped = ["--user-ca", &host, "--host-ca", &user];
    enrol(
        &program,
        &authority.url,
        &[&["--join-token", &token], &swapped[..]].concat(),
    )
    .fails(
        8,
        "tpmssh: the answer of the authority is refused: it is not signed by the authority's key that is trusted\n\
         hint: nothing was changed; if the authority has new keys, get them from its administrator and give them to tpmssh enroll (a host: tpmssh host setup --enroll) with --user-ca and --host-ca\n",
    );
    assert_eq!(status(&program), Value::Array(Vec::new()));
    // The token is used up, but the authority knows the TPM.
    let given = ["--user-ca", &user, "--host-ca", &host];
    let outcome = enrol(
        &program,
        &authority.url,
        &[&["--join-token", &token], &given[..]].concat(),
    );
    assert_eq!(outcome.stderr, "");
    outcome.ok();
}

/// The keys of the first answer stay trusted when the same command is run again.
#[test]
fn another_authority_at_the_same_address_is_not_trusted() {
    let program = Program::with_key();
    let (authority, another) = (Authority::start(), Authority::start());
    let to = Arc::new(Mutex::new(authority.url.clone()));
    let between = Between::switching(&to);
    let token = authority.token("user", "anna");
    enrol(&program, &between.url, &["--join-token", &token]).ok();
    to.lock().unwrap().clone_from(&another.url);
    let token = another.token("user", "anna");
    enrol(&program, &between.url, &["--join-token", &token]).fails(
        8,
        "tpmssh: the answer of the authority is refused: its certificate is not signed by the authority's key that is trusted\n\
         hint: nothing was changed; if the authority has new keys, get them from its administrator and give them to tpmssh enroll (a host: tpmssh host setup --enroll) with --user-ca and --host-ca\n",
    );
    let [user, host] = ["user.pub", "host.pub"].map(|name| another.file(name));
    let given = ["--user-ca", &user, "--host-ca", &host];
    enrol(&program, &between.url, &given).ok();
}

#[test]
fn an_agent_that_is_locked_is_told_by_a_timer_and_nobody_is_asked() {
    let program = Program::with_key();
    let mut authority = Authority::start();
    let token = authority.token("user", "anna");
    enrol(&program, &authority.url, &["--join-token", &token]).ok();
    // The certificate has to be due. Even one for a minute is renewed after 30 s at the earliest, so the time in the store is changed.
    let store = program.home.store().join("store.db");
    let due = || {
        let db = rusqlite::Connection::open(&store).unwrap();
        db.execute("UPDATE enrolment SET renew_at = 0", []).unwrap();
    };
    due();
    let renew = || program.run(&["renew", "--unattended"]);
    renew().fails(
        3,
        "tpmssh: key \"first\" is not renewed: token \"work\" is locked, and nobody is asked for its PIN\n\
         hint: open it for the agent with: tpmssh unlock\n",
    );
    // After a failure of the authority, the timer waits: the second run does nothing.
    authority.stop();
    let outcome = renew();
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert!(
        outcome.stderr.starts_with(
            "tpmssh: key \"first\" is not renewed: the authority at http://127.0.0.1:"
        ),
        "{outcome:?}"
    );
    assert_eq!(renew().ok(), "");
    assert_eq!(status(&program)[0]["failures"], 2);
    // A person who runs the command does not have to wait.
    let outcome = program.run(&["renew", "--pin-file", &program.pin]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
}

/// TLS trusts the certificates of the system, or only those in `--tls-ca`.
#[test]
fn over_tls_the_authority_has_to_be_known() {
    let program = Program::with_key();
    let at = |name: &str| text(program.home.path().join(name));
    let [key, certificate] = ["tls.key", "tls.pem"].map(at);
    let subject = [
        "-subj",
        "/CN=ca",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    let made = [
        "-keyout",
        &key,
        "-out",
        &certificate,
        "-nodes",
        "-days",
        "2",
    ];
    let args = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ];
    Outcome::of(
        program
            .home
            .command("openssl")
            .args([&args[..], &subject, &made].concat()),
    )
    .ok();
    let authority = Authority::start_with(&["--tls-certificate", &certificate, "--tls-key", &key]);
    assert!(authority.url.starts_with("https://127.0.0.1:"));
    let token = authority.token("user", "anna");
    let outcome = enrol(&program, &authority.url, &["--join-token", &token]);
    let url = &authority.url;
    outcome.fails(
        8,
        &format!(
            "tpmssh: the TLS certificate of the authority at {url} is not taken: no certificate that is trusted vouches for it\n\
             hint: if the authority has a TLS of its own, its administrator sees with tpmssh-ca tls show what to give: --tls-ca-sha256 HEX, or --tls-ca FILE\n"
        ),
    );
    let known = ["--join-token", &token, "--tls-ca", &certificate];
    enrol(&program, &authority.url, &known).ok();
    // A renewal trusts the same certificates as the enrolment.
    program
        .run(&["renew", "--all", "--pin-file", &program.pin])
        .ok();
}

/// systemd accepts the files, and the timer does not fail after the last enrolment was ended.
#[test]
fn a_timer_is_installed_and_outlives_the_last_enrolment() {
    let program = Program::with_key();
    let authority = Authority::start();
    let at = |name: &str| text(program.home.path().join(name));
    fs::create_dir(at("bin")).unwrap();
    let script = format!("#!/bin/sh\necho \"$*\" >>{}\n", at("calls"));
    program.home.script("bin/systemctl", &script);
    let path = std::env::var("PATH").unwrap();
    let token = authority.token("user", "anna");
    let mut command = program.command();
    command.env("PATH", format!("{}:{path}", at("bin")));
    command.args(["enroll", &authority.url, "first", "-n", "anna", "--timer"]);
    command.args(["--audience", AUDIENCE, "--join-token", &token]);
    Outcome::of(command.args(["--pin-file", &program.pin])).ok();
    let calls = fs::read_to_string(at("calls")).unwrap();
    assert!(
        calls.ends_with("--user daemon-reload\n--user enable --now tpmssh-renew.timer\n"),
        "{calls}"
    );
    let unit = fs::read_to_string(at(".config/systemd/user/tpmssh-renew.service")).unwrap();
    let start = format!(
        "ExecStart=\"{}\" renew --unattended\n",
        env!("CARGO_BIN_EXE_tpmssh")
    );
    assert!(unit.contains(&start), "{unit}");
    assert!(fs::exists(at(".config/systemd/user/tpmssh-renew.timer")).unwrap());
    program.run(&["enroll", "--end", "first"]).ok();
    assert_eq!(program.run(&["renew", "--unattended"]).ok(), "");
}

/// Each node of an authority may have keys of its own, and any node may answer.
#[test]
fn the_keys_of_several_nodes_are_given_together() {
    let program = Program::with_key();
    let authority = Authority::start();
    for kind in ["user", "host"] {
        // The keys of another node, which does not run.
        let key = authority.file(&format!("other-{kind}"));
        run("ssh-keygen", &["-q", "-t", "ecdsa", "-N", "", "-f", &key]);
        let file = format!("{key}.pub");
        authority.run(&["ca", "add", &format!("--{kind}"), &file]);
    }
    let token = authority.token("user", "anna");
    let token = ["--join-token", &token];
    let file = |name: &str| authority.file(name);
    let (user, host) = (file("other-user.pub"), file("other-host.pub"));
    let given = ["--user-ca", &user, "--host-ca", &host];
    let outcome = enrol(&program, &authority.url, &[&token[..], &given].concat());
    assert_eq!(outcome.code, Some(8), "{outcome:?}");
    let (user, host) = (file("user.pub"), file("host.pub"));
    let more = ["--user-ca", &user, "--host-ca", &host];
    enrol(
        &program,
        &authority.url,
        &[&token[..], &given, &more].concat(),
    )
    .ok();
}

/// The authority demands a new proof, and the key has several roles there.
#[test]
fn a_key_that_is_proven_again_is_for_the_same_role() {
    let program = Program::with_key();
    let mut authority = Authority::start();
    let path = authority.file("ca/policy.toml");
    let policy = fs::read_to_string(&path).unwrap();
    let of_user = &policy[policy.find("[role.user]").unwrap()..];
    let of_admin = of_user.replace("[role.user]", "[role.admin]");
    fs::write(&path, format!("{policy}\n{of_admin}")).unwrap();
    authority.stop();
    authority.serve();
    for role in ["user", "admin"] {
        let token = authority.token(role, "anna");
        let how = ["--join-token", &token, "--role", role];
        enrol(&program, &authority.url, &how).ok();
    }
    let db = rusqlite::Connection::open(authority.file("ca/registry.db")).unwrap();
    // As if the key had been proven with the wall "none".
    db.execute("UPDATE binding SET wall = 'none'", []).unwrap();
    let renew = ["renew", "--all", "--pin-file", &program.pin];
    program.run(&renew).ok();
    let id = certificates(&program)[0]["key_id"].to_string();
    assert!(id.contains("role=admin "), "{id}");
}
