//! RSA paddings that are added or removed in software.

use rand_core::{OsRng, RngCore};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::{Error, Hash, Pss, Result};

/// The block of PKCS#1 v1.5 for signing `data`, usually a `DigestInfo`: `00 01 ff… 00 data`, `size`
/// bytes.
///
/// # Errors
///
/// [`Error::DigestLength`] if `data` is longer than `size` - 11 bytes.
///
/// # Source
///
/// RFC 8017, section 9.2.
pub fn pkcs1_sign(data: &[u8], size: usize) -> Result<Vec<u8>> {
    let fill = size.checked_sub(data.len() + 3).filter(|fill| *fill >= 8);
    let fill = fill.ok_or(Error::DigestLength(data.len()))?;
    Ok([&[0, 1][..], &vec![0xff; fill], &[0], data].concat())
}

/// The signed data in a block of PKCS#1 v1.5; `None` if the block has another form.
///
/// # Source
///
/// RFC 8017, section 9.2.
#[must_use]
pub fn pkcs1_signed(block: &[u8]) -> Option<&[u8]> {
    let rest = block.strip_prefix(&[0, 1])?;
    let end = rest.iter().position(|byte| *byte != 0xff)?;
    (end >= 8 && rest[end] == 0).then(|| &rest[end + 1..])
}

/// The message in a decrypted block of PKCS#1 v1.5, `00 02 random 00 message`; `None` if the block
/// has another form.
///
/// # Source
///
/// RFC 8017, section 7.2.2.
#[must_use]
pub fn pkcs1_decrypt(block: &[u8]) -> Option<Vec<u8>> {
    let rest = block.strip_prefix(&[0, 2])?;
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .filter(|end| *end >= 8)?;
    Some(rest[end + 1..].to_vec())
}

/// The block of PSS for a digest, with a random salt. `size` is the length of the modulus and of
/// the block, in bytes; the top bit of the modulus is set.
///
/// # Errors
///
/// [`Error::DigestLength`] for a digest that has not the length of this hash, or does not fit
/// `size` together with the salt.
///
/// # Source
///
/// RFC 8017, section 9.1.1.
pub fn pss_sign(digest: &[u8], pss: Pss, size: usize) -> Result<Vec<u8>> {
    let room = size.checked_sub(pss.hash.size() + 2);
    let fill = room.and_then(|room| room.checked_sub(pss.salt));
    let fill = fill.filter(|_| digest.len() == pss.hash.size());
    let fill = fill.ok_or(Error::DigestLength(digest.len()))?;
    let mut salt = vec![0; pss.salt];
    OsRng.fill_bytes(&mut salt);
    let h = hashed(pss.hash, &[&[0; 8], digest, &salt]);
    let mut db = [&vec![0; fill][..], &[1], &salt].concat();
    mask(&mut db, &h, pss.mgf);
    // The top bit of the modulus is set. It must be clear in the block, which has to be smaller.
    db[0] &= 0x7f;
    Ok([&db[..], &h, &[0xbc]].concat())
}

/// Whether a block, as long as the modulus `n`, is one of PSS for this digest.
///
/// # Source
///
/// RFC 8017, section 9.1.2.
#[must_use]
pub fn pss_verify(block: &[u8], n: &[u8], digest: &[u8], pss: Pss) -> bool {
    // The encoded message has one bit less than the modulus: a byte less for 8k + 1 bits.
    let (block, unused) = match (n.first().map(|byte| byte.leading_zeros()), block) {
        (None | Some(8), _) => return false,
        (Some(7), [0, rest @ ..]) => (rest, 0),
        (Some(7), _) => return false,
        (Some(zeros), _) => (block, zeros + 1),
    };
    let Some((&0xbc, block)) = block.split_last() else {
        return false;
    };
    let at = block.len().checked_sub(pss.hash.size());
    let Some((db, h)) = at.and_then(|at| block.split_at_checked(at)) else {
        return false;
    };
    let mut db = db.to_vec();
    let keep = 0xff_u8 >> unused;
    let Some(fill) = db.len().checked_sub(pss.salt.saturating_add(1)) else {
        return false;
    };
    if db[0] & !keep != 0 || digest.len() != pss.hash.size() {
        return false;
    }
    mask(&mut db, h, pss.mgf);
    db[0] &= keep;
    let (zeros, salt) = db.split_at(fill);
    zeros.iter().all(|byte| *byte == 0)
        && salt[0] == 1
        && hashed(pss.hash, &[&[0; 8], digest, &salt[1..]]) == h
}

/// The block of PKCS#1 v1.5 that encrypts `message`, `00 02 random 00 message`, `size` bytes;
/// `None` if the message is longer than `size` - 11 bytes.
///
/// # Source
///
/// RFC 8017, section 7.2.1.
#[must_use]
pub fn pkcs1_encrypt(message: &[u8], size: usize) -> Option<Vec<u8>> {
    let fill = size.checked_sub(message.len() + 3)?;
    if fill < 8 {
        return None;
    }
    let mut random = vec![0; fill];
    for byte in &mut random {
        while *byte == 0 {
            OsRng.fill_bytes(std::slice::from_mut(byte));
        }
    }
    Some([&[0, 2][..], &random, &[0], message].concat())
}

/// The block of OAEP that encrypts `message` with this label, masked with `mgf`, `size` bytes;
/// `None` if the message is too long.
///
/// # Source
///
/// RFC 8017, section 7.1.1, step 2.
#[must_use]
pub fn oaep_encrypt(
    message: &[u8],
    hash: Hash,
    mgf: Hash,
    label: &[u8],
    size: usize,
) -> Option<Vec<u8>> {
    let fill = size.checked_sub(message.len() + 2 * hash.size() + 2)?;
    let mut seed = vec![0; hash.size()];
    OsRng.fill_bytes(&mut seed);
    let lhash = hashed(hash, &[label]);
    let mut db = [&lhash[..], &vec![0; fill], &[1], message].concat();
    mask(&mut db, &seed, mgf);
    mask(&mut seed, &db, mgf);
    Some([&[0][..], &seed, &db].concat())
}

/// The message in an OAEP block that was made with this label, and masked with `mgf`.
///
/// # Source
///
/// RFC 8017, section 7.1.2, step 3.
#[must_use]
pub fn oaep_decrypt(block: &[u8], hash: Hash, mgf: Hash, label: &[u8]) -> Option<Vec<u8>> {
    let size = hash.size();
    let (first, rest) = block.split_first()?;
    let (seed, db) = rest.split_at_checked(size)?;
    let mut seed = Zeroizing::new(seed.to_vec());
    let mut db = Zeroizing::new(db.to_vec());
    mask(&mut seed, &db, mgf);
    mask(&mut db, &seed, mgf);
    let (found, padded) = db.split_at_checked(size)?;
    let expected = hashed(hash, &[label]);
    let end = padded.iter().position(|byte| *byte != 0)?;
    // One answer for all errors: which one it was would help only an attacker.
    let good = *first == 0 && found == &expected[..] && padded[end] == 1;
    good.then(|| padded[end + 1..].to_vec())
}

/// Applies MGF1 (RFC 8017, appendix B.2.1) of `seed` to `data`.
fn mask(data: &mut [u8], seed: &[u8], hash: Hash) {
    for (counter, chunk) in (0_u32..).zip(data.chunks_mut(hash.size())) {
        let block = hashed(hash, &[seed, &counter.to_be_bytes()]);
        chunk
            .iter_mut()
            .zip(block.iter())
            .for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// The hash of the concatenation of all parts.
fn hashed(hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
    fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
        let mut hasher = D::new();
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize().to_vec()
    }
    match hash {
        Hash::Sha1 => of::<Sha1>(parts),
        Hash::Sha256 => of::<Sha256>(parts),
        Hash::Sha384 => of::<Sha384>(parts),
        Hash::Sha512 => of::<Sha512>(parts),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rsa::{Oaep, RsaPrivateKey, traits::PublicKeyParts};

    use super::*;
    use crate::PublicKey;

    const HASHES: [Hash; 4] = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];

    #[test]
    fn pkcs1_blocks_have_at_least_eight_bytes_of_padding() {
        let block = pkcs1_sign(b"data", 15).unwrap();
        assert_eq!(block, [&[0, 1][..], &[0xff; 8], &[0], b"data"].concat());
        assert_eq!(pkcs1_signed(&block), Some(&b"data"[..]));
        assert!(pkcs1_sign(b"data", 14).is_err());
        assert!(pkcs1_signed(&[&[0, 1][..], &[0xff; 7], &[0], b"data"].concat()).is_none());
        assert!(pkcs1_signed(&[&[0, 1][..], &[0xff; 8], &[1], b"data"].concat()).is_none());
        let encrypted = [&[0, 2][..], &[7; 8], &[0], b"data"].concat();
        assert_eq!(pkcs1_decrypt(&encrypted).unwrap(), b"data");
        assert!(pkcs1_decrypt(&[&[0, 2][..], &[7; 7], &[0], b"data"].concat()).is_none());
        assert!(pkcs1_decrypt(&[]).is_none());
    }

    /// A key of another implementation, which makes and checks the same paddings. It is small so
    /// that it is made quickly.
    fn key() -> RsaPrivateKey {
        RsaPrivateKey::new(&mut OsRng, 1536).unwrap()
    }

    /// The private operation without any padding.
    fn raw(key: &RsaPrivateKey, block: &[u8]) -> Vec<u8> {
        use rsa::traits::PrivateKeyParts;
        let number = rsa::BigUint::from_bytes_be(block).modpow(key.d(), key.n());
        let bytes = number.to_bytes_be();
        [&vec![0; block.len() - bytes.len()][..], &bytes].concat()
    }

    #[test]
    fn another_implementation_takes_these_blocks_for_its_own() {
        let key = key();
        let public = key.to_public_key();
        for (hash, salt, theirs) in [
            (Hash::Sha1, 20, rsa::Pss::new::<Sha1>()),
            (Hash::Sha256, 32, rsa::Pss::new::<Sha256>()),
            (Hash::Sha384, 48, rsa::Pss::new::<Sha384>()),
            (Hash::Sha512, 64, rsa::Pss::new::<Sha512>()),
            (Hash::Sha256, 0, rsa::Pss::new_with_salt::<Sha256>(0)),
            (Hash::Sha256, 158, rsa::Pss::new_with_salt::<Sha256>(158)),
        ] {
            let pss = Pss {
                salt,
                ..Pss::new(hash)
            };
            let digest = vec![7; hash.size()];
            let block = pss_sign(&digest, pss, 192).unwrap();
            public.verify(theirs, &digest, &raw(&key, &block)).unwrap();
            assert!(pss_sign(&digest[1..], pss, 192).is_err());
            let least = hash.size() + salt + 2;
            assert!(pss_sign(&digest, pss, least).is_ok());
            assert!(pss_sign(&digest, pss, least - 1).is_err());
        }
        assert_eq!(Pss::max_salt(Hash::Sha256, 192), 158);
        let encrypt = |oaep: Oaep| public.encrypt(&mut OsRng, oaep, b"message").unwrap();
        let block = raw(&key, &encrypt(Oaep::new::<Sha256>()));
        let read = |mgf, label: &[u8]| oaep_decrypt(&block, Hash::Sha256, mgf, label);
        assert_eq!(read(Hash::Sha256, b"").unwrap(), b"message");
        assert!(read(Hash::Sha1, b"").is_none());
        assert!(read(Hash::Sha256, b"label").is_none());
        let oaep = Oaep::new_with_mgf_hash_and_label::<Sha256, Sha1, _>("label");
        let block = raw(&key, &encrypt(oaep));
        let message = oaep_decrypt(&block, Hash::Sha256, Hash::Sha1, b"label");
        assert_eq!(message.unwrap(), b"message");
    }

    /// Moduli of all lengths modulo eight: the block has one bit less than they.
    #[test]
    fn signatures_of_another_implementation_are_verified_bit_by_bit() {
        for bits in 1024..1033 {
            let key = RsaPrivateKey::new(&mut OsRng, bits).unwrap();
            let n = key.n().to_bytes_be();
            let public = PublicKey::Rsa {
                n: n.clone(),
                e: 65_537,
            };
            let digest = [7; 32];
            for salt in [0, 1, 50] {
                let theirs = rsa::Pss::new_with_salt::<Sha256>(salt);
                let signature = key.sign_with_rng(&mut OsRng, theirs, &digest).unwrap();
                let block = public.rsa_raw(&signature).unwrap();
                let ours = Pss {
                    salt,
                    ..Pss::new(Hash::Sha256)
                };
                let verify = |block: &[u8], pss| pss_verify(block, &n, &digest, pss);
                assert!(verify(&block, ours), "{bits} bits, {salt} bytes of salt");
                for salt in [salt + 1, salt.wrapping_sub(1), usize::MAX] {
                    assert!(!verify(&block, Pss { salt, ..ours }));
                }
                let mgf = Hash::Sha1;
                assert!(!verify(&block, Pss { mgf, ..ours }));
                for bit in 0..8 * block.len() {
                    let mut changed = block.clone();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    assert!(!verify(&changed, ours), "bit {bit}");
                }
                assert!(!pss_verify(&block, &n, &[8; 32], ours));
                assert!(!pss_verify(&block[1..], &n, &digest, ours));
                assert!(!pss_verify(&[], &n, &digest, ours));
            }
            assert!(public.rsa_raw(&n).is_none(), "not less than the modulus");
            assert!(public.rsa_raw(&n[1..]).is_none());
        }
    }

    #[test]
    fn another_implementation_decrypts_what_is_encrypted_here() {
        let key = key();
        let public = PublicKey::Rsa {
            n: key.n().to_bytes_be(),
            e: 65_537,
        };
        let send = |block: Option<Vec<u8>>| public.rsa_raw(&block.unwrap()).unwrap();
        for len in [0, 1, 126] {
            let message = vec![5; len];
            let block = pkcs1_encrypt(&message, 192);
            let found = key.decrypt(rsa::Pkcs1v15Encrypt, &send(block));
            assert_eq!(found.unwrap(), message);
            let block = oaep_encrypt(&message, Hash::Sha256, Hash::Sha1, b"label", 192);
            let oaep = Oaep::new_with_mgf_hash_and_label::<Sha256, Sha1, _>("label");
            assert_eq!(key.decrypt(oaep, &send(block)).unwrap(), message);
        }
        assert!(oaep_encrypt(&[5; 127], Hash::Sha256, Hash::Sha256, b"", 192).is_none());
        assert!(pkcs1_encrypt(&[5; 181], 192).is_some());
        assert!(pkcs1_encrypt(&[5; 182], 192).is_none());
    }

    #[test]
    fn a_changed_oaep_block_gives_nothing() {
        for hash in [Hash::Sha1, Hash::Sha256] {
            let size = hash.size();
            let seed = vec![9; size];
            let mut db = [&hashed(hash, &[])[..], &[0; 20], &[1], b"message"].concat();
            mask(&mut db, &seed, hash);
            let mut masked_seed = seed;
            mask(&mut masked_seed, &db, hash);
            let block = [&[0][..], &masked_seed, &db].concat();
            assert_eq!(oaep_decrypt(&block, hash, hash, b"").unwrap(), b"message");
            for i in 0..block.len() - 7 {
                let mut changed = block.clone();
                changed[i] ^= 0x80;
                assert!(oaep_decrypt(&changed, hash, hash, b"").is_none(), "{i}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_block_is_read_or_refused(block: Vec<u8>, label: Vec<u8>) {
            let _ = pkcs1_decrypt(&block);
            let _ = pkcs1_signed(&block);
            for hash in HASHES {
                let _ = oaep_decrypt(&block, hash, Hash::Sha1, &label);
            }
        }

        #[test]
        fn what_is_signed_is_found_again(data: Vec<u8>, size in 0..200_usize) {
            match pkcs1_sign(&data, size) {
                Ok(block) => {
                    prop_assert_eq!(block.len(), size);
                    prop_assert_eq!(pkcs1_signed(&block), Some(&data[..]));
                }
                Err(_) => prop_assert!(data.len() + 11 > size),
            }
        }
    }
}
