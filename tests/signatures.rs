//! `tpmssh sign` and `verify`, with the real ssh-keygen on the other side.

mod git;

use std::fs;

use serde_json::Value;

use crate::certs::{Keygen, key_file};
use crate::program::{Outcome, Program};

const MESSAGE: &str = "what is signed\n";

/// A program with a key, a message, our signature of it, and a file that allows the key.
struct Signed {
    program: Program,
    message: String,
    signature: String,
    allowed: String,
}

impl Signed {
    fn new() -> Self {
        let program = Program::with_key();
        let message = program.secret("message", MESSAGE);
        let args = ["sign", "-n", "file", &message, "--pin-file", &program.pin];
        let signature = program.secret("message.sig", &program.run(&args).ok());
        let allow = ["export", "--allowed-signer", "anna@example.org"];
        let allowed = program.secret("allowed", &program.run(&allow).ok());
        Self {
            program,
            message,
            signature,
            allowed,
        }
    }

    fn verify(&self, options: &[&str]) -> Outcome {
        let mut args = vec!["verify", "-s", &self.signature];
        args.extend(options);
        self.program.run(&args)
    }
}

/// Runs `ssh-keygen -Y` with a message on its standard input.
fn keygen(program: &Program, args: &[&str], message: &str) -> Outcome {
    let mut command = program.home.command("ssh-keygen");
    Outcome::with_input(command.arg("-Y").args(args), message.as_bytes())
}

#[test]
fn ssh_keygen_believes_our_signature_and_so_do_we() {
    let it = Signed::new();
    let check = |namespace, message| {
        let args = [
            "verify",
            "-f",
            &it.allowed,
            "-I",
            "anna@example.org",
            "-n",
            namespace,
            "-s",
            &it.signature,
        ];
        keygen(&it.program, &args, message)
    };
    let good = check("file", MESSAGE).ok();
    assert!(
        good.starts_with("Good \"file\" signature for anna@example.org"),
        "{good}"
    );
    assert_ne!(check("git", MESSAGE).code, Some(0));
    assert_ne!(check("file", "something else\n").code, Some(0));

    let who = ["-f", &it.allowed, "-I", "anna@example.org", &it.message];
    let ours = it.verify(&who).ok();
    assert!(ours.starts_with("signed by  anna@example.org\n"), "{ours}");
    let json = it.verify(&["-f", &it.allowed, &it.message, "--json"]).ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["signers"], serde_json::json!(["anna@example.org"]));
    let nobody = it.verify(&[&it.message]);
    assert_eq!(
        nobody.stderr,
        "tpmssh: the signature is intact, but the signer was not checked: see --allowed-signers\n"
    );
    nobody.ok();
    let mut piped = it.program.command();
    piped.args(["verify", "-s", &it.signature, "-f", &it.allowed]);
    Outcome::with_input(&mut piped, MESSAGE.as_bytes()).ok();
}

#[test]
fn we_believe_signatures_of_ssh_keygen_by_a_key_and_by_a_certificate() {
    let program = Program::new();
    let key = key_file(&program, "bert");
    let message = program.secret("message", MESSAGE);
    let signature = format!("{message}.sig");
    keygen(
        &program,
        &["sign", "-q", "-n", "mail", "-f", &key, &message],
        "",
    )
    .ok();
    let public = fs::read_to_string(format!("{key}.pub")).unwrap();
    let allowed = program.secret(
        "allowed",
        &format!("*@example.org namespaces=\"mail\" {public}"),
    );
    let verify = |options: &[&str]| {
        let mut args = vec!["verify", "-s", &signature, "-n", "mail", &message];
        args.extend(options);
        program.run(&args)
    };
    verify(&["-f", &allowed, "-I", "bert@example.org"]).ok();

    let authority = Keygen::new(&program.home);
    let trusted = program.secret(
        "trusted",
        &format!("b* cert-authority {}", authority.public()),
    );
    let refused = verify(&["-f", &trusted]);
    assert_eq!(
        refused.code,
        Some(8),
        "the key alone is not certified: {refused:?}"
    );
    fs::remove_file(&signature).unwrap();
    let certificate = authority.sign("bert", &public, &["-n", "bert,carl", "-V", "-1h:+1h"]);
    keygen(
        &program,
        &["sign", "-q", "-n", "mail", "-f", &certificate, &message],
        "",
    )
    .ok();
    let shown = verify(&["-f", &trusted]).ok();
    assert!(
        shown.starts_with("signed by  bert\nkey        SHA256:"),
        "{shown}"
    );
    verify(&["-f", &trusted, "-I", "bert"]).ok();
    assert_eq!(
        verify(&["-f", &trusted, "-I", "carl"]).code,
        Some(8),
        "it is not a b*"
    );
    assert_eq!(
        verify(&["-f", &trusted, "-I", "bill"]).code,
        Some(8),
        "it is not certified"
    );
}

#[test]
fn what_was_not_signed_so_or_not_by_them_is_refused() {
    let it = Signed::new();
    let other = it.program.secret("other", "something else\n");
    it.verify(&[&other])
        .fails(8, "tpmssh: the signature does not match\n");
    it.verify(&["-n", "git", &it.message]).fails(
        8,
        "tpmssh: the signature is for the namespace \"file\" and not \"git\"\n",
    );
    let fingerprint = {
        let keys = it.program.run(&["export", "--json"]).ok();
        let keys: Value = serde_json::from_str(&keys).unwrap();
        keys[0]["fingerprint"].as_str().unwrap().to_owned()
    };
    let hint = "hint: its owner gets the line with: tpmssh export --allowed-signer WHO KEY\n";
    it.verify(&["-f", &it.allowed, "-I", "bert@example.org", &it.message])
        .fails(
            8,
            &format!(
                "tpmssh: the signature is good, but its key {fingerprint} is not one of \
             \"bert@example.org\" in the allowed signers\n{hint}"
            ),
        );
    let nobody = it.program.secret("nobody", "# nobody\n");
    it.verify(&["-f", &nobody, &it.message]).fails(
        8,
        &format!(
            "tpmssh: the signature is good, but its key {fingerprint} is not one of the allowed \
             signers\n{hint}"
        ),
    );
    let wrong = it.program.secret("wrong", "anna sometimes ssh-rsa AAAA\n");
    it.verify(&["-f", &wrong, &it.message]).fails(
        8,
        &format!(
            "tpmssh: {wrong}: line 1 of the allowed signers is skipped: the public key is cut \
             short\n\
             tpmssh: the signature is good, but its key {fingerprint} is not one of the allowed \
             signers\n{hint}"
        ),
    );
    // A bad line for another signer is skipped.
    let allowed = fs::read_to_string(&it.allowed).unwrap();
    let mixed = it
        .program
        .secret("mixed", &format!("anna sometimes ssh-rsa AAAA\n{allowed}"));
    let good = it.verify(&["-f", &mixed, &it.message]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(
        good.stderr
            .contains("line 1 of the allowed signers is skipped"),
        "{good:?}"
    );
    let spoilt = it.program.secret("spoilt", "no signature");
    it.program
        .run(&["verify", "-s", &spoilt, &it.message])
        .fails(
            2,
            &format!("tpmssh: {spoilt}: the signature is malformed: its first line is missing\n"),
        );
    it.program.run(&["sign", "-n", "", &it.message]).fails(
        2,
        "tpmssh: a namespace has at least one character, and no control characters\n",
    );
    it.program.run(&["sign", "/nowhere"]).fails(
        1,
        "tpmssh: cannot read /nowhere: No such file or directory (os error 2)\n",
    );
    it.program
        .run(&["export", "--allowed-signer", "a b"])
        .fails(
            2,
            "tpmssh: a principal or namespace is one word without wildcards\n",
        );
    it.program.keygen("second");
    it.program.run(&["sign", &it.message]).fails(
        2,
        "tpmssh: there are several keys: \"first\" and \"second\"\n\
         hint: say which one with --key LABEL\n",
    );
}
