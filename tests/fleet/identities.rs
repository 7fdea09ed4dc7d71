//! People and hosts that identify themselves with another key or with an ID token.

use std::fs;

use super::people::enrol;
use super::{AUDIENCE, Authority};
use crate::program::{Program, run, text};

/// An authority that accepts the key `old.pub` in anna's home as her identity.
fn authority(program: &Program) -> Authority {
    let old = text(program.home.path().join("old"));
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &old]);
    let mut authority = Authority::start();
    let public = fs::read_to_string(format!("{old}.pub")).unwrap();
    let signers = authority.file("signers");
    fs::write(&signers, format!("anna {public}")).unwrap();
    let rule =
        format!("ttl = \"8h\"\nidentity = [{{ type = \"ssh\", allowed_signers = {signers:?} }}]");
    authority.serve_with("ttl = \"8h\"", &rule);
    authority
}

#[test]
fn a_person_enrols_with_an_old_ssh_key() {
    let program = Program::with_key();
    let authority = authority(&program);
    let old = text(program.home.path().join("old"));
    enrol(
        &program,
        &authority.url,
        &["--identity-key", &old, "--role", "user"],
    )
    .ok();
    // The same key can enrol again without the identity.
    enrol(&program, &authority.url, &[]).ok();
    let renew = ["renew", "--all", "--pin-file", &program.pin];
    program.run(&renew).ok();
    // Another key of the machine needs the identity, and then an administrator.
    let args = [
        "enroll",
        &authority.url,
        "second",
        "-n",
        "anna",
        "--audience",
        AUDIENCE,
    ];
    program.keygen("second");
    let second = |more: &[&str]| {
        let pin = ["--pin-file", &program.pin];
        program.run(&[&args[..], &pin, more].concat())
    };
    second(&[]).fails(
        8,
        "tpmssh: the authority refuses: a key that is new to this role comes with an identity or a join token\n\
         hint: who asks is shown by a key that its administrator knows (--identity-key FILE), a token of your organisation (--identity-command COMMAND), the key that is replaced (--old-key KEY), or a join token (--join-token FILE)\n",
    );
    let waits = second(&["--identity-key", &old]);
    assert_eq!(waits.code, Some(10), "{waits:?}");
    let outcome = second(&["--identity-key", &old, "--join-token", &old]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
}

#[test]
fn a_key_that_the_authority_does_not_know_is_no_identity() {
    let program = Program::with_key();
    let authority = authority(&program);
    let at = |name: &str| text(program.home.path().join(name));
    let stranger = at("stranger");
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", &stranger],
    );
    enrol(&program, &authority.url, &["--identity-key", &stranger]).fails(
        8,
        "tpmssh: the authority refuses: no role takes this identity: its key is not expected here, or its signature is not over this request\n\
         hint: who asks is shown by a key that its administrator knows (--identity-key FILE), a token of your organisation (--identity-command COMMAND), the key that is replaced (--old-key KEY), or a join token (--join-token FILE)\n",
    );
    let missing = at("missing");
    let outcome = enrol(&program, &authority.url, &["--identity-key", &missing]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let said =
        format!("tpmssh: the key {missing} gives no identity: ssh-keygen does not sign with it\n");
    assert!(outcome.stderr.ends_with(&said), "{outcome:?}");
}

/// An identity provider in a few lines of shell: it signs with `provider.key`, and puts the nonce into the token.
const PROVIDER: &str = r#"
b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
now=$(date +%s)
head=$(printf '{"alg":"RS256","kid":"one"}' | b64)
claims=$(printf '{"iss":"https://id.example.com","aud":"tpmssh","iat":%s,"exp":%s,"nonce":"%s","preferred_username":"anna"}' \
    "$now" "$((now + 60))" "$TPMSSH_NONCE" | b64)
signature=$(printf '%s.%s' "$head" "$claims" | openssl dgst -sha256 -sign "$HOME/provider.key" -binary | b64)
echo "$head.$claims.$signature"
"#;

#[test]
fn a_person_comes_with_a_token_of_an_identity_provider() {
    let program = Program::with_key();
    let at = |name: &str| text(program.home.path().join(name));
    let key = at("provider.key");
    run("openssl", &["genrsa", "-out", &key, "2048"]);
    let shown = run("openssl", &["rsa", "-in", &key, "-noout", "-modulus"]);
    let hex = shown.trim().strip_prefix("Modulus=").unwrap().to_owned();
    let n = base64url(&hex);
    let mut authority = Authority::start();
    let jwks = authority.file("jwks.json");
    let set = format!(
        "{{\"keys\": [{{\"kty\": \"RSA\", \"kid\": \"one\", \"n\": \"{n}\", \"e\": \"AQAB\"}}]}}"
    );
    fs::write(&jwks, set).unwrap();
    let rule = format!(
        "ttl = \"8h\"\nidentity = [{{ type = \"oidc\", issuer = \"https://id.example.com\", audience = \"tpmssh\", \
         jwks = {jwks:?}, principal = \"preferred_username\" }}]"
    );
    authority.serve_with("ttl = \"8h\"", &rule);
    program
        .home
        .script("provider", &format!("#!/bin/sh\n{PROVIDER}"));
    let enrol = |command: &str| enrol(&program, &authority.url, &["--identity-command", command]);
    // A token for another key has another nonce.
    enrol("TPMSSH_NONCE=AAAA ~/provider").fails(
        8,
        "tpmssh: the authority refuses: the identity token was made for another key: its nonce differs\n\
         hint: who asks is shown by a key that its administrator knows (--identity-key FILE), a token of your organisation (--identity-command COMMAND), the key that is replaced (--old-key KEY), or a join token (--join-token FILE)\n",
    );
    for (command, why) in [
        ("echo canary; exit 7", "it ended with exit status: 7"),
        ("true", "it prints something else than one token"),
        (
            "echo canary canary",
            "it prints something else than one token",
        ),
    ] {
        let said = format!("tpmssh: the command for the identity gives no token: {why}\n");
        enrol(command).fails(1, &said);
    }
    enrol("~/provider").ok();
    program
        .run(&["renew", "--all", "--pin-file", &program.pin])
        .ok();
}

/// Hexadecimal digits in base64url.
fn base64url(hex: &str) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    Base64UrlUnpadded::encode_string(&bytes)
}

/// `rebind = "old-key"`.
#[test]
fn the_old_key_signs_for_its_successor() {
    let program = Program::with_key();
    let mut authority = Authority::start();
    authority.serve_with("rebind = \"approve\"", "rebind = \"old-key\"");
    let token = authority.token("user", "anna");
    enrol(&program, &authority.url, &["--join-token", &token]).ok();
    program.keygen("second");
    let args = [
        "enroll",
        &authority.url,
        "second",
        "-n",
        "anna",
        "--audience",
        AUDIENCE,
    ];
    let second = |more: &[&str]| {
        let pin = ["--pin-file", &program.pin];
        program.run(&[&args[..], &pin, more].concat())
    };
    let outcome = second(&["--old-key", "third"]);
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    // A signature by the new key itself is refused.
    assert_eq!(second(&["--old-key", "second"]).code, Some(8));
    second(&["--old-key", "first"]).ok();
    assert_eq!(enrol(&program, &authority.url, &[]).code, Some(10));
}
