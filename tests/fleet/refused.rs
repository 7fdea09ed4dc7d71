//! Answers that are refused, and the messages about them.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::between::{Between, body_of, with_body, with_status};
use super::people::{enrol, status};
use super::{AUDIENCE, Authority};
use crate::host::Machine;
use crate::program::Program;

const UNCHANGED: &str = "hint: nothing was changed; if the authority has new keys, get them from its administrator and give them to tpmssh enroll (a host: tpmssh host setup --enroll) with --user-ca and --host-ca\n";

#[test]
fn addresses_and_files_that_cannot_be_right() {
    let program = Program::with_key();
    for (url, why) in [
        ("ca.example.com", "it looks like https://ca.example.com/"),
        (
            "http://ca.example.com/",
            "without TLS only 127.0.0.1 is asked; use https",
        ),
        (
            "https://anna:x@ca/",
            "it looks like https://ca.example.com/",
        ),
    ] {
        enrol(&program, url, &[]).fails(
            2,
            &format!("tpmssh: {url} is not the address of an authority: {why}\n"),
        );
    }
    let empty = program.secret("empty", "");
    enrol(&program, "https://127.0.0.1:1/", &["--tls-ca", &empty]).fails(
        2,
        "tpmssh: the certificates that TLS is to trust cannot be used: there are none\n\
         hint: give the certificate of the authority's TLS in a file: --tls-ca FILE\n",
    );
    // Nothing listens there.
    let outcome = enrol(&program, "http://127.0.0.1:1/", &[]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    let mut lines = outcome.stderr.lines();
    let error = lines.next().unwrap();
    assert!(
        error.starts_with("tpmssh: the authority at http://127.0.0.1:1/ does not answer: "),
        "{error}"
    );
    assert_eq!(
        lines.next(),
        Some(
            "hint: see whether it runs and whether the address is right; a certificate for its TLS that the system does not know is given with --tls-ca FILE"
        )
    );
}

#[test]
fn refusals_of_an_authority_are_told() {
    let program = Program::with_key();
    let authority = Authority::start();
    let wrong = program.secret("wrong", "0123456789abcdef");
    enrol(&program, &authority.url, &["--join-token", &wrong]).fails(
        8,
        "tpmssh: the authority refuses: the join token is unknown, was used or has expired\n\
         hint: its administrator makes one with: tpmssh-ca join-token new\n",
    );
    let token = authority.token("user", "otto");
    enrol(&program, &authority.url, &["--join-token", &token]).fails(
        8,
        "tpmssh: the authority refuses: it names a principal that is not allowed\n\
         hint: the names have to be those of the role, and the authority's name is given with --audience\n",
    );
}

/// Each answer is changed on its way. No certificate is stored, and the command fails with a message.
#[test]
fn answers_that_were_changed_on_the_way() {
    let program = Program::with_key();
    let authority = Authority::start();
    let stranger = certificate_of_another_key(&authority);
    let huge = vec![b' '; 300 * 1024];
    let cases: Vec<(&str, Vec<u8>, i32, &str)> = vec![
        (
            "/v1/enroll/begin",
            with_body(b"<html>welcome</html>"),
            1,
            "the answer of the authority is not what it should be: ",
        ),
        (
            "/v1/enroll/begin",
            with_body(&huge),
            1,
            "the answer of the authority is not what it should be: it is longer than 262144 bytes",
        ),
        (
            "/v1/enroll/finish",
            with_body(b"{}"),
            1,
            "the answer of the authority is not what it should be: missing field `format`",
        ),
        (
            "/v1/enroll/finish",
            with_body(&stranger),
            8,
            "the answer of the authority is refused: its certificate is for another key",
        ),
        (
            "/v1/enroll/finish",
            b"HTTP/1.1 503 Busy\r\nretry-after: 120\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                .to_vec(),
            10,
            "the authority cannot do this now",
        ),
        (
            "/v1/enroll/finish",
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                .to_vec(),
            1,
            "the answer of the authority is not what it should be: status 302",
        ),
        (
            "/v1/enroll/finish",
            with_status("403 No", br#"{"code":"x","detail":"\u001b]0;a\u0007gone\n"}"#),
            8,
            "the authority refuses: ]0;agone",
        ),
        (
            "/v1/enroll/finish",
            b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\nconnection: close\r\n\r\n{".to_vec(),
            5,
            "does not answer",
        ),
    ];
    let token = authority.token("user", "anna");
    for (at, answer, code, error) in cases {
        let between = Between::new(&authority.url, move |path, real| {
            if path == at { answer.clone() } else { real }
        });
        let outcome = enrol(&program, &between.url, &["--join-token", &token]);
        assert_eq!(outcome.code, Some(code), "{error}: {outcome:?}");
        assert!(outcome.stderr.contains(error), "{error}: {outcome:?}");
        assert_eq!(status(&program), Value::Array(Vec::new()), "{error}");
    }
    // The token is still valid after all that.
    enrol(&program, &authority.url, &["--join-token", &token]).ok();
}

/// The authority's answer to another person's proof.
fn certificate_of_another_key(authority: &Authority) -> Vec<u8> {
    let other = Program::new_with_key();
    let token = authority.token("user", "berta");
    let kept = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kept);
    let between = Between::new(&authority.url, move |path, real| {
        if path == "/v1/enroll/finish" {
            *seen.lock().unwrap() = body_of(&real).to_vec();
        }
        real
    });
    let args = [
        "enroll",
        &between.url,
        "first",
        "-n",
        "berta",
        "--audience",
        AUDIENCE,
    ];
    let more = ["--join-token", &token, "--pin-file", &other.pin];
    other.run(&[&args[..], &more].concat()).ok();
    let body = kept.lock().unwrap();
    body.clone()
}

/// A list of revoked keys that is older, or signed by another key, does not replace the installed one.
#[test]
fn lists_of_revoked_keys_that_are_not_taken() {
    let machine = Machine::new(Program::new());
    let authority = Authority::start();
    let token = authority.token("host", "127.0.0.1");
    let answers: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let instead = Arc::clone(&answers);
    let between = Between::new(&authority.url, move |path, real| {
        let chosen = instead.lock().unwrap().clone();
        chosen.filter(|_| path == "/v1/krl").unwrap_or(real)
    });
    let args = [
        "--enroll",
        &between.url,
        "-n",
        "127.0.0.1",
        "--audience",
        AUDIENCE,
    ];
    // Without a list, nothing is set up.
    let nothing_new = b"HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".to_vec();
    *answers.lock().unwrap() = Some(nothing_new);
    let outcome = machine.setup(&[&args[..], &["--join-token", &token]].concat());
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let said = "tpmssh: the answer of the authority is not what it should be: nothing is new, it says, and no list was named\n";
    assert!(outcome.stderr.ends_with(said), "{outcome:?}");
    let drop_in = format!("{}/ssh/sshd_config.d/10-tpmssh.conf", machine.etc);
    assert!(!fs::exists(drop_in).unwrap());
    *answers.lock().unwrap() = None;
    machine.setup(&args).ok();
    let old = real_answer(&authority);
    let places = ["--store", &machine.store, "--etc", &machine.etc];
    let renew = || machine.run(&[&["host", "renew"], &places[..]].concat());
    authority.run(&["device", "revoke", "1"]);
    assert_eq!(renew().ok(), "list 2 of revoked keys is in place\n");
    let file = format!("{}/ssh/tpmssh_revoked_keys", machine.etc);
    let list = fs::read(&file).unwrap();

    let mut flipped = real_answer(&authority);
    *flipped.last_mut().unwrap() ^= 1;
    let mut cut = real_answer(&authority);
    cut.truncate(cut.len() - 5);
    let length = body_of(&cut).len();
    let head = String::from_utf8(cut[..cut.len() - length].to_vec()).unwrap();
    let head = head.replace(
        &format!("content-length: {}", length + 5),
        &format!("content-length: {length}"),
    );
    let cut = [head.as_bytes(), body_of(&cut)].concat();
    for (answer, why) in [
        (
            old,
            "its list of revoked keys is older than the one that is here",
        ),
        (flipped, "its signature is wrong"),
        (cut, "its signature is wrong"),
        (
            other_authoritys_list(),
            "it is not signed by the authority's key that is trusted",
        ),
    ] {
        *answers.lock().unwrap() = Some(answer);
        renew().fails(
            8,
            &format!("tpmssh: the answer of the authority is refused: {why}\n{UNCHANGED}"),
        );
        assert_eq!(fs::read(&file).unwrap(), list, "{why}");
    }
    *answers.lock().unwrap() = Some(with_body(&list));
    renew().fails(
        1,
        "tpmssh: the answer of the authority is not what it should be: the list of revoked keys is not signed\n",
    );
}

/// The answer of an authority to `GET /v1/krl`, head and body.
fn real_answer(authority: &Authority) -> Vec<u8> {
    use std::io::{Read, Write};
    let at = authority
        .url
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream
        .write_all(b"GET /v1/krl HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn other_authoritys_list() -> Vec<u8> {
    real_answer(&Authority::start())
}
