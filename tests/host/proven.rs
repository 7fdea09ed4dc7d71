//! A host certificate for a key that was proven: by the endorsement key that nearly every TPM has a certificate for.

use testing::Swtpm;

use super::*;

#[test]
fn sshd_shows_a_certificate_that_was_signed_for_a_proof() {
    let program = Program::with_tpm(Swtpm::manufactured());
    program.init("ca");
    let pin = ["--pin-file", &program.pin];
    program
        .run(&[&["ca", "init", "--proof-required"], &pin[..]].concat())
        .ok();
    let machine = Machine::new(program);
    machine.setup(&[]).ok();
    let program = &machine.program;
    let pin = ["--pin-file", &program.pin];
    let at = |name: &str| text(program.home.path().join(name));
    let [request, challenge, proof] = ["request", "challenge", "proof"].map(at);
    let roots = program.secret("roots.pem", Swtpm::maker_certificates());
    let public = format!("{}/ssh/ssh_host_tpm_ecdsa_key.pub", machine.etc);

    let prove = |args: &[&str]| {
        let mut command = program.command();
        command.env("TPMSSH_STORE", &machine.store).arg("prove");
        Outcome::of(command.args(args)).ok()
    };
    let ask = ["--ek-type", "rsa2048", "--host", "-n", "127.0.0.1"];
    prove(&[&ask[..], &["-o", &request]].concat());
    program
        .run(&["ca", "challenge", &request, "-o", &challenge])
        .ok();
    let answer = ["--request", &request, "--challenge", &challenge];
    prove(&[&answer[..], &["-o", &proof]].concat());

    let sign = |command: &str, names: &str| {
        let args = [
            "ca", command, &public, "-I", "host", "-n", names, "-V", "+1h",
        ];
        let proven = ["--proof", &proof, "--ek-roots", &roots];
        program.run(&[&args[..], &proven, &pin].concat())
    };
    sign("sign-host", "example.org").fails(
        8,
        "tpmssh: proof refused: the principal \"127.0.0.1\" is not allowed\n",
    );
    sign("sign-user", "127.0.0.1").fails(
        8,
        "tpmssh: proof refused: it is for another kind of certificate\n",
    );
    let certificate = program.secret("signed", &sign("sign-host", "127.0.0.1").ok());
    machine.setup(&["--certificate", &certificate]).ok();

    let agent = machine.serve();
    let (sshd, key) = machine.sshd();
    let line = program
        .run(&["ca", "public-key", "--known-hosts", "*"])
        .ok();
    fs::write(sshd.known_hosts(), line).unwrap();
    let only = "HostKeyAlgorithms=ecdsa-sha2-nistp256-cert-v01@openssh.com";
    let output = sshd.run(&program.home, &[], &["-i", &key, "-o", only], "echo in");
    let logs = format!("{output:?}{}{}", sshd.log(), agent.log());
    assert_eq!(output.stdout, b"in\n", "{logs}");
}
