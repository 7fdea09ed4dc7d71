//! A secret for one TPM and one key in it: `TPM2_MakeCredential` without a TPM.

use aes::cipher::{AsyncStreamCipher, KeyIvInit};
use cfb_mode::Encryptor;
use rand_core::CryptoRngCore;
use rsa::{BigUint, Oaep, RsaPublicKey};
use sha2::{Sha256, Sha384, Sha512};
use ssh_format::Curve;
use tpm_wire::{Put, Reader};
use zeroize::Zeroizing;

use crate::{
    Error, HashAlg, Name, PublicArea, Result, curves,
    public_area::{PublicKey, Symmetric},
};

/// An encrypted secret. Only the TPM with a certain endorsement key can decrypt it, and only if it also holds the object with a certain Name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credential {
    /// The contents of the `TPM2B_ID_OBJECT`.
    pub id_object: Vec<u8>,
    /// The contents of the `TPM2B_ENCRYPTED_SECRET`.
    pub secret: Vec<u8>,
}

/// Encrypts `secret` for the TPM that holds `ek` and the object `name`. The secret is at most as long as a digest of the
/// endorsement key's name algorithm.
///
/// # Errors
///
/// [`Error::Malformed`] if `ek` is no RSA, P-256 or P-384 storage key with AES, or the secret is too long.
///
/// # Source
///
/// Part 1, section 24 "Credential Protection", annexes B.10.4 (RSA, OAEP with the label `IDENTITY`) and
/// C.6.4 (ECC).
pub fn make_credential(
    ek: &PublicArea,
    name: &Name,
    secret: &[u8],
    rng: &mut impl CryptoRngCore,
) -> Result<Credential> {
    let unfit = |why| Error::malformed("endorsement key", why);
    let hash = ek.name_alg;
    if secret.len() > hash.size() {
        return Err(unfit("the secret is too long for it"));
    }
    let Symmetric::Aes { bits } = ek.symmetric else {
        return Err(unfit("it does not encrypt"));
    };
    let (seed, encrypted) = match &ek.key {
        PublicKey::Rsa { n, e } => rsa_seed(n, *e, hash, rng),
        PublicKey::Ecc { curve, x, y } => ecc_seed(*curve, x, y, hash, rng),
    }
    .ok_or_else(|| unfit("its public key is not one"))?;
    let key = kdfa(hash, &seed, "STORAGE", name.bytes(), usize::from(bits) / 8);
    let mac_key = kdfa(hash, &seed, "INTEGRITY", &[], hash.size());
    let mut identity = Zeroizing::new(Vec::new());
    identity.put_sized(secret);
    let iv = [0; 16];
    match bits {
        128 => Encryptor::<aes::Aes128>::new_from_slices(&key, &iv)
            .map(|cipher| cipher.encrypt(&mut identity)),
        256 => Encryptor::<aes::Aes256>::new_from_slices(&key, &iv)
            .map(|cipher| cipher.encrypt(&mut identity)),
        _ => return Err(unfit("its AES key has neither 128 nor 256 bits")),
    }
    .map_err(|_| unfit("its AES key has a strange length"))?;
    let mac = hash.hmac(&mac_key, &[&identity, name.bytes()]);
    let mut id_object = Vec::new();
    id_object.put_sized(&mac);
    id_object.extend_from_slice(&identity);
    Ok(Credential {
        id_object,
        secret: encrypted,
    })
}

/// Checks that `id_object` and `secret` have lengths that [`make_credential`] can produce for `ek`.
///
/// # Source
///
/// Part 2, section 12.4.2 "TPMS_ID_OBJECT"; annexes B.10.4 and C.6.4 of part 1 as for [`make_credential`].
pub(crate) fn check_form(ek: &PublicArea, id_object: &[u8], secret: &[u8]) -> Result<()> {
    const ID_OBJECT: &str = "id_object of the challenge";
    const SECRET: &str = "secret of the challenge";
    let size = ek.name_alg.size();
    let mut reader = Reader::new(id_object, ID_OBJECT);
    let mac = reader.sized()?;
    // An encrypted TPM2B_DIGEST: 2 bytes of length, and a secret of 1 byte or more.
    let identity = reader.remainder();
    if mac.len() != size || !(3..=2 + size).contains(&identity.len()) {
        return Err(Error::malformed(
            ID_OBJECT,
            "its length is not that of one for this endorsement key",
        ));
    }
    let fits = match &ek.key {
        PublicKey::Rsa { n, .. } => secret.len() == n.len(),
        PublicKey::Ecc { curve, .. } => {
            let mut reader = Reader::new(secret, SECRET);
            let (x, y) = (reader.sized()?, reader.sized()?);
            reader.finish()?;
            let coordinate = 1..=curve.field_size();
            coordinate.contains(&x.len()) && coordinate.contains(&y.len())
        }
    };
    if fits {
        Ok(())
    } else {
        Err(Error::malformed(
            SECRET,
            "its length is not that of one for this endorsement key",
        ))
    }
}

type Seed = (Zeroizing<Vec<u8>>, Vec<u8>);

fn rsa_seed(n: &[u8], e: u32, hash: HashAlg, rng: &mut impl CryptoRngCore) -> Option<Seed> {
    let mut seed = Zeroizing::new(vec![0; hash.size()]);
    rng.fill_bytes(&mut seed);
    let key = RsaPublicKey::new(BigUint::from_bytes_be(n), e.into()).ok()?;
    // The zero byte at the end belongs to the label.
    let label = "IDENTITY\0";
    let padding = match hash {
        HashAlg::Sha256 => Oaep::new_with_label::<Sha256, _>(label),
        HashAlg::Sha384 => Oaep::new_with_label::<Sha384, _>(label),
        HashAlg::Sha512 => Oaep::new_with_label::<Sha512, _>(label),
    };
    let encrypted = key.encrypt(rng, padding, &seed).ok()?;
    // The crate may leave out leading zeros.
    let missing = n.len().checked_sub(encrypted.len())?;
    Some((seed, [&vec![0; missing][..], &encrypted].concat()))
}

fn ecc_seed(
    curve: Curve,
    x: &[u8],
    y: &[u8],
    hash: HashAlg,
    rng: &mut impl CryptoRngCore,
) -> Option<Seed> {
    let (z, our_x, our_y) = match curve {
        Curve::NistP256 => curves::p256_agree(x, y, rng)?,
        Curve::NistP384 => curves::p384_agree(x, y, rng)?,
        _ => return None,
    };
    // KDFe (part 1, section 11.4.10.3). One round is enough, because the seed is as long as a digest.
    let parts = [&[0, 0, 0, 1][..], &z, b"IDENTITY\0", &our_x, x];
    let seed = Zeroizing::new(hash.digest(&parts));
    let mut encrypted = Vec::new();
    encrypted.put_sized(&our_x);
    encrypted.put_sized(&our_y);
    Some((seed, encrypted))
}

/// `KDFa`: `bytes` bytes from `key`, a label and a context.
///
/// # Source
///
/// Part 1, section 11.4.10.2 "KDFa()".
fn kdfa(
    hash: HashAlg,
    key: &[u8],
    label: &str,
    context: &[u8],
    bytes: usize,
) -> Zeroizing<Vec<u8>> {
    let bits = u32::try_from(bytes * 8).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = Zeroizing::new(Vec::new());
    for round in 1_u32.. {
        if out.len() >= bytes {
            break;
        }
        let parts = [
            &round.to_be_bytes()[..],
            label.as_bytes(),
            &[0],
            context,
            &bits,
        ];
        out.extend_from_slice(&hash.hmac(key, &parts));
    }
    out.truncate(bytes);
    out
}
