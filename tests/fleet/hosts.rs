//! Host certificates, and sshd's files of the authority.

use std::fs;

use serde_json::Value;
use testing::{Sshd, Swtpm};

use super::{AUDIENCE, Authority};
use crate::host::Machine;
use crate::program::{Outcome, Program, text};

pub(super) fn machine() -> Machine {
    Machine::new(Program::with_tpm(Swtpm::manufactured()))
}

fn enrol(machine: &Machine, authority: &Authority, more: &[&str]) -> Outcome {
    let args = [
        "--enroll",
        &authority.url,
        "-n",
        "127.0.0.1",
        "--audience",
        AUDIENCE,
    ];
    machine.setup(&[&args[..], more].concat())
}

pub(super) fn renew(machine: &Machine, more: &[&str]) -> Outcome {
    let places = ["--store", &machine.store, "--etc", &machine.etc];
    machine.run(&[&["host", "renew"], &places[..], more].concat())
}

/// Whether a client that trusts only the authority trusts the server.
pub(super) fn is_believed(
    machine: &Machine,
    authority: &Authority,
    sshd: &Sshd,
    key: &str,
) -> bool {
    let line = fs::read_to_string(authority.file("host.pub")).unwrap();
    fs::write(sshd.known_hosts(), format!("@cert-authority * {line}")).unwrap();
    let only = "HostKeyAlgorithms=ecdsa-sha2-nistp256-cert-v01@openssh.com";
    let options = ["-i", key, "-o", only];
    let output = sshd.run(&machine.program.home, &[], &options, "echo in");
    output.stdout == b"in\n"
}

#[test]
fn a_host_is_set_up_for_an_authority_renewed_and_revoked() {
    let machine = machine();
    let authority = Authority::start();
    let token = authority.token("host", "127.0.0.1");
    let outcome = enrol(&machine, &authority, &["--join-token", &token]);
    outcome.ok();
    let calls = fs::read_to_string(machine.program.home.path().join("calls")).unwrap();
    assert_eq!(
        calls,
        "daemon-reload\nenable --now tpmssh-host.socket\nenable --now tpmssh-host-renew.timer\n"
    );
    let drop_in = machine.read("ssh/sshd_config.d/10-tpmssh.conf");
    for line in [
        format!(
            "HostCertificate {}/ssh/ssh_host_tpm_ecdsa_key-cert.pub",
            machine.etc
        ),
        format!("TrustedUserCAKeys {}/ssh/tpmssh_user_ca.pub", machine.etc),
        format!("RevokedKeys {}/ssh/tpmssh_revoked_keys", machine.etc),
    ] {
        assert!(drop_in.lines().any(|it| it == line), "{drop_in}");
    }
    let unit = machine.read("systemd/system/tpmssh-host-renew.service");
    let start = format!(
        "ExecStart=\"{}\" host renew --unattended \"--store={}\" \"--etc={}\"\n",
        env!("CARGO_BIN_EXE_tpmssh"),
        machine.store,
        machine.etc
    );
    assert!(unit.contains(&start), "{unit}");

    let agent = machine.serve();
    let (sshd, key) = machine.sshd();
    assert!(
        is_believed(&machine, &authority, &sshd, &key),
        "{}{}",
        sshd.log(),
        agent.log()
    );

    // A renewal gets another certificate, and reloads sshd.
    let certificate = || machine.read("ssh/ssh_host_tpm_ecdsa_key-cert.pub");
    let first = certificate();
    assert_eq!(renew(&machine, &["--unattended"]).ok(), "");
    assert_eq!(certificate(), first);
    let said = renew(&machine, &["--all"]).ok();
    assert!(
        said.contains("has a certificate for 127.0.0.1 until "),
        "{said}"
    );
    let second = certificate();
    assert_ne!(second, first);
    let calls = fs::read_to_string(machine.program.home.path().join("calls")).unwrap();
    assert!(calls.ends_with("reload sshd.service\n"), "{calls}");

    // If a renewal was killed after it stored the certificate, the next run writes the file.
    fs::write(
        format!("{}/ssh/ssh_host_tpm_ecdsa_key-cert.pub", machine.etc),
        &first,
    )
    .unwrap();
    renew(&machine, &["--unattended"]).ok();
    assert_eq!(certificate(), second);

    authority.run(&["device", "revoke", "1"]);
    let said = renew(&machine, &[]).ok();
    assert_eq!(said, "list 2 of revoked keys is in place\n");
    let list = text(
        machine
            .program
            .home
            .path()
            .join("etc/ssh/tpmssh_revoked_keys"),
    );
    let shown = Outcome::of(
        machine
            .program
            .home
            .command("ssh-keygen")
            .args(["-Q", "-f", &list])
            .arg(format!("{}/ssh/ssh_host_tpm_ecdsa_key.pub", machine.etc)),
    );
    assert!(shown.stdout.contains("REVOKED"), "{shown:?}");
    let outcome = renew(&machine, &["--all", "--json"]);
    assert_eq!(outcome.code, Some(8), "{outcome:?}");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["certificates"], Value::Array(Vec::new()));

    // After another setup without an address, the key stays enrolled. After a removal, nothing is left.
    machine.setup(&[]).ok();
    assert!(
        machine
            .read("ssh/sshd_config.d/10-tpmssh.conf")
            .contains("TrustedUserCAKeys")
    );
    machine.remove(&["--force"]).ok();
    renew(&machine, &[]).fails(
        12,
        "tpmssh: no key is enrolled with an authority\nhint: get a first certificate with: tpmssh enroll URL -n NAME; for a host: sudo tpmssh host setup --enroll URL\n",
    );
    for name in ["tpmssh_user_ca.pub", "tpmssh_revoked_keys"] {
        assert!(
            !fs::exists(format!("{}/ssh/{name}", machine.etc)).unwrap(),
            "{name}"
        );
    }
}

/// The same chip with a new store, as after a new installation.
#[test]
fn a_machine_that_was_installed_anew_waits_for_an_administrator() {
    let machine = machine();
    let authority = Authority::start();
    let token = authority.token("host", "127.0.0.1");
    enrol(&machine, &authority, &["--join-token", &token]).ok();
    fs::remove_dir_all(&machine.store).unwrap();
    fs::remove_file(format!("{}/ssh/ssh_host_tpm_ecdsa_key.pub", machine.etc)).unwrap();
    let before = machine.read("ssh/ssh_host_tpm_ecdsa_key-cert.pub");
    enrol(&machine, &authority, &[]).fails(
        10,
        "tpmssh: it waits for an administrator of the authority, under number 2\n\
         hint: when it is approved (tpmssh-ca device approve 2), run the same command again\n",
    );
    assert_eq!(machine.read("ssh/ssh_host_tpm_ecdsa_key-cert.pub"), before);
    authority.run(&["device", "approve", "2"]);
    enrol(&machine, &authority, &[]).ok();
    assert_ne!(machine.read("ssh/ssh_host_tpm_ecdsa_key-cert.pub"), before);
}

/// The authority's policy became stricter, so that the first proof is not enough any more: the next renewal makes a new proof.
#[test]
fn a_renewal_proves_the_key_anew_if_the_authority_wants_it() {
    let machine = machine();
    let roots = machine
        .program
        .secret("roots.pem", Swtpm::maker_certificates());
    let mut authority = Authority::start_with(&["--ek-roots", &roots]);
    let address = authority.url["http://".len()..]
        .trim_end_matches('/')
        .to_owned();
    authority.change_policy("127.0.0.1:0", &address);
    authority.serve_with("mode = \"C\"", "mode = \"D\"");
    let token = authority.token("host", "127.0.0.1");
    enrol(
        &machine,
        &authority,
        &["--join-token", &token, "--no-users"],
    )
    .ok();
    let drop_in = machine.read("ssh/sshd_config.d/10-tpmssh.conf");
    assert!(!drop_in.contains("TrustedUserCAKeys"), "{drop_in}");
    assert!(authority.log().contains("mode=D"));
    authority.serve_with("mode = \"D\"", "mode = \"C\"");
    assert!(!authority.log().contains("mode=C"));
    renew(&machine, &["--all"]).ok();
    assert!(authority.log().contains("mode=C"));
}

#[test]
fn an_authority_that_moved_is_told_by_the_next_setup() {
    let machine = machine();
    let mut authority = Authority::start();
    let token = authority.token("host", "127.0.0.1");
    enrol(&machine, &authority, &["--join-token", &token]).ok();
    let first = machine.read("ssh/ssh_host_tpm_ecdsa_key-cert.pub");
    // The authority gets another port.
    authority.stop();
    authority.serve();
    let outcome = renew(&machine, &["--all"]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert_eq!(machine.read("ssh/ssh_host_tpm_ecdsa_key-cert.pub"), first);
    enrol(&machine, &authority, &[]).ok();
    renew(&machine, &["--all"]).ok();
    assert_ne!(machine.read("ssh/ssh_host_tpm_ecdsa_key-cert.pub"), first);
}

/// sshd uses the first of two settings, and a list of revoked keys that somebody maintains by hand must not be replaced.
#[test]
fn settings_of_another_file_are_not_replaced() {
    let machine = machine();
    let authority = Authority::start();
    let token = authority.token("host", "127.0.0.1");
    let dir = format!("{}/ssh/sshd_config.d", machine.etc);
    fs::create_dir_all(&dir).unwrap();
    let file = format!("{dir}/20-ours.conf");
    for (line, keyword) in [
        ("RevokedKeys /etc/ssh/revoked", "RevokedKeys"),
        ("trustedusercakeys=/etc/ssh/ca.pub", "TrustedUserCAKeys"),
    ] {
        fs::write(&file, format!("# ours\n{line}\n")).unwrap();
        enrol(&machine, &authority, &["--join-token", &token]).fails(
            1,
            &format!(
                "tpmssh: {file}, line 2: {keyword} is set there, and sshd uses only one\n\
                 hint: that of the authority takes its place, so what it does is to be done otherwise first; then take that line out, and try again\n"
            ),
        );
    }
    fs::write(
        &file,
        "RevokedKeys none\nTrustedUserCAKeys /etc/ssh/ca.pub\n",
    )
    .unwrap();
    // A dry run shows what the real one would write.
    let ours = fs::read_to_string(&file).unwrap();
    fs::write(&file, "").unwrap();
    let shown = enrol(&machine, &authority, &["--dry-run"]).ok();
    assert!(
        shown.contains("TrustedUserCAKeys ") && shown.contains("RevokedKeys "),
        "{shown}"
    );
    fs::write(&file, ours).unwrap();
    enrol(
        &machine,
        &authority,
        &["--join-token", &token, "--no-users"],
    )
    .ok();
    machine.setup(&["--join-token", &token]).fails(
        2,
        "tpmssh: --join-token, --identity-key, --identity-command, --old-key, --role, --audience, --user-ca, --host-ca, --tls-ca, --tls-ca-sha256 and --ek-type need --enroll\n",
    );
}

#[test]
fn users_are_let_in_or_not_as_the_last_setup_says() {
    let machine = machine();
    let authority = Authority::start();
    let token = authority.token("host", "127.0.0.1");
    enrol(&machine, &authority, &["--join-token", &token]).ok();
    enrol(&machine, &authority, &["--no-users"]).ok();
    let drop_in = || machine.read("ssh/sshd_config.d/10-tpmssh.conf");
    assert!(!drop_in().contains("TrustedUserCAKeys"), "{}", drop_in());
    // The lists of another authority have numbers of their own.
    authority.run(&["device", "revoke", "1"]);
    renew(&machine, &[]).ok();
    let another = Authority::start();
    let token = another.token("host", "127.0.0.1");
    enrol(&machine, &another, &["--join-token", &token]).ok();
    assert!(drop_in().contains("TrustedUserCAKeys"), "{}", drop_in());
    assert_eq!(renew(&machine, &[]).ok(), "");
}

#[test]
fn sshd_is_told_again_if_it_could_not_be_told() {
    let machine = machine();
    let authority = Authority::start();
    let token = authority.token("host", "127.0.0.1");
    enrol(&machine, &authority, &["--join-token", &token]).ok();
    let at = |name: &str| text(machine.program.home.path().join(name));
    let works = fs::read_to_string(at("bin/systemctl")).unwrap();
    machine.program.home.script(
        "bin/systemctl",
        "#!/bin/sh\ncase \"$*\" in reload*) exit 1 ;; *ssh.service) exit 3 ;; esac\n",
    );
    let outcome = renew(&machine, &["--all"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.contains("systemctl reload sshd.service"),
        "{outcome:?}"
    );
    machine.program.home.script("bin/systemctl", &works);
    let calls = || fs::read_to_string(at("calls")).unwrap();
    let before = calls();
    renew(&machine, &[]).ok();
    assert_eq!(calls(), format!("{before}reload sshd.service\n"));
    renew(&machine, &[]).ok();
    assert_eq!(calls(), format!("{before}reload sshd.service\n"));
}
