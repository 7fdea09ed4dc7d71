//! Signatures of files: `ssh-keygen -Y check-novalidate`.

use ssh_encoding::base64::{Base64, Encoding};
use ssh_format::{SigHash, SshSig};

use crate::certificates::certificate;
use crate::secret::{self, Secret};
use crate::tally::{self, Verdict};
use crate::tree::{Node, change_bytes, change_text, encode, mutate, raw, string};
use testing::differential::Random;

pub(crate) const MESSAGE: &[u8] = b"a message\n";

#[test]
fn signatures_of_files() {
    tally::run("signatures of files", 12, |random, keygen| {
        let namespace = *random.pick(&["file", "file", "file", "git", "a b", "x\x7fy"]);
        let (secret, signer) = signer(random);
        let blob = signed(random, secret, signer, namespace, true);
        let mut text = armored(&blob).into_bytes();
        if random.chance(25) {
            change_text(random, &mut text);
        }
        let wanted = if random.chance(5) { "other" } else { namespace };
        let file = keygen.write("signature", &text);
        let args = [
            "-Y",
            "check-novalidate",
            "-n",
            wanted,
            "-s",
            file.to_str().unwrap(),
        ];
        vec![Verdict {
            theirs: keygen.accepts(&args, MESSAGE),
            ours: ours(&text, wanted),
            input: text,
        }]
    });
}

/// Our verdict, as `tpmssh verify` comes to it.
fn ours(text: &[u8], namespace: &str) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|_| "the file is not text")?;
    let read = SshSig::from_armored(text);
    let signature = read.map_err(|err| err.to_string())?;
    let digest = signature.hash().of(MESSAGE).unwrap();
    signature
        .verify(namespace, &digest)
        .map_err(|err| err.to_string())
}

/// A key, and the signer that a signature names: the key, or a certificate for it.
pub(crate) fn signer(random: &mut Random) -> (&'static Secret, Vec<Node>) {
    let secret = random.pick(secret::all());
    if random.chance(25) {
        let changes = random.below(4) / 3;
        return (secret, certificate(random, secret, changes));
    }
    (secret, secret.public())
}

/// The blob of a signature over [`MESSAGE`], changed or not.
pub(crate) fn signed(
    random: &mut Random,
    secret: &Secret,
    mut signer: Vec<Node>,
    namespace: &str,
    changed: bool,
) -> Vec<u8> {
    let (name, hash) = *random.pick(&[("sha256", SigHash::Sha256), ("sha512", SigHash::Sha512)]);
    let digest = hash.of(MESSAGE).unwrap();
    // If the name or the namespace is changed, the signature is over the changed one.
    let (mut name, mut space) = (name.as_bytes().to_vec(), namespace.as_bytes().to_vec());
    if changed && random.chance(4) {
        let field = if random.chance(50) {
            &mut name
        } else {
            &mut space
        };
        change_bytes(random, field);
    }
    let signed = [
        raw("SSHSIG"),
        string(&space),
        string(""),
        string(&name),
        string(&digest),
    ];
    let mut signature = secret.sign(random, &encode(&signed));
    if changed && random.chance(3) {
        secret::with_other_s(&mut signature);
    }
    if changed && random.chance(12) {
        mutate(random, &mut signature);
    }
    if changed && random.chance(12) {
        mutate(random, &mut signer);
    }
    let version = if changed && random.chance(2) { 0 } else { 1 };
    let mut nodes = vec![
        raw("SSHSIG"),
        raw([0, 0, 0, version]),
        Node::String(signer),
        string(&space),
        string(if changed && random.chance(5) {
            "reserved"
        } else {
            ""
        }),
        string(&name),
        Node::String(signature),
    ];
    if changed && random.chance(20) {
        mutate(random, &mut nodes);
    }
    encode(&nodes)
}

/// A blob as a file has it.
pub(crate) fn armored(blob: &[u8]) -> String {
    let mut text = String::from("-----BEGIN SSH SIGNATURE-----\n");
    for line in Base64::encode_string(blob).as_bytes().chunks(70) {
        text.push_str(std::str::from_utf8(line).unwrap());
        text.push('\n');
    }
    text + "-----END SSH SIGNATURE-----\n"
}
