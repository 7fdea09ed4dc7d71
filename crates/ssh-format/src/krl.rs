//! Key revocation lists, as `sshd` reads them (`RevokedKeys`) and `ssh-keygen -Q` does.

use std::ops::RangeInclusive;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{AnyKey, Certificate, Error, Fingerprint, Result};

mod read;
mod write;

/// The longest list that is read, in bytes.
pub const MAX_KRL_LEN: usize = 16 * 1024 * 1024;

/// `"SSHKRL\n\0"`.
const MAGIC: u64 = 0x5353_484b_524c_0a00;
const FORMAT_VERSION: u32 = 1;

const SECTION_CERTIFICATES: u8 = 1;
const SECTION_EXPLICIT_KEY: u8 = 2;
const SECTION_FINGERPRINT_SHA1: u8 = 3;
const SECTION_SIGNATURE: u8 = 4;
const SECTION_FINGERPRINT_SHA256: u8 = 5;
const SECTION_EXTENSION: u8 = 255;

const CERT_SERIAL_LIST: u8 = 0x20;
const CERT_SERIAL_RANGE: u8 = 0x21;
const CERT_SERIAL_BITMAP: u8 = 0x22;
const CERT_KEY_ID: u8 = 0x23;
const CERT_EXTENSION: u8 = 0x39;

/// A key revocation list: keys and certificates that must no longer be accepted.
///
/// # Source
///
/// PROTOCOL.krl of OpenSSH.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Krl {
    number: u64,
    generated: u64,
    comment: String,
    certificates: Vec<RevokedCertificates>,
    keys: Vec<Vec<u8>>,
    sha1: Vec<[u8; 20]>,
    sha256: Vec<[u8; 32]>,
}

/// The revoked certificates of one authority.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RevokedCertificates {
    /// `None` means any authority.
    authority: Option<AnyKey>,
    serials: Vec<Serials>,
    key_ids: Vec<String>,
}

/// Some serial numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Serials {
    Range(RangeInclusive<u64>),
    /// Bit n, the lowest of the last byte being 0, stands for `offset` + n.
    Bitmap {
        offset: u64,
        bits: Vec<u8>,
    },
}

impl Krl {
    /// An empty list. `number` must grow with each list of an authority. `generated` is in seconds
    /// since 1970.
    #[must_use]
    pub fn new(number: u64, generated: u64, comment: &str) -> Self {
        Self {
            number,
            generated,
            comment: comment.to_owned(),
            ..Self::default()
        }
    }

    /// Revokes the certificate of `authority` with this serial number.
    ///
    /// # Errors
    ///
    /// [`Error::SerialZero`] for 0, which means "not numbered" and cannot be revoked.
    pub fn revoke_serial(&mut self, authority: &AnyKey, serial: u64) -> Result<()> {
        if serial == 0 {
            return Err(Error::SerialZero);
        }
        let of = self.of(authority);
        of.serials.push(Serials::Range(serial..=serial));
        Ok(())
    }

    /// Revokes all certificates of `authority` with this key id.
    pub fn revoke_key_id(&mut self, authority: &AnyKey, key_id: &str) {
        self.of(authority).key_ids.push(key_id.to_owned());
    }

    /// Revokes a key, with any certificate.
    pub fn revoke_key(&mut self, key: &AnyKey) {
        self.keys.push(key.blob().to_vec());
    }

    /// Revokes the key with this fingerprint, with any certificate.
    pub fn revoke_fingerprint(&mut self, fingerprint: Fingerprint) {
        self.sha256.push(*fingerprint.as_bytes());
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was made, in seconds since 1970.
    #[must_use]
    pub fn generated(&self) -> u64 {
        self.generated
    }

    /// Its comment.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether it revokes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
            && self.keys.is_empty()
            && self.sha1.is_empty()
            && self.sha256.is_empty()
    }

    /// How many serial numbers it revokes; one that it has twice counts twice.
    #[must_use]
    pub fn serials(&self) -> u64 {
        let of_one = |serials: &Serials| match serials {
            Serials::Range(range) => (range.end() - range.start()).saturating_add(1),
            Serials::Bitmap { bits, .. } => bits.iter().map(|it| u64::from(it.count_ones())).sum(),
        };
        let all = self.certificates.iter().flat_map(|it| &it.serials);
        all.map(of_one).fold(0, u64::saturating_add)
    }

    /// How many key ids it revokes.
    #[must_use]
    pub fn key_ids(&self) -> usize {
        self.certificates.iter().map(|it| it.key_ids.len()).sum()
    }

    /// How many keys it revokes, by themselves or by a hash.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len() + self.sha1.len() + self.sha256.len()
    }

    /// Whether it revokes a key.
    #[must_use]
    pub fn revokes_key(&self, key: &AnyKey) -> bool {
        self.keys.iter().any(|blob| blob == key.blob())
            || self.sha256.contains(&Sha256::digest(key.blob()).into())
            || self.sha1.contains(&Sha1::digest(key.blob()).into())
    }

    /// Whether it revokes a certificate: itself, its key, or the key of its authority.
    #[must_use]
    pub fn revokes_certificate(&self, certificate: &Certificate) -> bool {
        let named = self.certificates.iter().any(|of| {
            let authority = of.authority.as_ref();
            authority.is_none_or(|key| key == certificate.authority())
                && (of.key_ids.iter().any(|id| id == certificate.key_id())
                    || of.serials.iter().any(|it| it.have(certificate.serial())))
        });
        named || self.revokes_key(certificate.key()) || self.revokes_key(certificate.authority())
    }

    /// Whether `other` revokes everything that this list revokes, so that replacing this list by
    /// `other` makes no revoked key valid again.
    ///
    /// A fingerprint in this list is looked for among the fingerprints of the same kind and the
    /// keys of `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let of_sha1 = |digest: &[u8; 20]| {
            let is_of = |blob: &Vec<u8>| Sha1::digest(blob)[..] == digest[..];
            other.sha1.contains(digest) || other.keys.iter().any(is_of)
        };
        let of_sha256 = |digest: &[u8; 32]| {
            let is_of = |blob: &Vec<u8>| Sha256::digest(blob)[..] == digest[..];
            other.sha256.contains(digest) || other.keys.iter().any(is_of)
        };
        let of_key = |blob: &Vec<u8>| {
            other.keys.contains(blob)
                || of_sha1(&Sha1::digest(blob).into())
                || of_sha256(&Sha256::digest(blob).into())
        };
        self.keys.iter().all(of_key)
            && self.sha1.iter().all(of_sha1)
            && self.sha256.iter().all(of_sha256)
            && self.certificates.iter().all(|of| of.are_within(other))
    }

    fn of(&mut self, authority: &AnyKey) -> &mut RevokedCertificates {
        let known = |of: &RevokedCertificates| of.authority.as_ref() == Some(authority);
        let at = self.certificates.iter().position(known);
        let at = at.unwrap_or_else(|| {
            self.certificates.push(RevokedCertificates {
                authority: Some(authority.clone()),
                serials: Vec::new(),
                key_ids: Vec::new(),
            });
            self.certificates.len() - 1
        });
        &mut self.certificates[at]
    }
}

impl RevokedCertificates {
    /// Whether `list` revokes all of them.
    fn are_within(&self, list: &Krl) -> bool {
        let same: Vec<_> = list
            .certificates
            .iter()
            .filter(|of| of.authority.is_none() || of.authority == self.authority)
            .collect();
        let id_is_there = |id| same.iter().any(|of| of.key_ids.contains(id));
        let serials: Vec<_> = same.iter().flat_map(|of| &of.serials).collect();
        self.key_ids.iter().all(id_is_there)
            && self.serials.iter().all(|it| it.are_within(&serials))
    }
}

impl Serials {
    /// Whether all of these are among `others`.
    fn are_within(&self, others: &[&Self]) -> bool {
        match self {
            Self::Range(range) => {
                let mut next = Some(*range.start().max(&1));
                // Each step ends a range of `others`, or goes through one bitmap of theirs.
                while let Some(serial) = next.filter(|serial| range.contains(serial)) {
                    let Some(end) = others.iter().find_map(|it| it.end_of_run(serial)) else {
                        return false;
                    };
                    next = end.checked_add(1);
                }
                true
            }
            Self::Bitmap { offset, bits } => bits.iter().rev().enumerate().all(|(byte, set)| {
                (0..8).filter(|bit| set >> bit & 1 == 1).all(|bit| {
                    let serial = offset.checked_add(byte as u64 * 8 + bit);
                    serial.is_none_or(|it| it == 0 || others.iter().any(|other| other.have(it)))
                })
            }),
        }
    }

    /// The last number of the unbroken run of revoked serial numbers that begins with `serial`.
    fn end_of_run(&self, serial: u64) -> Option<u64> {
        match self {
            _ if !self.have(serial) => None,
            Self::Range(range) => Some(*range.end()),
            Self::Bitmap { .. } => {
                let mut end = serial;
                while let Some(next) = end.checked_add(1).filter(|&next| self.have(next)) {
                    end = next;
                }
                Some(end)
            }
        }
    }

    /// Whether `serial` is one of them; 0 never is.
    fn have(&self, serial: u64) -> bool {
        match self {
            _ if serial == 0 => false,
            Self::Range(range) => range.contains(&serial),
            Self::Bitmap { offset, bits } => {
                let bit = serial.checked_sub(*offset);
                let byte = bit.and_then(|bit| usize::try_from(bit / 8).ok());
                let byte = byte.and_then(|byte| bits.iter().nth_back(byte));
                byte.is_some_and(|byte| byte >> ((serial - offset) % 8) & 1 == 1)
            }
        }
    }
}

#[cfg(test)]
mod tests;
