//! Signatures, decryption and key agreement: `dgst`, `pkeyutl`, `cms`.

use super::{Checks, KEYS, Token};

const HASHES: [&str; 3] = ["sha256", "sha384", "sha512"];

/// Lengths of the PSS salt, as OpenSSL names them. The chip pads if the salt is as long as the hash,
/// and the module if it is not.
const SALTS: [&str; 4] = ["digest", "max", "auto", "20"];

/// Each hash and padding, verified by another OpenSSL, and by the provider with the public key.
#[test]
fn digests_are_signed_and_verified() {
    let Some(token) = Token::ours() else { return };
    token.certify();
    token.write("data", "to be signed");
    let mut checks = Checks::default();
    for hash in HASHES {
        for label in KEYS {
            let sign = format!("dgst -{hash} -sign @{label} -out signature data");
            let verify = format!("dgst -{hash} -verify {label}.pub -signature signature data");
            let both = [token.openssl(&sign), token.other_openssl(&verify)];
            checks.check(format!("{label} signs {hash}"), &both);
            let verify = format!("dgst -{hash} -verify +{label} -signature signature data");
            checks.check(
                format!("{label} verifies {hash}"),
                &[token.openssl(&verify)],
            );
        }
        for salt in SALTS {
            let pss = format!("-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:{salt}");
            let sign = format!("dgst -{hash} {pss} -sign @rsa -out signature data");
            let verify = format!("dgst -{hash} {pss} -verify rsa.pub -signature signature data");
            let both = [token.openssl(&sign), token.other_openssl(&verify)];
            checks.check(format!("rsa signs {hash} with PSS, salt {salt}"), &both);
        }
    }
    checks.end(30);
}

#[test]
fn pkeyutl_signs_verifies_decrypts_and_derives() {
    let Some(token) = Token::ours() else { return };
    token.certify();
    token.write("data", "to be signed");
    let mut checks = Checks::default();
    super::shown(&token.other_openssl("dgst -sha256 -binary -out digest data"));
    for label in KEYS {
        let how = "-pkeyopt digest:sha256";
        let sign = format!("pkeyutl -sign -inkey @{label} {how} -in digest -out signature");
        let verify = format!(
            "pkeyutl -verify -pubin -inkey {label}.pub {how} -in digest -sigfile signature"
        );
        let both = [token.openssl(&sign), token.other_openssl(&verify)];
        checks.check(format!("{label} signs a digest"), &both);
        let sign =
            format!("pkeyutl -sign -inkey @{label} -rawin -digest sha256 -in data -out signature");
        let verify = format!(
            "pkeyutl -verify -pubin -inkey {label}.pub -rawin -digest sha256 -in data -sigfile signature"
        );
        let both = [token.openssl(&sign), token.other_openssl(&verify)];
        checks.check(format!("{label} signs data"), &both);
        let verify = verify.replace(&format!("{label}.pub"), &format!("+{label}"));
        checks.check(format!("{label} verifies data"), &[token.openssl(&verify)]);
    }
    for salt in SALTS {
        let pss = format!(
            "-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:{salt}"
        );
        let sign = format!("pkeyutl -sign -inkey @rsa {pss} -in digest -out signature");
        let verify =
            format!("pkeyutl -verify -pubin -inkey rsa.pub {pss} -in digest -sigfile signature");
        let both = [token.openssl(&sign), token.other_openssl(&verify)];
        checks.check(format!("rsa signs a digest with PSS, salt {salt}"), &both);
    }
    for padding in [
        "pkcs1",
        "oaep -pkeyopt rsa_oaep_md:sha1 -pkeyopt rsa_mgf1_md:sha1",
        "oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256",
        "oaep -pkeyopt rsa_oaep_md:sha384 -pkeyopt rsa_mgf1_md:sha384",
        "oaep -pkeyopt rsa_oaep_md:sha512 -pkeyopt rsa_mgf1_md:sha512",
    ] {
        let how = format!("-pkeyopt rsa_padding_mode:{padding}");
        let encrypt =
            format!("pkeyutl -encrypt -pubin -inkey rsa.pub {how} -in data -out encrypted");
        let decrypt = format!("pkeyutl -decrypt -inkey @rsa {how} -in encrypted -out decrypted");
        let both = [token.other_openssl(&encrypt), token.openssl(&decrypt)];
        checks.check(format!("rsa decrypts, {padding}"), &both);
        let decrypted = std::fs::read(token.file("decrypted")).unwrap_or_default();
        assert_eq!(decrypted, b"to be signed", "{padding}: {:?}", checks.failed);
        std::fs::remove_file(token.file("decrypted")).unwrap();
        let encrypt = encrypt.replace("-pubin -inkey rsa.pub", "-pubin -inkey +rsa");
        let both = [token.openssl(&encrypt), token.openssl(&decrypt)];
        checks.check(format!("rsa encrypts, {padding}"), &both);
    }
    for (label, curve) in [("p256", "P-256"), ("p384", "P-384")] {
        let make =
            format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out peer.key");
        super::shown(&token.other_openssl(&make));
        super::shown(&token.other_openssl("pkey -in peer.key -pubout -out peer.pub"));
        let ours = format!("pkeyutl -derive -inkey @{label} -peerkey peer.pub -out ours");
        let theirs = format!("pkeyutl -derive -inkey peer.key -peerkey {label}.pub -out theirs");
        let both = [token.openssl(&ours), token.other_openssl(&theirs)];
        checks.check(format!("{label} derives"), &both);
        let read = |name| std::fs::read(token.file(name)).unwrap();
        assert_eq!(read("ours"), read("theirs"), "{label}");
    }
    checks.end(25);
}

#[test]
fn messages_are_signed_and_decrypted() {
    let Some(token) = Token::ours() else { return };
    token.certify();
    token.write("data", "a message");
    let mut checks = Checks::default();
    for label in KEYS {
        for options in ["", "-noattr"] {
            let sign = format!(
                "cms -sign {options} -in data -signer {label}.pem -inkey @{label} -out message"
            );
            let verify =
                format!("cms -verify -in message -CAfile {label}.pem -purpose any -out read");
            let both = [token.openssl(&sign), token.other_openssl(&verify)];
            checks.check(format!("{label} signs a message {options}"), &both);
        }
    }
    let pss =
        "cms -sign -in data -signer rsa.pem -inkey @rsa -keyopt rsa_padding_mode:pss -out message";
    let verify = "cms -verify -in message -CAfile rsa.pem -purpose any -out read";
    let both = [token.openssl(pss), token.other_openssl(verify)];
    checks.check("rsa signs a message with PSS", &both);
    for (label, options) in [
        ("rsa", ""),
        ("rsa", "-keyopt rsa_padding_mode:oaep"),
        ("p256", ""),
        ("p384", ""),
        ("p256", "-keyopt ecdh_kdf_md:sha384"),
    ] {
        let encrypt =
            format!("cms -encrypt -aes128 -in data -out message -recip {label}.pem {options}");
        let decrypt =
            format!("cms -decrypt -in message -recip {label}.pem -inkey @{label} -out read");
        let both = [token.other_openssl(&encrypt), token.openssl(&decrypt)];
        checks.check(format!("{label} decrypts a message {options}"), &both);
        let read = std::fs::read(token.file("read")).unwrap_or_default();
        assert!(read.starts_with(b"a message"), "{:?}", checks.failed);
        std::fs::remove_file(token.file("read")).unwrap();
    }
    checks.end(12);
}

/// The provider asks the module for OAEP without a hash unless both are named.
#[test]
fn oaep_without_named_hashes_fails_with_softhsm_too() {
    if Token::ours().is_none() {
        return;
    }
    let token = Token::of_softhsm();
    token.certify();
    token.write("data", "a message");
    let decrypts = |named: &str| {
        let oaep = "-pkeyopt rsa_padding_mode:oaep";
        let encrypt =
            format!("pkeyutl -encrypt -pubin -inkey rsa.pub {oaep} -in data -out encrypted");
        super::shown(&token.other_openssl(&encrypt));
        let decrypt =
            format!("pkeyutl -decrypt -inkey @rsa {oaep} {named} -in encrypted -out decrypted");
        token.openssl(&decrypt).status.success()
    };
    // OpenSSL's defaults for both.
    assert!(decrypts(
        "-pkeyopt rsa_oaep_md:sha1 -pkeyopt rsa_mgf1_md:sha1"
    ));
    assert!(!decrypts(""));
}

/// The provider takes a salt of no bytes for one that was not named, and asks the module for one as
/// long as the hash.
#[test]
fn a_salt_of_no_bytes_is_as_long_as_the_hash_with_softhsm_too() {
    let Some(ours) = Token::ours() else { return };
    for token in [ours, Token::of_softhsm()] {
        token.certify();
        token.write("data", "a message");
        let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen";
        let sign = format!("dgst -sha256 {pss}:0 -sign @rsa -out signature data");
        super::shown(&token.openssl(&sign));
        let verifies = |salt: &str| {
            let verify =
                format!("dgst -sha256 {pss}:{salt} -verify rsa.pub -signature signature data");
            token.other_openssl(&verify).status.success()
        };
        assert!(verifies("32"));
        assert!(!verifies("0"));
    }
}
