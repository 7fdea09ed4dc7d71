//! Public keys and certificates: `ssh-keygen -L`, which reads many lines at once.

use ssh_encoding::base64::{Base64, Encoding};
use ssh_format::wire::Reader;
use ssh_format::{AnyKey, Certificate};

use crate::keygen::Keygen;
use crate::secret::{self, Secret};
use crate::tally::{self, Verdict};
use crate::tree::{Node, change_text, encode, mutate, raw, string};
use testing::differential::Random;

/// Lines that one call of `ssh-keygen` looks at.
const LINES: usize = 50;

#[test]
fn public_keys() {
    tally::run("public keys", 6, |random, keygen| {
        let make = |random: &mut Random| {
            let mut nodes = random.pick(secret::all()).public();
            if random.chance(8) {
                nodes = other_key(random);
            }
            if random.chance(50) {
                mutate(random, &mut nodes);
            }
            line(random, &encode(&nodes))
        };
        check(random, keygen, make, |line| {
            AnyKey::from_line(line)
                .map(|_| ())
                .map_err(|err| err.to_string())
        })
    });
}

#[test]
fn certificates() {
    tally::run("certificates", 8, |random, keygen| {
        let make = |random: &mut Random| {
            let secret = random.pick(secret::all());
            let changes = random.below(3);
            let mut nodes = certificate(random, secret, changes);
            if random.chance(15) {
                mutate(random, &mut nodes);
            }
            line(random, &encode(&nodes))
        };
        // As `tpmssh cert add` does, without the check of critical options: -L only shows them.
        check(random, keygen, make, |line| {
            let read = Certificate::from_line(line).and_then(|(it, _)| it.verify());
            read.map_err(|err| err.to_string())
        })
    });
}

/// The verdicts on [`LINES`] lines.
fn check(
    random: &mut Random,
    keygen: &Keygen,
    make: impl Fn(&mut Random) -> Vec<u8>,
    ours: impl Fn(&str) -> Result<(), String>,
) -> Vec<Verdict> {
    let lines: Vec<Vec<u8>> = (0..LINES).map(|_| make(random)).collect();
    let theirs = theirs(keygen, &lines);
    let verdict = |(line, theirs): (Vec<u8>, bool)| {
        let text = std::str::from_utf8(&line).map_err(|_| "the line is not text".to_owned());
        Verdict {
            ours: text.and_then(&ours),
            theirs,
            input: line,
        }
    };
    lines.into_iter().zip(theirs).map(verdict).collect()
}

/// Which of the lines `ssh-keygen -L` accepts, as a certificate or as a plain key.
fn theirs(keygen: &Keygen, lines: &[Vec<u8>]) -> Vec<bool> {
    let file = keygen.write("lines", &lines.concat());
    let output = keygen.run(&["-L", "-f", file.to_str().unwrap()], b"");
    if output.status.code() == Some(255) && lines.len() > 1 {
        // It gives up at the first line that it refuses, so it gets the lines one by one.
        let alone = |line: &Vec<u8>| theirs(keygen, std::slice::from_ref(line))[0];
        return lines.iter().map(alone).collect();
    }
    if output.status.code() == Some(255) {
        return vec![false];
    }
    let (shown, told) = (output.stdout, output.stderr);
    let (shown, told) = (
        String::from_utf8_lossy(&shown),
        String::from_utf8_lossy(&told),
    );
    let path = file.display();
    (1..=lines.len())
        .map(|number| {
            let title = match number {
                1 => format!("{path}:"),
                _ => format!("{path}:{number}:"),
            };
            shown.lines().any(|line| line == title)
                || told.contains(&format!("{path}:{number} is not a certificate"))
        })
        .collect()
}

/// A line of a `.pub` file, changed or not; it ends with its only line feed.
fn line(random: &mut Random, blob: &[u8]) -> Vec<u8> {
    let name = Reader::new(blob, "blob of the test").string();
    let mut line = name.unwrap_or(b"ssh-ed25519").to_vec();
    line.extend(format!(" {} a comment", Base64::encode_string(blob)).into_bytes());
    if random.chance(25) {
        change_text(random, &mut line);
    }
    line.retain(|&byte| byte != b'\n');
    line.push(b'\n');
    line
}

/// A key of a kind that [`secret::all`] lacks: DSA, another size, another name.
fn other_key(random: &mut Random) -> Vec<Node> {
    let number = |random: &mut Random, len: usize| {
        let mut bytes = random.bytes(len);
        bytes[0] = 0x41;
        bytes[len - 1] |= 1;
        string(bytes)
    };
    match random.below(5) {
        0 => {
            let mut nodes = vec![string("ssh-dss")];
            nodes.extend((0..4).map(|_| number(random, 128)));
            nodes
        }
        1 => {
            let len = *random.pick(&[127, 128, 129, 512, 1025, 2048, 2049]);
            let e = random.text(&[&[3][..], &[1], &[1, 0, 1], &[4], &[2, 0, 0, 0, 1]]);
            vec![string("ssh-rsa"), string(e), number(random, len)]
        }
        2 => {
            let len = *random.pick(&[1, 31, 33, 64]);
            vec![string("ssh-ed25519"), string(random.bytes(len))]
        }
        3 => {
            let name = *random.pick(&["ED25519", "ecdsa", "rsa-sha2-512", "ssh-mldsa-65", ""]);
            let mut nodes = random.pick(secret::all()).public();
            nodes[0] = string(name);
            nodes
        }
        // Points of P-256 whose coordinates are too small, or not below the order.
        _ => {
            let mut point = vec![4];
            point.resize(65, *random.pick(&[0, 0xff]));
            vec![
                string("ecdsa-sha2-nistp256"),
                string("nistp256"),
                string(point),
            ]
        }
    }
}

/// A certificate for `secret` with `changes` changes, made before its authority signs it.
pub(crate) fn certificate(random: &mut Random, secret: &Secret, changes: usize) -> Vec<Node> {
    let half = secret::all().len() / 2;
    let authority = &secret::all()[half + random.below(half)];
    certificate_by(random, secret, authority, changes)
}

/// As [`certificate`], by this authority.
pub(crate) fn certificate_by(
    random: &mut Random,
    secret: &Secret,
    authority: &Secret,
    changes: usize,
) -> Vec<Node> {
    let name = secret.name().trim_end_matches("@openssh.com");
    let mut nodes = vec![string(format!("{name}-cert-v01@openssh.com"))];
    nodes.push(string(random.bytes(32)));
    nodes.extend(secret.fields());
    let serial = *random.pick(&[0, 1, 7, u64::MAX]);
    nodes.push(raw(serial.to_be_bytes()));
    nodes.push(raw([0, 0, 0, if random.chance(80) { 1 } else { 2 }]));
    nodes.push(string(*random.pick(&["an id", "", "i\nd"])));
    let some = [&["anna"][..], &["anna", "bert"], &[], &["a,b", "anna"]];
    let principals = random.pick(&some);
    nodes.push(Node::String(principals.iter().map(string).collect()));
    let times = [
        (0, u64::MAX),
        (1000, 1 << 40),
        (1 << 40, 1 << 41),
        (9, 9),
        (0, 5),
    ];
    let kinds = if random.chance(80) { 2 } else { times.len() };
    let (after, before) = times[random.below(kinds)];
    nodes.push(raw(u64::to_be_bytes(after)));
    nodes.push(raw(u64::to_be_bytes(before)));
    nodes.push(Node::String(options(
        random,
        &[
            "force-command",
            "source-address",
            "verify-required",
            "unknown@example.org",
        ],
    )));
    nodes.push(Node::String(options(
        random,
        &[
            "permit-pty",
            "permit-X11-forwarding",
            "no-touch-required",
            "other@example.org",
        ],
    )));
    nodes.push(string(if random.chance(5) { "reserved" } else { "" }));
    nodes.push(Node::String(authority.public()));
    for _ in 0..changes {
        mutate(random, &mut nodes);
    }
    let mut signature = authority.sign(random, &encode(&nodes));
    if changes > 0 && random.chance(15) {
        mutate(random, &mut signature);
    }
    nodes.push(Node::String(signature));
    nodes
}

/// Critical options or extensions, most of them of the form that they should have.
fn options(random: &mut Random, names: &[&str]) -> Vec<Node> {
    let mut options = Vec::new();
    for name in names
        .iter()
        .filter(|_| random.chance(30))
        .collect::<Vec<_>>()
    {
        let text = matches!(*name, "force-command" | "source-address") != random.chance(4);
        let value = if text {
            encode(&[string("10.0.0.0/8")])
        } else {
            Vec::new()
        };
        options.extend([string(name), string(value)]);
    }
    options
}
