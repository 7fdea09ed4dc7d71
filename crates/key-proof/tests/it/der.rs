//! Certificates written byte by byte, as a maker with any ideas could write them.

use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner},
    elliptic_curve::sec1::ToEncodedPoint,
};
use rand_core::OsRng;
use sha2::{Digest, Sha256};

pub(crate) fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let len = contents.len();
    let head = match len {
        0..=0x7f => vec![tag, u8::try_from(len).unwrap()],
        0x80..=0xff => vec![tag, 0x81, u8::try_from(len).unwrap()],
        _ => {
            let [high, low] = u16::try_from(len).unwrap().to_be_bytes();
            vec![tag, 0x82, high, low]
        }
    };
    [&head[..], contents].concat()
}

pub(crate) fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// With SHA-1.
pub(crate) const ECDSA_SHA1: &[u8] = &[0x30, 9, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];

/// `CN=text`.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let value = tlv(0x0c, text.as_bytes());
    seq(&[&tlv(0x31, &seq(&[&[6, 3, 0x55, 4, 3], &value]))])
}

fn spki(key: &p256::PublicKey) -> Vec<u8> {
    let point = key.to_encoded_point(false);
    let algorithm = seq(&[
        &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1],
        &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
    ]);
    seq(&[&algorithm, &tlv(3, &[&[0][..], point.as_bytes()].concat())])
}

/// An extension: the last bytes of its object identifier below 2.5.29, whether it is critical, its value.
pub(crate) fn extension(id: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    seq(&[&[6, 3, 0x55, 0x1d, id], flag, &tlv(4, value)])
}

/// The subject alternative name with maker, model and version.
pub(crate) fn maker() -> Vec<u8> {
    let part = |last: u8, text: &str| {
        let oid = [6, 5, 0x67, 0x81, 5, 2, last];
        tlv(0x31, &seq(&[&oid, &tlv(0x0c, text.as_bytes())]))
    };
    let names = seq(&[
        &part(1, "id:4E544300"),
        &part(2, "NPCT75x"),
        &part(3, "id:0702"),
    ]);
    extension(17, true, &seq(&[&tlv(0xa4, &names)]))
}

/// The extended usage of endorsement keys.
pub(crate) fn ek_usage() -> Vec<u8> {
    extension(37, false, &seq(&[&[6, 5, 0x67, 0x81, 5, 8, 1]]))
}

/// Basic constraints: whether it is an authority, and how many more may be below it.
pub(crate) fn authority(is: bool, below: Option<u8>) -> Vec<u8> {
    let below = below.map(|most| tlv(2, &[most])).unwrap_or_default();
    let flag: &[u8] = if is { &[1, 1, 0xff] } else { &[] };
    extension(19, true, &seq(&[flag, &below]))
}

pub(crate) fn critical_policies() -> Vec<u8> {
    extension(32, true, &seq(&[&seq(&[&[6, 4, 0x55, 0x1d, 0x20, 0]])]))
}

/// A key usage with these bits.
pub(crate) fn usage(bits: u8) -> Vec<u8> {
    extension(15, true, &[3, 2, 0, bits])
}

/// A certificate to be written.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) serial: Vec<u8>,
    pub(crate) algorithm: Vec<u8>,
    pub(crate) subject: String,
    pub(crate) not_after: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Draft {
    pub(crate) fn new(subject: &str, extensions: Vec<Vec<u8>>) -> Self {
        Self {
            serial: vec![5],
            algorithm: ECDSA_SHA256.to_vec(),
            subject: subject.to_owned(),
            // As many makers write "never".
            not_after: tlv(0x18, b"99991231235959Z"),
            extensions,
        }
    }
}

/// An authority with a key.
pub(crate) struct Authority {
    pub(crate) name: String,
    pub(crate) key: SecretKey,
    pub(crate) der: Vec<u8>,
}

impl Authority {
    /// One that has signed itself.
    pub(crate) fn root(name: &str) -> Self {
        let draft = Draft::new(name, vec![authority(true, None), usage(0x04)]);
        let mut root = Self {
            name: name.to_owned(),
            key: SecretKey::random(&mut OsRng),
            der: Vec::new(),
        };
        root.der = root.certify(&draft, &root.key.public_key());
        root
    }

    /// One that this one has certified.
    pub(crate) fn below(&self, draft: &Draft) -> Self {
        let key = SecretKey::random(&mut OsRng);
        let der = self.certify(draft, &key.public_key());
        Self {
            name: draft.subject.clone(),
            key,
            der,
        }
    }

    pub(crate) fn certify(&self, draft: &Draft, key: &p256::PublicKey) -> Vec<u8> {
        let extensions: Vec<&[u8]> = draft.extensions.iter().map(Vec::as_slice).collect();
        let tbs = seq(&[
            &[0xa0, 3, 2, 1, 2],
            &tlv(2, &draft.serial),
            &draft.algorithm,
            &name(&self.name),
            &seq(&[&tlv(0x17, b"200101000000Z"), &draft.not_after]),
            &name(&draft.subject),
            &spki(key),
            &tlv(0xa3, &seq(&extensions)),
        ]);
        let signature: Signature = SigningKey::from(&self.key)
            .sign_prehash(&Sha256::digest(&tbs))
            .unwrap();
        let signature = [&[0][..], signature.to_der().as_bytes()].concat();
        seq(&[&tbs, &draft.algorithm, &tlv(3, &signature)])
    }
}
