//! Check V9: the signature of an attestation has to name the scheme of the attestation key.

use key_proof::Check;

use crate::pair::Pair;
use crate::software_tpm::{Area, SoftwareTpm, any_tpm, check, refused};

/// RSASSA, RSAPSS, ECDSA, ECDAA; SHA-1, SHA-256, SHA-384, SHA-512 (part 2, section 6.3).
const SCHEMES: [u16; 4] = [0x14, 0x16, 0x18, 0x1a];
const HASHES: [u16; 4] = [0x04, 0x0b, 0x0c, 0x0d];

#[test]
fn v9_a_right_signature_under_the_name_of_another_scheme_or_hash_is_refused() {
    let tpms = [
        (SoftwareTpm::new(), 0x18),
        (SoftwareTpm::new().with_rsa_attestation_key(), 0x14),
    ];
    for (tpm, own) in tpms {
        let good = tpm.proof();
        check(&good, &any_tpm()).unwrap();
        for scheme in SCHEMES {
            for hash in HASHES {
                let mut proof = good.clone();
                proof.signature[..2].copy_from_slice(&scheme.to_be_bytes());
                proof.signature[2..4].copy_from_slice(&hash.to_be_bytes());
                let result = check(&proof, &any_tpm());
                if (scheme, hash) == (own, 0x0b) {
                    result.unwrap();
                } else {
                    assert_eq!(refused(result).0, Check::V9, "{scheme:#x} {hash:#x}");
                }
            }
        }
    }
}

#[test]
fn v9_a_signature_with_bytes_left_over_is_refused() {
    for tpm in [
        SoftwareTpm::new(),
        SoftwareTpm::new().with_rsa_attestation_key(),
    ] {
        let good = tpm.proof();
        let mut longer = good.clone();
        longer.signature.push(0);
        assert_eq!(refused(check(&longer, &any_tpm())).0, Check::V9);
        for len in 0..good.signature.len() {
            let mut shorter = good.clone();
            shorter.signature.truncate(len);
            assert_eq!(refused(check(&shorter, &any_tpm())).0, Check::V9, "{len}");
        }
    }
}

/// The attestation is right, but the signature is by another key of the same kind, or one bit of it is changed.
#[test]
fn v9_an_attestation_that_its_key_has_not_signed_is_refused() {
    let not_signed = (
        Check::V9,
        "the attestation is not signed by the attestation key",
    );
    for (tpm, other) in [
        (SoftwareTpm::new(), SoftwareTpm::new()),
        (
            SoftwareTpm::new().with_rsa_attestation_key(),
            SoftwareTpm {
                ak: Area {
                    key: Pair::rsa2048(2),
                    ..SoftwareTpm::new().with_rsa_attestation_key().ak
                },
                ..SoftwareTpm::new()
            },
        ),
    ] {
        let good = tpm.proof();
        check(&good, &any_tpm()).unwrap();
        let mut proof = good.clone();
        proof.signature = other.signature(&good.attest);
        assert_eq!(refused(check(&proof, &any_tpm())), not_signed);
        let mut proof = good.clone();
        proof.signature = tpm.signature(b"another message");
        assert_eq!(refused(check(&proof, &any_tpm())), not_signed);
        let last = good.signature.len() - 1;
        for at in [8, last / 2, last] {
            let mut proof = good.clone();
            proof.signature[at] ^= 1;
            assert_eq!(refused(check(&proof, &any_tpm())), not_signed, "byte {at}");
        }
    }
}
