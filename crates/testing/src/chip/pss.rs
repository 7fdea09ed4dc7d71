//! PSS signatures of older chips, with the longest salt that fits.

use std::io;

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{
    capability::Send,
    constants::{CC_READ_PUBLIC, CC_RSA_DECRYPT, NULL, RSAPSS, SHA1, SHA256, SHA384, SHA512},
    wire::{Command, Reader, Short, ask, authorized, frame, response_code, sized},
};

/// The response to a `TPM2_Sign` with RSASSA-PSS; `None` for other schemes, and for keys that may
/// not decrypt, because the block is signed by a raw decryption.
///
/// # Source
///
/// Part 1, annex B.7, before revision 1.16; RFC 8017, section 9.1.1.
pub(super) fn with_the_longest_salt(
    command: &Command<'_>,
    send: &mut Send<'_>,
) -> io::Result<Option<Vec<u8>>> {
    let wanted = || -> Result<(&[u8], u16, u16), Short> {
        let mut reader = Reader::new(command.params);
        Ok((reader.sized()?, reader.u16()?, reader.u16()?))
    };
    let Ok((digest, RSAPSS, hash)) = wanted() else {
        return Ok(None);
    };
    let key = command.handles[0];
    let public = send(&ask(CC_READ_PUBLIC, &key.to_be_bytes()))?;
    let modulus = || -> Result<usize, Short> {
        let mut reader = Reader::new(&public);
        reader.take(10)?;
        let mut area = Reader::new(reader.sized()?);
        area.take(8)?;
        area.sized()?;
        // Skips the symmetric algorithm and the scheme, which are null, the size and the exponent.
        area.take(10)?;
        Ok(area.sized()?.len())
    };
    let Ok(size) = modulus() else { return Ok(None) };
    let block = block(digest, hash, size);
    let null = NULL.to_be_bytes();
    let params = [&sized(&block)[..], &null, &[0, 0]].concat();
    let response = send(&authorized(CC_RSA_DECRYPT, &[key], &[b""], &params))?;
    let signature = || -> Result<Vec<u8>, Short> {
        let mut reader = Reader::new(&response);
        reader.take(14)?;
        let number = reader.sized()?;
        Ok([&vec![0; size - number.len()][..], number].concat())
    };
    let Ok(signature) = signature().map(|bytes| sized(&bytes)) else {
        return Ok(None);
    };
    if response_code(&response) != 0 {
        return Ok(None);
    }
    let signed = [&RSAPSS.to_be_bytes()[..], &hash.to_be_bytes(), &signature].concat();
    let size = u32::try_from(signed.len()).expect("a signature is short");
    // One empty authorization.
    let body = [&size.to_be_bytes()[..], &signed, &[0, 0, 1, 0, 0]].concat();
    Ok(Some(frame(0x8002, 0, &body)))
}

fn block(digest: &[u8], hash: u16, size: usize) -> Vec<u8> {
    let length = digest.len();
    // The contents of the salt do not matter, only its length.
    let salt = vec![0x5a; size - 2 - length];
    let h = hashed(hash, &[&[0; 8], digest, &salt]);
    let mut db = [&[1], &salt[..]].concat();
    for (counter, chunk) in (0_u32..).zip(db.chunks_mut(length)) {
        let mask = hashed(hash, &[&h, &counter.to_be_bytes()]);
        chunk.iter_mut().zip(mask).for_each(|(byte, m)| *byte ^= m);
    }
    db[0] &= 0x7f;
    [&db[..], &h, &[0xbc]].concat()
}

fn hashed(hash: u16, parts: &[&[u8]]) -> Vec<u8> {
    fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
        let mut hasher = D::new();
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize().to_vec()
    }
    match hash {
        SHA1 => of::<Sha1>(parts),
        SHA256 => of::<Sha256>(parts),
        SHA384 => of::<Sha384>(parts),
        SHA512 => of::<Sha512>(parts),
        other => panic!("no hash {other:#x}"),
    }
}
