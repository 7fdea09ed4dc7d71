//! RSA paddings that are put on or taken off outside of the chip.

use sha2::digest::DynDigest;
use tpm_core::Hash;
use zeroize::Zeroizing;

use crate::mechanism;

/// The block of PKCS#1 v1.5 for signing `data`: `00 01 ff… 00 data`.
///
/// # Source
///
/// RFC 8017, section 9.2. `None` where `data` is longer than `size` - 11 bytes.
pub(crate) fn pkcs1_sign(data: &[u8], size: usize) -> Option<Vec<u8>> {
    let fill = size.checked_sub(data.len() + 3).filter(|fill| *fill >= 8)?;
    Some([&[0, 1][..], &vec![0xff; fill], &[0], data].concat())
}

/// The message in a block of PKCS#1 v1.5 that was encrypted: `00 02 random 00 message`.
///
/// # Source
///
/// RFC 8017, section 7.2.2.
pub(crate) fn pkcs1_decrypt(block: &[u8]) -> Option<Vec<u8>> {
    let rest = block.strip_prefix(&[0, 2])?;
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .filter(|end| *end >= 8)?;
    Some(rest[end + 1..].to_vec())
}

/// The message in an OAEP block with an empty label.
///
/// # Source
///
/// RFC 8017, section 7.1.2, step 3.
pub(crate) fn oaep_decrypt(block: &[u8], hash: Hash) -> Option<Vec<u8>> {
    let size = hash.size();
    let (first, rest) = block.split_first()?;
    let (seed, db) = rest.split_at_checked(size)?;
    let mut seed = Zeroizing::new(seed.to_vec());
    let mut db = Zeroizing::new(db.to_vec());
    mask(&mut seed, &db, hash);
    mask(&mut db, &seed, hash);
    let (label, padded) = db.split_at_checked(size)?;
    let expected = digest(hash, &[]);
    let end = padded.iter().position(|byte| *byte != 0)?;
    // One answer for all that can be wrong: which it was helps nobody but an attacker.
    let good = *first == 0 && label == &expected[..] && padded[end] == 1;
    good.then(|| padded[end + 1..].to_vec())
}

/// Applies MGF1 (RFC 8017, appendix B.2.1) of `seed` to `data`.
fn mask(data: &mut [u8], seed: &[u8], hash: Hash) {
    for (counter, chunk) in (0_u32..).zip(data.chunks_mut(hash.size())) {
        let block = digest(hash, &[seed, &counter.to_be_bytes()].concat());
        chunk
            .iter_mut()
            .zip(block.iter())
            .for_each(|(byte, mask)| *byte ^= mask);
    }
}

fn digest(hash: Hash, data: &[u8]) -> Box<[u8]> {
    let mut hasher: Box<dyn DynDigest + Send> = mechanism::hasher(hash);
    hasher.update(data);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pkcs1_blocks_have_at_least_eight_bytes_of_padding() {
        let block = pkcs1_sign(b"data", 15).unwrap();
        assert_eq!(block, [&[0, 1][..], &[0xff; 8], &[0], b"data"].concat());
        assert!(pkcs1_sign(b"data", 14).is_none());
        let encrypted = [&[0, 2][..], &[7; 8], &[0], b"data"].concat();
        assert_eq!(pkcs1_decrypt(&encrypted).unwrap(), b"data");
        assert!(pkcs1_decrypt(&[&[0, 2][..], &[7; 7], &[0], b"data"].concat()).is_none());
        assert!(pkcs1_decrypt(&[]).is_none());
    }

    #[test]
    fn an_oaep_block_gives_its_message_back_and_a_changed_one_nothing() {
        for hash in [Hash::Sha1, Hash::Sha256] {
            let size = hash.size();
            let seed = vec![9; size];
            let mut db = [&digest(hash, &[])[..], &[0; 20], &[1], b"message"].concat();
            mask(&mut db, &seed, hash);
            let mut masked_seed = seed;
            mask(&mut masked_seed, &db, hash);
            let block = [&[0][..], &masked_seed, &db].concat();
            assert_eq!(oaep_decrypt(&block, hash).unwrap(), b"message");
            for i in 0..block.len() - 7 {
                let mut changed = block.clone();
                changed[i] ^= 0x80;
                assert!(oaep_decrypt(&changed, hash).is_none(), "{i}");
            }
        }
        assert!(oaep_decrypt(&[0; 10], Hash::Sha256).is_none());
    }
}
