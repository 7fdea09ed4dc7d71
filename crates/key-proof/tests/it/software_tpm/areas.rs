//! Public areas, policies and Names of a TPM's objects. They are written here a second time, so that the tests do not compare the crate with itself.

use sha2::{Digest, Sha256};

use crate::pair::{Hash, Pair, sized};

/// `TPM2_PolicySecret` and so on.
pub(crate) mod policy {
    use super::*;

    fn extend(digest: [u8; 32], code: u32, rest: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(digest)
            .chain_update(code.to_be_bytes())
            .chain_update(rest)
            .finalize()
            .into()
    }
    pub(crate) fn command(digest: [u8; 32], code: u32) -> [u8; 32] {
        extend(digest, 0x16c, &code.to_be_bytes())
    }
    pub(crate) fn secret(digest: [u8; 32], name: &[u8]) -> [u8; 32] {
        Sha256::digest(extend(digest, 0x151, name)).into()
    }
    pub(crate) fn auth_value(digest: [u8; 32]) -> [u8; 32] {
        extend(digest, 0x16b, &[])
    }
    pub(crate) fn or(branches: &[[u8; 32]]) -> [u8; 32] {
        extend([0; 32], 0x171, &branches.concat())
    }
    pub(crate) fn counter(so: &[u8], guard: &[u8]) -> [u8; 32] {
        let change = command([0; 32], 0x13b);
        or(&[
            secret(command([0; 32], 0x137), so),
            secret(change, so),
            auth_value(secret(change, guard)),
            command([0; 32], 0x14e),
        ])
    }
    pub(crate) fn lockout(so: &[u8]) -> [u8; 32] {
        let change = command([0; 32], 0x150);
        or(&[secret(change, so), auth_value(change)])
    }
    /// The policy of the endorsement keys of the low range.
    pub(crate) fn endorsement() -> [u8; 32] {
        secret([0; 32], &[0x40, 0, 0, 0x0b])
    }
}

pub(crate) fn name(public: &[u8]) -> Vec<u8> {
    [&[0, 0x0b][..], &Sha256::digest(public)].concat()
}

/// The public area of a key.
#[derive(Clone)]
pub(crate) struct Area {
    pub(crate) hash: Hash,
    pub(crate) attributes: u32,
    pub(crate) policy: Vec<u8>,
    pub(crate) symmetric: Vec<u8>,
    pub(crate) scheme: Vec<u8>,
    pub(crate) key: Pair,
}

const AES_128: [u8; 6] = [0, 6, 0, 128, 0, 0x43];
pub(super) const AES_256: [u8; 6] = [0, 6, 1, 0, 0, 0x43];

impl Area {
    pub(super) fn new(attributes: u32) -> Self {
        Self {
            hash: Hash::Sha256,
            attributes,
            policy: Vec::new(),
            symmetric: vec![0, 0x10],
            scheme: vec![0, 0x10],
            key: Pair::p256(),
        }
    }

    pub(super) fn storage(attributes: u32) -> Self {
        Self {
            symmetric: AES_128.to_vec(),
            ..Self::new(attributes)
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let kind: [u8; 2] = if self.key.is_rsa() { [0, 1] } else { [0, 0x23] };
        [
            &kind[..],
            &self.hash.id().to_be_bytes(),
            &self.attributes.to_be_bytes(),
            &sized(&self.policy),
            &self.key.parameters(&self.symmetric, &self.scheme),
        ]
        .concat()
    }

    pub(crate) fn name(&self) -> Vec<u8> {
        Hash::name(&self.bytes())
    }

    /// The Qualified Name below a parent with this one.
    pub(super) fn qualified(&self, parent: &[u8]) -> Vec<u8> {
        self.hash.name_of(&[parent, &self.name()].concat())
    }
}

/// The endorsement keys of the TCG's templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ek {
    Rsa2048,
    P256,
    Rsa2048High,
    P256High,
    P384,
    Rsa3072,
}

impl Ek {
    pub(crate) const ALL: [Self; 6] = [
        Self::Rsa2048,
        Self::P256,
        Self::Rsa2048High,
        Self::P256High,
        Self::P384,
        Self::Rsa3072,
    ];

    pub(crate) fn area(self) -> Area {
        let key = match self {
            Self::Rsa2048 | Self::Rsa2048High => Pair::rsa2048(0),
            Self::P256 | Self::P256High => Pair::p256(),
            Self::P384 => Pair::p384(),
            Self::Rsa3072 => Pair::rsa3072(0),
        };
        let area = Area {
            key,
            ..Area::storage(0x0003_00f2)
        };
        match self {
            Self::Rsa2048 | Self::P256 => Area {
                attributes: 0x0003_00b2,
                policy: policy::endorsement().to_vec(),
                ..area
            },
            Self::Rsa2048High | Self::P256High => Area {
                policy: POLICY_B_SHA256.to_vec(),
                ..area
            },
            Self::P384 | Self::Rsa3072 => Area {
                hash: Hash::Sha384,
                symmetric: AES_256.to_vec(),
                policy: POLICY_B_SHA384.to_vec(),
                ..area
            },
        }
    }
}

/// `PolicyB`, as the profile prints it.
const POLICY_B_SHA256: [u8; 32] = [
    0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06, 0xf7, 0xa3, 0x34, 0x24, 0x14, 0xef, 0xcf, 0xb3,
    0xa3, 0x85, 0xd4, 0x4c, 0xd1, 0xfd, 0x45, 0x90, 0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0,
];
const POLICY_B_SHA384: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,
    0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,
    0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];

pub(crate) const SO: [u8; 34] = named(1);
pub(crate) const GUARD: [u8; 34] = named(2);

const fn named(fill: u8) -> [u8; 34] {
    let mut name = [fill; 34];
    name[0] = 0;
    name[1] = 0x0b;
    name
}

/// A `TPMS_NV_PUBLIC`.
pub(crate) fn nv_public(index: u32, attributes: u32, policy: &[u8], size: u16) -> Vec<u8> {
    [
        &index.to_be_bytes()[..],
        &[0, 0x0b],
        &attributes.to_be_bytes(),
        &sized(policy),
        &size.to_be_bytes(),
    ]
    .concat()
}

pub(crate) const COUNTER: u32 = 0x220c_0088;
