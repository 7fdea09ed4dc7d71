//! Keys whose numbers do not belong together.

use std::io::Write;
use std::process::{Command, Stdio};

use ssh_format::wire::{Reader, put_string};

use super::*;

/// Each field of a key without a passphrase is changed in turn.
#[test]
fn a_key_that_is_not_sound_is_refused() {
    let program = Program::with_token();
    let other = old_key(&program, "other", ["ecdsa", "256"], "");
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    fs::copy(format!("{other}.pub"), format!("{file}.pub")).unwrap();
    refused(
        &program,
        &file,
        8,
        &format!(
            "tpmssh: {file}: not a sound key: {file}.pub has the public half of another one\n\
             hint: ssh-keygen -y -f {file} prints the public half that belongs to it\n"
        ),
    );
    fs::remove_file(format!("{file}.pub")).unwrap();
    let whole = fs::read(&file).unwrap();
    for (change, why) in [
        (
            Change::Scalar(1),
            "not a sound key: its halves do not belong together",
        ),
        (
            Change::Scalar(0),
            "not a sound key: its private number is out of range",
        ),
        (
            Change::Public,
            "its public half belongs to another private one",
        ),
    ] {
        fs::write(&file, changed(&whole, &fs::read(&other).unwrap(), change)).unwrap();
        refused(&program, &file, 8, &format!("tpmssh: {file}: {why}\n"));
    }
    fs::write(&file, &whole).unwrap();
    import(&program, &file, &[]).ok();
}

#[derive(Clone, Copy)]
enum Change {
    /// The private scalar is this small number.
    Scalar(u8),
    /// The public half in front is that of the other file.
    Public,
}

/// An ECDSA file without a passphrase with one field changed.
fn changed(file: &[u8], other: &[u8], change: Change) -> String {
    let parts = |file: &[u8]| {
        let bytes = decode(file);
        let mut reader = Reader::new(&bytes, "key");
        let magic = reader.take(15).unwrap().to_vec();
        let head = (0..3)
            .flat_map(|_| string(reader.string().unwrap()))
            .collect::<Vec<u8>>();
        assert_eq!(reader.u32().unwrap(), 1);
        let public = reader.string().unwrap().to_vec();
        let private = reader.string().unwrap().to_vec();
        ([magic, head, vec![0, 0, 0, 1]].concat(), public, private)
    };
    let (head, mut public, mut private) = parts(file);
    match change {
        Change::Public => public = parts(other).1,
        Change::Scalar(number) => {
            let mut reader = Reader::new(&private, "key");
            let mut section = reader.take(8).unwrap().to_vec();
            for _ in 0..3 {
                section.extend(string(reader.string().unwrap()));
            }
            reader.string().unwrap();
            let number = [number];
            section.extend(string(if number == [0] { &[] } else { &number }));
            section.extend(string(reader.string().unwrap()));
            let padding = (8 - section.len() % 8) % 8;
            section.extend((1_u8..).take(padding));
            private = section;
        }
    }
    encode(&[head, string(&public), string(&private)].concat())
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_string(&mut out, bytes);
    out
}

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

fn decode(file: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(file).unwrap().trim();
    let body = text.strip_prefix(BEGIN).unwrap().strip_suffix(END).unwrap();
    pipe("base64", &["-d"], body.as_bytes())
}

fn encode(bytes: &[u8]) -> String {
    let body = String::from_utf8(pipe("base64", &["-w", "70"], bytes)).unwrap();
    format!("{BEGIN}\n{body}{END}\n")
}

/// What a program makes of `input`.
fn pipe(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}
