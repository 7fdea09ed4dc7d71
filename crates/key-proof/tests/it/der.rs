//! Certificates that are encoded byte by byte, so that tests can make unusual and wrong ones.

use crate::pair::{Hash, Pair};

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

/// ECDSA with SHA-1.
pub(crate) const ECDSA_SHA1: &[u8] = &[0x30, 9, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];

/// `CN=text`.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let value = tlv(0x0c, text.as_bytes());
    seq(&[&tlv(0x31, &seq(&[&[6, 3, 0x55, 4, 3], &value]))])
}

/// An extension: the last bytes of its object identifier below 2.5.29, whether it is critical, its value.
pub(crate) fn extension(id: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    seq(&[&[6, 3, 0x55, 0x1d, id], flag, &tlv(4, value)])
}

/// The subject alternative name with maker, model and version.
pub(crate) fn maker() -> Vec<u8> {
    maker_of("NPCT75x")
}

/// The same for a TPM of this model.
pub(crate) fn maker_of(model: &str) -> Vec<u8> {
    let part = |last: u8, text: &str| {
        let oid = [6, 5, 0x67, 0x81, 5, 2, last];
        tlv(0x31, &seq(&[&oid, &tlv(0x0c, text.as_bytes())]))
    };
    let names = seq(&[
        &part(1, "id:4E544300"),
        &part(2, model),
        &part(3, "id:0702"),
    ]);
    extension(17, true, &seq(&[&tlv(0xa4, &names)]))
}

/// The same in one part of a name, its attributes from the largest to the smallest.
pub(crate) fn unsorted_maker() -> Vec<u8> {
    let part = |last: u8, text: &str| {
        let oid = [6, 5, 0x67, 0x81, 5, 2, last];
        seq(&[&oid, &tlv(0x0c, text.as_bytes())])
    };
    let parts = [
        part(3, "id:0702"),
        part(2, "NPCT75x"),
        part(1, "id:4E544300"),
    ];
    let names = seq(&[&tlv(0x31, &parts.concat())]);
    extension(17, true, &seq(&[&tlv(0xa4, &names)]))
}

/// The extended key usage of endorsement keys.
pub(crate) fn ek_usage() -> Vec<u8> {
    extension(37, false, &seq(&[&[6, 5, 0x67, 0x81, 5, 8, 1]]))
}

/// Basic constraints: whether this is an authority, and how many authorities may be below it.
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

/// The contents of a certificate to be made.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) serial: Vec<u8>,
    /// The hash of the signature.
    pub(crate) hash: Hash,
    /// The signature algorithm that the certificate names; `None` for the right one, by the issuer's key and `hash`.
    pub(crate) algorithm: Option<Vec<u8>>,
    pub(crate) not_before: Vec<u8>,
    pub(crate) subject: String,
    pub(crate) not_after: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Draft {
    pub(crate) fn new(subject: &str, extensions: Vec<Vec<u8>>) -> Self {
        Self {
            serial: vec![5],
            hash: Hash::Sha256,
            algorithm: None,
            not_before: tlv(0x17, b"200101000000Z"),
            subject: subject.to_owned(),
            // As many makers write "never".
            not_after: tlv(0x18, b"99991231235959Z"),
            extensions,
        }
    }
}

/// The `AlgorithmIdentifier` of a signature.
fn signed_with(key: &Pair, hash: Hash) -> Vec<u8> {
    let number = match hash {
        Hash::Sha256 => 0,
        Hash::Sha384 => 1,
        Hash::Sha512 => 2,
    };
    if key.is_rsa() {
        let id = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11 + number];
        seq(&[&id, &[5, 0]])
    } else {
        seq(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2 + number]])
    }
}

/// An authority with a key.
#[derive(Clone)]
pub(crate) struct Authority {
    pub(crate) name: String,
    pub(crate) key: Pair,
    pub(crate) der: Vec<u8>,
}

impl Authority {
    /// A self-signed authority.
    pub(crate) fn root(name: &str) -> Self {
        let draft = Draft::new(name, vec![authority(true, None), usage(0x04)]);
        Self::with_key(&draft, Pair::p256())
    }

    /// A self-signed authority with this key.
    pub(crate) fn with_key(draft: &Draft, key: Pair) -> Self {
        let mut root = Self {
            name: draft.subject.clone(),
            key,
            der: Vec::new(),
        };
        root.der = root.certify(draft, &root.key);
        root
    }

    /// An authority that this one has certified.
    pub(crate) fn below(&self, draft: &Draft) -> Self {
        self.below_with_key(draft, Pair::p256())
    }

    /// An authority with this key that this one has certified.
    pub(crate) fn below_with_key(&self, draft: &Draft, key: Pair) -> Self {
        let der = self.certify(draft, &key);
        Self {
            name: draft.subject.clone(),
            key,
            der,
        }
    }

    /// A certificate for `key`.
    pub(crate) fn certify(&self, draft: &Draft, key: &Pair) -> Vec<u8> {
        self.certify_spki(draft, &key.spki())
    }

    /// A certificate for the key with this `SubjectPublicKeyInfo`.
    pub(crate) fn certify_spki(&self, draft: &Draft, spki: &[u8]) -> Vec<u8> {
        let extensions: Vec<&[u8]> = draft.extensions.iter().map(Vec::as_slice).collect();
        let algorithm = draft.algorithm.clone();
        let algorithm = algorithm.unwrap_or_else(|| signed_with(&self.key, draft.hash));
        let tbs = seq(&[
            &[0xa0, 3, 2, 1, 2],
            &tlv(2, &draft.serial),
            &algorithm,
            &name(&self.name),
            &seq(&[&draft.not_before, &draft.not_after]),
            &name(&draft.subject),
            spki,
            &tlv(0xa3, &seq(&extensions)),
        ]);
        let signature = self.key.x509_signature(draft.hash, &tbs);
        seq(&[&tbs, &algorithm, &tlv(3, &signature)])
    }
}
