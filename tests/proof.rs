//! A key's owner shows an authority that a TPM made the key and that it cannot leave.

mod agent;
mod budget;
mod chip;
mod fields;
mod interop;
mod json;
mod maker;
mod names;
mod options;
mod refused;
mod roots;
mod verifier_key;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use testing::{Sshd, Swtpm, module};

use crate::program::{Outcome, Program, text};

/// A TPM as it leaves its factory, with the token `work` and the key `first` in it.
fn manufactured() -> Program {
    let program = Program::with_tpm(Swtpm::manufactured());
    program.init("work");
    program.keygen("first");
    program
}

/// The three files of a proof, and the certificates of the TPM's maker.
struct Files {
    request: String,
    challenge: String,
    proof: String,
    roots: String,
}

impl Files {
    fn of(program: &Program) -> Self {
        let at = |name: &str| text(program.home.path().join(name));
        Self {
            request: at("request.json"),
            challenge: at("challenge.json"),
            proof: at("proof.json"),
            roots: program.secret("roots.pem", Swtpm::maker_certificates()),
        }
    }

    fn ask(&self, program: &Program, more: &[&str]) {
        let args = [&["prove", "first", "-o", &self.request], more].concat();
        program.run(&args).ok();
    }

    fn challenge(&self, verifier: &Program) {
        let args = ["ca", "challenge", &self.request, "-o", &self.challenge];
        verifier.run(&args).ok();
    }

    fn answer(&self, program: &Program) -> Outcome {
        program.run(&[
            "prove",
            "--request",
            &self.request,
            "--challenge",
            &self.challenge,
            "--pin-file",
            &program.pin,
            "-o",
            &self.proof,
        ])
    }

    /// All three, by and for one program.
    fn made_by(program: &Program) -> Self {
        let files = Self::of(program);
        files.ask(program, &[]);
        files.challenge(program);
        files.answer(program).ok();
        files
    }
}

/// Certifies the key `first` for anna.
fn certify(program: &Program, more: &[&str]) -> Outcome {
    certify_for(program, "anna", more)
}

fn certify_for(program: &Program, who: &str, more: &[&str]) -> Outcome {
    let public = program.home.path().join("first.pub");
    fs::write(&public, program.run(&["export", "first"]).ok()).unwrap();
    let public = text(public);
    let args = [
        "ca",
        "sign-user",
        &public,
        "-I",
        "me",
        "-n",
        who,
        "-V",
        "+8h",
    ];
    let pin = ["--ca", "ca", "--pin-file", &program.pin];
    program.run(&[&args[..], &pin, more].concat())
}

/// The verifier is another program on another machine, which needs no TPM.
#[test]
fn a_proof_made_here_is_checked_elsewhere() {
    let program = manufactured();
    let verifier = Program::with_tpm(Swtpm::start());
    let mut files = Files::of(&program);
    files.ask(&program, &[]);
    files.challenge(&verifier);
    files.answer(&program).ok();
    let shown = verifier
        .run(&["verify-proof", &files.proof, "--ek-roots", &files.roots])
        .ok();
    for line in [
        "origin    born here, cannot leave",
        "PIN       counted by the chip, for this token alone",
        "known by  its maker's certificate (mode C)",
    ] {
        assert!(shown.lines().any(|it| it == line), "{shown}");
    }
    let listed: Value = serde_json::from_str(&program.run(&["list", "--json"]).ok()).unwrap();
    let fingerprint = listed[0]["fingerprint"].as_str().unwrap();
    assert!(shown.contains(fingerprint), "{shown}");

    // The verifier can also name the TPM by the Name of its endorsement key, which the owner can show.
    let names: Value = serde_json::from_str(&program.run(&["ek", "show", "--json"]).ok()).unwrap();
    let name = names["keys"][1]["name"].as_str().unwrap();
    let args = ["verify-proof", &files.proof, "--ek", name, "--json"];
    let report: Value = serde_json::from_str(&verifier.run(&args).ok()).unwrap();
    assert_eq!(
        (&report["mode"], &report["wall"]),
        (&"B".into(), &"counter".into())
    );

    // Only the verifier that made the challenge can tell whether it was answered.
    let args = ["verify-proof", &files.proof, "--any-tpm"];
    program.run(&args).fails(
        8,
        "tpmssh: proof refused: its challenge was not made by this verifier, or too long ago\n\
         hint: make a new challenge with: tpmssh ca challenge REQUEST -o challenge.json\n",
    );

    // A request is not accepted as a proof.
    files.proof = files.request.clone();
    let args = ["verify-proof", &files.proof, "--any-tpm"];
    verifier.run(&args).fails(
        8,
        "tpmssh: proof refused: this is a request, which proves nothing yet\n\
         hint: answer it with: tpmssh ca challenge FILE -o challenge.json\n",
    );
}

#[test]
fn a_tpm_that_nobody_vouches_for_is_refused_unless_any_will_do() {
    let program = manufactured();
    let files = Files::made_by(&program);
    let hint = "hint: name the TPM with --ek NAME (its owner sees it with: tpmssh ek show), \
                or its maker's certificates with --ek-roots DIR\n";
    program.run(&["verify-proof", &files.proof]).fails(
        8,
        &format!("tpmssh: proof refused: nothing vouches for this TPM\n{hint}"),
    );
    let other = format!("000b{}", "ab".repeat(32));
    let args = ["verify-proof", &files.proof, "--ek", &other];
    program.run(&args).fails(
        8,
        &format!("tpmssh: proof refused: this TPM is not one of those that are expected\n{hint}"),
    );
    let shown = program
        .run(&["verify-proof", &files.proof, "--any-tpm"])
        .ok();
    let warning = "known by  nothing: it may be a program that plays a TPM (mode D)";
    assert!(shown.lines().any(|line| line == warning), "{shown}");

    // Imported certificates of makers are then used by default.
    program.run(&["ek", "roots", "import", &files.roots]).ok();
    let listed = program.run(&["ek", "roots", "list"]).ok();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let shown = program.run(&["verify-proof", &files.proof]).ok();
    assert!(shown.contains("(mode C)"), "{shown}");
}

#[test]
fn an_authority_certifies_only_what_is_proven_and_each_proof_once() {
    let program = manufactured();
    let pin = &program.pin;
    program
        .run(&["ca", "init", "--proof-required", "--pin-file", pin])
        .ok();
    let files = Files::made_by(&program);
    certify(&program, &[]).fails(
        8,
        "tpmssh: authority \"ca\" certifies only keys with a proof that a TPM holds them\n\
         hint: the owner of the key makes one: tpmssh prove KEY -o request.json; then give it with --proof FILE\n",
    );
    let proven = [
        "--proof",
        &files.proof,
        "--ek-roots",
        &files.roots,
        "--require-wall",
        "counter",
    ];
    let line = certify(&program, &proven).ok();
    assert!(
        line.starts_with("ecdsa-sha2-nistp256-cert-v01@openssh.com "),
        "{line}"
    );
    certify(&program, &proven).fails(
        8,
        "tpmssh: proof refused: a certificate was signed for it before\n\
         hint: make a new challenge with: tpmssh ca challenge REQUEST -o challenge.json\n",
    );

    // The proof is not accepted for another key.
    program.keygen("second");
    let public = program.secret("second.pub", &program.run(&["export", "second"]).ok());
    let args = [
        "ca",
        "sign-user",
        &public,
        "-I",
        "me",
        "-n",
        "anna",
        "-V",
        "+8h",
        "--ca",
        "ca",
    ];
    let more = ["--proof", &files.proof, "--any-tpm", "--pin-file", pin];
    program.run(&[&args[..], &more].concat()).fails(
        8,
        "tpmssh: proof refused: it is for another key than the one to be certified\n",
    );
}

#[test]
fn a_key_that_asks_to_be_anna_does_not_become_root() {
    let program = manufactured();
    program
        .run(&["ca", "init", "--pin-file", &program.pin])
        .ok();
    let files = Files::of(&program);
    files.ask(&program, &["-n", "root"]);
    files.challenge(&program);
    files.answer(&program).ok();
    certify(&program, &["--proof", &files.proof, "--any-tpm"]).fails(
        8,
        "tpmssh: proof refused: the principal \"root\" is not allowed\n",
    );
    // A proof for anna alone is not enough for anna and root.
    files.ask(&program, &["-n", "anna"]);
    files.challenge(&program);
    files.answer(&program).ok();
    let proof = ["--proof", &files.proof, "--any-tpm"];
    certify_for(&program, "anna,root", &proof).fails(
        8,
        "tpmssh: proof refused: it does not ask for all of these principals\n",
    );
    certify(&program, &proof).ok();
    files.ask(&program, &["-n", "anna", "--host"]);
    files.challenge(&program);
    files.answer(&program).ok();
    certify(&program, &["--proof", &files.proof, "--any-tpm"]).fails(
        8,
        "tpmssh: proof refused: it is for another kind of certificate\n",
    );
}

#[test]
fn a_challenge_for_another_tpm_or_request_is_not_answered() {
    let (program, other) = (manufactured(), Program::new_with_key());
    let files = Files::of(&program);
    files.ask(&program, &[]);
    files.challenge(&program);
    // A new request with the old challenge.
    files.ask(&program, &[]);
    files.answer(&program).fails(
        6,
        "tpmssh: the challenge is for another request, or for another TPM\n\
         hint: give the request that the challenge was made for with --request\n",
    );
    assert!(!PathBuf::from(&files.proof).exists());

    // The other TPM cannot decrypt the secret, which is for another endorsement key.
    let theirs = Files::of(&other);
    theirs.ask(&other, &["--ek-type", "ecc-p384"]);
    let mut request: Value = serde_json::from_slice(&fs::read(&files.request).unwrap()).unwrap();
    let own: Value = serde_json::from_slice(&fs::read(&theirs.request).unwrap()).unwrap();
    for field in ["ak", "srk", "parent", "wall", "key"] {
        request[field] = own[field].clone();
    }
    fs::write(&theirs.request, request.to_string()).unwrap();
    theirs.challenge(&program);
    theirs.answer(&other).fails(
        6,
        "tpmssh: the challenge is for another TPM, or for one that was cleared since\n",
    );
}

/// Logs in with the PKCS#11 module at a server that trusts the authority and has no `authorized_keys`.
#[test]
fn a_certificate_for_a_proven_key_logs_in() {
    let program = manufactured();
    let pin = &program.pin;
    program
        .run(&["ca", "init", "--proof-required", "--pin-file", pin])
        .ok();
    let public = program.run(&["ca", "public-key"]).ok();
    let trusted = program.secret("trusted", &public);
    let sshd = Sshd::with_config(&program.home, &format!("TrustedUserCAKeys {trusted}"));
    let askpass = program.home.askpass(program.pin.as_ref());
    for ek_type in ["rsa2048", "ecc-p384"] {
        let files = Files::of(&program);
        files.ask(&program, &["--ek-type", ek_type]);
        files.challenge(&program);
        files.answer(&program).ok();
        let proven = ["--proof", &files.proof, "--ek-roots", &files.roots];
        let line = certify_for(&program, sshd.user(), &proven).ok();
        let certificate = program.secret("first-cert.pub", &line);
        let certificate = format!("CertificateFile={certificate}");
        let module = text(module());
        let options = ["-I", &module, "-o", &certificate];
        let output = sshd.run(&program.home, &askpass, &options, "echo in");
        assert_eq!(output.stdout, b"in\n", "{ek_type}{output:?}{}", sshd.log());
    }
}

/// People without tpmssh can check the statement.
#[test]
fn ssh_keygen_checks_what_a_verifier_states() {
    let program = manufactured();
    program.keygen("verifier");
    let files = Files::made_by(&program);
    let statement = text(program.home.path().join("statement.json"));
    program
        .run(&[
            "verify-proof",
            &files.proof,
            "--ek-roots",
            &files.roots,
            "--sign-with",
            "verifier",
            "-o",
            &statement,
            "--pin-file",
            &program.pin,
        ])
        .ok();
    let line = program.run(&["export", "verifier"]).ok();
    let allowed = program.secret("allowed", &format!("verifier@example {line}"));
    let signature = format!("{statement}.sig");
    let check = |message: &[u8]| {
        let mut keygen = program.home.command("ssh-keygen");
        keygen.args(["-Y", "verify", "-f", &allowed, "-I", "verifier@example"]);
        keygen.args(["-n", "statement@tpmssh", "-s", &signature]);
        Outcome::with_input(&mut keygen, message)
    };
    let text = fs::read(&statement).unwrap();
    check(&text).ok();
    let stated: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(stated["origin"], "born-here");
    assert_eq!(stated["mode"], "C");
    let changed = String::from_utf8(text).unwrap().replace("counter", "none");
    assert_ne!(check(changed.as_bytes()).code, Some(0));
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let program = Program::new();
    let long = "x".repeat(64 * 1024 + 1);
    let deep = "[".repeat(10_000);
    for (content, why) in [
        ("", "malformed proof: it is not a file of tpmssh's"),
        ("{}", "malformed proof: it is not a file of tpmssh's"),
        (&deep, "malformed proof: it is not a file of tpmssh's"),
        (
            r#"{"format":"tpmssh-proof-v1","format":"tpmssh-proof-v1"}"#,
            "malformed proof: it is not a file of tpmssh's",
        ),
        (
            r#"{"format":"tpmssh-challenge-v1"}"#,
            "this is a tpmssh-challenge-v1 file, and a tpmssh-proof-v1 file is needed",
        ),
        (
            r#"{"format":"tpmssh-proof-v1","more":1}"#,
            "malformed proof: unknown field `more`, expected one of `format`, `request`, `ticket`, \
             `activation`, `attest`, `signature`, `sshsig` at line 1 column 34",
        ),
        (
            r#"{"format":"tpmssh-proof-v1","ticket":"*"}"#,
            "malformed proof: a field is not base64 at line 1 column 41",
        ),
    ] {
        let file = program.secret("proof.json", content);
        let args = ["verify-proof", &file, "--any-tpm"];
        program.run(&args).fails(2, &format!("tpmssh: {why}\n"));
    }
    let deep_in_a_field = format!(
        r#"{{"format":"tpmssh-proof-v1","ticket":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    for (content, why) in [
        (&deep_in_a_field[..], "invalid type: sequence"),
        (
            r#"{"format":"tpmssh-proof-v1","ticket":"","ticket":""}"#,
            "duplicate field `ticket`",
        ),
    ] {
        let file = program.secret("proof.json", content);
        let outcome = program.run(&["verify-proof", &file, "--any-tpm"]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let start = format!("tpmssh: malformed proof: {why}");
        assert!(outcome.stderr.starts_with(&start), "{outcome:?}");
    }
    let file = program.secret("proof.json", &long);
    program.run(&["verify-proof", &file, "--any-tpm"]).fails(
        2,
        &format!("tpmssh: too much to read from {file}: at most 64 KiB are taken\n"),
    );
}
