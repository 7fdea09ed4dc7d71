//! Challenges in the files of tpm2-tools: theirs answered by us, ours by them.

use std::fs;

use key_proof::{Challenge, Proof, PublicArea, Request, activation};
use rusqlite::Connection;

use super::{Files, manufactured};
use crate::program::{Outcome, Program};

/// How a file of `tpm2_makecredential` begins: magic and version, big-endian.
const HEAD: [u8; 8] = [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];

/// With its length in front, 2 bytes, big-endian.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes(), bytes].concat()
}

/// Runs one of tpm2-tools in the home.
#[track_caller]
fn tool(program: &Program, tcti: &str, name: &str, args: &[&str]) {
    let mut tool = program.home.command(name);
    tool.current_dir(program.home.path());
    Outcome::of(tool.args(["-Q", "-T", tcti]).args(args)).ok();
}

fn read<T>(path: &str, parse: impl FnOnce(&[u8]) -> key_proof::Result<T>) -> T {
    parse(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_challenge_of_tpm2_tools_is_answered() {
    let program = manufactured();
    let secret = [7; 32];
    program.secret("secret", "");
    fs::write(program.home.path().join("secret"), secret).unwrap();
    for ek_type in ["rsa2048", "ecc-p384"] {
        let files = Files::of(&program);
        files.ask(&program, &["--ek-type", ek_type]);
        files.challenge(&program);
        let request = read(&files.request, Request::from_json);
        fs::write(program.home.path().join("ek.pub"), sized(&request.ek)).unwrap();
        let key = PublicArea::parse(&request.attestation_key).unwrap();
        let (name, none) = (key.name().to_string(), "none");
        let args = [
            "-u",
            "ek.pub",
            "-s",
            "secret",
            "-n",
            &name,
            "-o",
            "credential",
        ];
        tool(&program, none, "tpm2_makecredential", &args);
        let file = fs::read(program.home.path().join("credential")).unwrap();
        let rest = file.strip_prefix(&HEAD).unwrap();
        let len = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        let mut challenge = read(&files.challenge, Challenge::from_json);
        challenge.id_object = rest[2..2 + len].to_vec();
        challenge.secret = rest[4 + len..].to_vec();
        fs::write(&files.challenge, challenge.to_json()).unwrap();
        files.answer(&program).ok();
        let proof = read(&files.proof, Proof::from_json);
        assert_eq!(proof.activation, activation(&secret, &request.transcript()));
    }
}

#[test]
fn our_challenge_is_answered_by_tpm2_tools() {
    let program = manufactured();
    let tcti = program.swtpm.tcti();
    let run = |name: &str, args: &[&str]| tool(&program, &tcti, name, args);
    let write =
        |name: &str, bytes: &[u8]| fs::write(program.home.path().join(name), bytes).unwrap();
    let files = Files::of(&program);
    files.ask(&program, &["--ek-type", "rsa2048"]);
    files.challenge(&program);
    files.answer(&program).ok();
    let challenge = read(&files.challenge, Challenge::from_json);
    let credential = [
        &HEAD[..],
        &sized(&challenge.id_object),
        &sized(&challenge.secret),
    ];
    write("credential", &credential.concat());
    let store = Connection::open(program.home.store().join("store.db")).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let sql = "SELECT public, private FROM attestation_key";
    let (public, private): (Vec<u8>, Vec<u8>) = store.query_row(sql, [], row).unwrap();
    write("ak.pub", &sized(&public));
    write("ak.priv", &sized(&private));

    let key = ["-u", "ak.pub", "-r", "ak.priv", "-c", "ak.ctx"];
    run("tpm2_load", &[&["-C", "0x81000001"], &key[..]].concat());
    run("tpm2_flushcontext", &["-t"]);
    run(
        "tpm2_startauthsession",
        &["--policy-session", "-S", "session"],
    );
    run("tpm2_policysecret", &["-S", "session", "-c", "e"]);
    let keys = ["-c", "ak.ctx", "-C", "0x81010001", "-P", "session:session"];
    let args = ["-i", "credential", "-o", "secret"];
    run("tpm2_activatecredential", &[&keys[..], &args].concat());
    run("tpm2_flushcontext", &["session"]);
    run("tpm2_flushcontext", &["-t"]);
    let secret = fs::read(program.home.path().join("secret")).unwrap();
    let proof = read(&files.proof, Proof::from_json);
    let transcript = proof.request.transcript();
    assert_eq!(proof.activation, activation(&secret, &transcript));
    let verify = ["verify-proof", &files.proof, "--ek-roots", &files.roots];
    assert!(program.run(&verify).ok().contains("(mode C)"));
}
