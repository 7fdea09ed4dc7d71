//! Each mechanism that the module says it has, checked by OpenSSL.

use std::fs;

use testing::Home;

use super::{PIN, Program, ok, tool};
use crate::clients::{file, openssl, refused, write};
use crate::program::Prepared;

/// What stands before a SHA-256 digest in a `DigestInfo`: RFC 8017, section 9.2, note 1.
const DIGEST_INFO: &[u8] =
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

/// How a mechanism is tried, as its name says.
struct Case {
    /// The id of the key.
    key: &'static str,
    /// The hash of the mechanism, such as `sha384`. If it has none the input is a digest, and this
    /// is the hash of that: `sha256`.
    hash: String,
    /// Whether the input is hashed by the module.
    hashes: bool,
    pss: bool,
    /// Whether the caller pads.
    raw: bool,
}

impl Case {
    /// `RSA-PKCS`, `SHA384-RSA-PKCS-PSS`, `RSA-X-509`, `ECDSA-SHA1` and so on.
    fn of(mechanism: &str) -> Self {
        let raw = mechanism == "RSA-X-509";
        let mechanism = if raw { "RSA-PKCS" } else { mechanism };
        let (key, rest) = if mechanism.starts_with("ECDSA") {
            ("02", mechanism.replace("ECDSA", ""))
        } else {
            assert!(mechanism.contains("RSA-PKCS"), "no test of {mechanism}");
            ("01", mechanism.replace("RSA-PKCS", ""))
        };
        let pss = rest.ends_with("-PSS");
        let hash = rest.replace("-PSS", "").replace('-', "").to_lowercase();
        Self {
            key,
            hashes: !hash.is_empty(),
            hash: if hash.is_empty() {
                "sha256".into()
            } else {
                hash
            },
            pss,
            raw,
        }
    }

    /// The file with what pkcs11-tool is given for the data in `data`.
    fn input(&self, home: &Home, data: &str) -> String {
        if self.hashes {
            return data.to_owned();
        }
        let digest = file(home, "digest");
        openssl(home, &["dgst", "-sha256", "-binary", "-out", &digest, data]);
        if self.key == "01" && !self.pss {
            let info = [DIGEST_INFO, &fs::read(&digest).unwrap()].concat();
            let fill = 2048 / 8 - 3 - info.len();
            let padding = [&[0, 1], &vec![0xff; fill][..], &[0]].concat();
            let padding = if self.raw { padding } else { Vec::new() };
            return write(home, "info", [padding, info].concat());
        }
        digest
    }
}

/// The public key of the pair `id`, as OpenSSH reads and writes it: pkcs11-tool 0.23 cannot
/// read all of them.
pub(super) fn public_key(program: &Program, id: &str) -> String {
    let line = program.run(&["export", id]).ok();
    write(&program.home, "line", line);
    let convert = ["-e", "-m", "PKCS8", "-f", "line"];
    let mut ssh_keygen = program.home.command("ssh-keygen");
    let pem = crate::clients::ok(ssh_keygen.args(convert));
    write(&program.home, &format!("{id}.pem"), pem)
}

fn with_keys() -> Program {
    static WITH_KEYS: Prepared = Prepared::new();
    WITH_KEYS.copy(|| {
        let program = Program::with_token();
        for (id, kind) in [("01", "rsa:2048"), ("02", "EC:prime256v1")] {
            let make = ["--login", "--pin", PIN, "--keypairgen", "--key-type", kind];
            ok(
                &program,
                &[&make[..], &["--id", id, "--label", id]].concat(),
            );
        }
        program
    })
}

#[test]
fn every_mechanism_signs_what_openssl_verifies() {
    let program = with_keys();
    let home = &program.home;
    let keys = ["01", "02"].map(|id| (id, public_key(&program, id)));
    let [data, other] = [("data", "to be signed"), ("other", "something else")]
        .map(|(name, content)| write(home, name, content));
    let signature = file(home, "signature");
    let listed = ok(&program, &["-M"]);
    let mut tried = 0;
    for line in listed.lines().filter(|line| line.contains(", sign")) {
        let mechanism = line.trim().split(',').next().unwrap();
        let case = Case::of(mechanism);
        let input = case.input(home, &data);
        let how = ["--mechanism", mechanism, "--id", case.key];
        let format = ["--signature-format", "openssl"];
        let mut how = [&how[..], &format, &["--input-file", &input]].concat();
        if case.pss && !case.hashes {
            how.extend(["--hash-algorithm", "SHA256", "--mgf", "MGF1-SHA256"]);
        }
        let login = ["--login", "--pin", PIN];
        let out = ["--sign", "--output-file", &signature];
        ok(&program, &[&login[..], &how, &out].concat());

        let (_, public) = keys.iter().find(|(id, _)| *id == case.key).unwrap();
        let hash = format!("-{}", case.hash);
        let mut verify = vec!["dgst", &hash, "-verify", public, "-signature", &signature];
        if case.pss {
            verify.extend(["-sigopt", "rsa_padding_mode:pss"]);
            verify.extend(["-sigopt", "rsa_pss_saltlen:digest"]);
        }
        openssl(home, &[&verify[..], &[&data]].concat());
        refused(home.command("openssl").args(&verify).arg(&other));

        // The module verifies it too, without a login, and refuses it with another last byte.
        let check = ["--verify", "--signature-file", &signature];
        let printed = ok(&program, &[&how[..], &check].concat());
        assert!(
            printed.contains("Signature is valid"),
            "{mechanism}: {printed}"
        );
        let mut spoilt = fs::read(&signature).unwrap();
        *spoilt.last_mut().unwrap() ^= 1;
        fs::write(&signature, spoilt).unwrap();
        let output = tool(&program).args(&how).args(check).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            !printed.contains("Signature is valid"),
            "{mechanism}: {printed}"
        );
        tried += 1;
    }
    assert!(tried >= 14, "{listed}");
}

#[test]
fn a_long_rsa_key_signs() {
    let program = Program::with_token();
    let home = &program.home;
    let login = ["--login", "--pin", PIN, "--id", "01"];
    let make = ["--keypairgen", "--key-type", "rsa:3072", "--label", "long"];
    ok(&program, &[&login[..], &make].concat());
    let data = write(home, "data", "to be signed");
    let signature = file(home, "signature");
    let sign = ["--sign", "--mechanism", "SHA512-RSA-PKCS"];
    let files = ["--input-file", &data, "--output-file", &signature];
    ok(&program, &[&login[..], &sign, &files].concat());
    assert_eq!(fs::read(&signature).unwrap().len(), 3072 / 8);
    let public = public_key(&program, "01");
    let verify = ["dgst", "-sha512", "-verify", &public, "-signature"];
    openssl(home, &[&verify[..], &[&signature, &data]].concat());
}

/// Signatures of any kind, digests, random numbers, RSA-PKCS and OAEP decryption.
#[test]
fn the_tests_of_the_tool_itself_pass() {
    let program = with_keys();
    let printed = ok(&program, &["--test", "--login", "--pin", PIN]);
    assert!(printed.contains("No errors"), "{printed}");
    assert_eq!(printed.matches("RSA-PKCS-OAEP").count(), 2, "{printed}");
}

#[test]
fn a_wrong_pin_no_pin_and_a_wrong_length_sign_nothing() {
    let program = with_keys();
    let home = &program.home;
    let data = write(home, "data", vec![7; 1 << 20]);
    let signature = file(home, "signature");
    let sign = ["--sign", "--input-file", &data, "--output-file", &signature];
    let with = |pin: &[&str], mechanism: &str, id: &str| {
        let how = ["--mechanism", mechanism, "--id", id];
        let mut command = tool(&program);
        command.args(pin).args(how).args(sign);
        command
    };
    let wrong = ["--login", "--pin", "incorrect horse"];
    let printed = refused(&mut with(&wrong, "ECDSA-SHA256", "02"));
    assert!(printed.contains("CKR_PIN_INCORRECT"), "{printed}");
    refused(&mut with(&[], "ECDSA-SHA256", "02"));
    let right = ["--login", "--pin", PIN];
    let printed = refused(&mut with(&right, "RSA-PKCS", "01"));
    assert!(printed.contains("CKR_DATA_LEN_RANGE"), "{printed}");
    let printed = refused(&mut with(&right, "SHA256-RSA-PKCS", "02"));
    assert!(printed.contains("CKR_KEY_TYPE_INCONSISTENT"), "{printed}");
    // A mechanism that hashes takes a mebibyte of input.
    crate::clients::ok(&mut with(&right, "SHA256-RSA-PKCS", "01"));
}
