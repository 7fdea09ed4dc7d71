//! Revocation lists: `ssh-keygen -Q`.

use sha2::Digest;
use ssh_encoding::base64::{Base64, Encoding};
use ssh_format::{AnyKey, Certificate, Krl};

use crate::certificates::certificate_by;
use crate::secret;
use crate::tally::{self, Verdict};
use crate::tree::{Node, encode, mutate, raw, string};
use testing::differential::Random;

#[test]
fn revocation_lists() {
    let asked = asked();
    tally::run("revocation lists", 6, |random, keygen| {
        let list = list(random);
        let file = keygen.write("krl", &list).to_str().unwrap().to_owned();
        let mut args = vec!["-Q".to_owned(), "-f".to_owned(), file];
        for (number, (line, _)) in asked.iter().enumerate() {
            let file = keygen.write(&number.to_string(), line.as_bytes());
            args.push(file.to_str().unwrap().to_owned());
        }
        let output = keygen.run(&args, b"");
        let shown = String::from_utf8(output.stdout).unwrap();
        let theirs: Vec<bool> = shown
            .lines()
            .map(|line| line.ends_with(": REVOKED"))
            .collect();
        let is_read = output.status.code() != Some(255);
        assert_eq!(
            theirs.len(),
            if is_read { asked.len() } else { 0 },
            "{shown}"
        );
        let (ours, theirs) = match Krl::from_bytes(&list) {
            Err(why) => (Err(why.to_string()), is_read),
            Ok(_) if !is_read => (Ok(()), false),
            Ok(krl) => {
                let ours: Vec<bool> = asked.iter().map(|(_, it)| it.is_revoked(&krl)).collect();
                let forgotten = ours
                    .iter()
                    .zip(&theirs)
                    .any(|(ours, theirs)| theirs & !ours);
                match (forgotten, ours == theirs) {
                    (true, _) => (Ok(()), false),
                    (false, true) => (Ok(()), true),
                    (false, false) => (Err("revoked here alone".to_owned()), true),
                }
            }
        };
        vec![Verdict {
            ours,
            theirs,
            input: list,
        }]
    });
}

/// The keys and certificates that a list is asked about.
enum Asked {
    Key(AnyKey),
    Certificate(Box<Certificate>),
}

impl Asked {
    fn is_revoked(&self, krl: &Krl) -> bool {
        match self {
            Self::Key(key) => krl.revokes_key(key),
            Self::Certificate(certificate) => krl.revokes_certificate(certificate),
        }
    }
}

/// Keys and certificates, as files and as we read them: with every serial number that
/// [`certificate_by`] gives, by some authorities.
fn asked() -> Vec<(String, Asked)> {
    let mut random = Random::new(11);
    let half = secret::all().len() / 2;
    let mut asked = Vec::new();
    for secret in &secret::all()[..half] {
        let blob = encode(&secret.public());
        let line = format!("{} {}\n", secret.name(), Base64::encode_string(&blob));
        asked.push((line, Asked::Key(AnyKey::from_blob(&blob).unwrap())));
    }
    while asked.len() < 3 * half {
        let secret = random.pick(secret::all());
        let authority = &secret::all()[half + random.below(3)];
        let blob = encode(&certificate_by(&mut random, secret, authority, 0));
        let Ok(certificate) = Certificate::from_blob(&blob) else {
            continue;
        };
        let line = format!(
            "{} {}\n",
            certificate.algorithm(),
            Base64::encode_string(&blob)
        );
        asked.push((line, Asked::Certificate(Box::new(certificate))));
    }
    asked
}

fn list(random: &mut Random) -> Vec<u8> {
    let mut nodes = vec![
        raw(b"SSHKRL\n\0"),
        raw([0, 0, 0, 1]),
        raw([0; 8]),
        raw([0; 8]),
        raw([0; 8]),
        string(if random.chance(5) { "reserved" } else { "" }),
        string("a comment"),
    ];
    for _ in 0..random.below(4) {
        section(random, &mut nodes);
    }
    for _ in 0..random
        .below(3)
        .saturating_sub(usize::from(random.chance(60)))
    {
        mutate(random, &mut nodes);
    }
    if random.chance(4) {
        let signer = random.pick(secret::all());
        nodes.extend([raw([4]), Node::String(signer.public())]);
        let signature = signer.sign(random, &encode(&nodes));
        nodes.push(Node::String(signature));
    }
    encode(&nodes)
}

fn section(random: &mut Random, nodes: &mut Vec<Node>) {
    let blobs: Vec<Vec<u8>> = (0..random.below(3))
        .map(|_| encode(&random.pick(secret::all()).public()))
        .collect();
    let kind = random.below(12);
    let contents = match kind {
        2 => blobs.iter().map(string).collect(),
        3 => blobs
            .iter()
            .map(|blob| string(sha1::Sha1::digest(blob)))
            .collect(),
        5 => blobs
            .iter()
            .map(|blob| string(sha2::Sha256::digest(blob)))
            .collect(),
        11 => vec![string("x"), raw([random.byte() & 1]), string("")],
        _ => certificates(random),
    };
    let number = match kind {
        2 | 3 | 5 => u8::try_from(kind).unwrap(),
        11 if random.chance(20) => 255,
        _ => 1,
    };
    nodes.extend([raw([number]), Node::String(contents)]);
}

fn certificates(random: &mut Random) -> Vec<Node> {
    let half = secret::all().len() / 2;
    let authority = match random.below(8) {
        0 | 1 => string(""),
        2 => Node::String(certificate_by(
            random,
            &secret::all()[0],
            &secret::all()[half],
            0,
        )),
        _ => Node::String(secret::all()[half + random.below(3)].public()),
    };
    let mut nodes = vec![authority, string("")];
    for _ in 0..random.below(4) {
        let serials = [1, 2, 3, 6, 7, 8, 1000, u64::MAX - 1, u64::MAX];
        let serial = |random: &mut Random| match random.chance(4) {
            true => raw([0; 8]),
            false => raw(random.pick(&serials).to_be_bytes()),
        };
        let (number, contents) = match random.below(9) {
            0..=2 => (0x20, (0..random.below(4)).map(|_| serial(random)).collect()),
            3 | 4 => (0x21, vec![serial(random), serial(random)]),
            5 | 6 => (0x22, vec![serial(random), string(bits(random))]),
            7 => (0x23, vec![string("an id"), string("other")]),
            _ => (
                *random.pick(&[0x20, 0x23, 0x39, 0x24]),
                vec![string("x"), raw([random.byte() & 1]), string("")],
            ),
        };
        nodes.extend([raw([number]), Node::String(contents)]);
    }
    nodes
}

/// A bitmap, in the form that it should have or another.
fn bits(random: &mut Random) -> Vec<u8> {
    let len = *random.pick(&[0, 1, 1, 2, 9, 2048, 2049]);
    let mut bits = random.bytes(len);
    if let Some(first) = bits.first_mut().filter(|_| random.chance(80)) {
        *first &= 0x7f;
    }
    bits
}
