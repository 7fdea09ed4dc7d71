//! The authority's keys in this process: sealed to the TPM on the disk, and in locked memory while the node runs.
//!
//! This is for authorities that need more signatures than a TPM can make. Root on the machine can copy the keys while the node runs.

mod file;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use p256::SecretKey;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::OsRng;
use ssh_format::{AnyKey, Curve, PublicKey, Signature};
use token_store::{Config, StoreDir};
use tpm_core::{Locked, OpenSrk, OwnerAuth, SealedData, Srk, Tpm};
use zeroize::Zeroizing;

use self::file::{KeyFile, SealedKey};
use super::{Signer, failed, harden};
use crate::Refusal;
use crate::files;

/// The longest file with sealed keys, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The keys of a file that `tpmssh-ca ca seal` wrote.
#[derive(Debug)]
pub struct InMemory {
    file: PathBuf,
    keys: [Secret; 2],
}

#[derive(Debug)]
struct Secret {
    public: AnyKey,
    /// 32 bytes, most significant first.
    scalar: Locked,
}

impl InMemory {
    /// Has the TPM open the keys in `file`. This is the only use of the TPM.
    ///
    /// # Errors
    ///
    /// If others can read the file, it has another format, or it was sealed to another TPM.
    pub fn open(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let sealed = read(file)?;
        let tpm = machine_tpm()?;
        harden();
        let op = tpm.begin()?;
        let keys = sealed
            .srk
            .open(&op)
            .map_err(anyhow::Error::from)
            .and_then(|root| Ok([unseal(&root, sealed.user)?, unseal(&root, sealed.host)?]))
            .with_context(|| format!("the TPM does not open the keys in {shown}"))?;
        Ok(Self {
            file: file.to_owned(),
            keys,
        })
    }
}

impl Signer for InMemory {
    /// # Source
    ///
    /// RFC 5656 section 3.1.2. The nonce is made as in RFC 6979.
    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal> {
        let Some(secret) = self.keys.iter().find(|it| it.public == *key) else {
            let (file, key) = (self.file.display(), key.fingerprint());
            return Err(failed(format!("{file} has no key {key}")));
        };
        // Made for each signature and wiped after it, so that the key stays only in locked memory.
        let signing = SigningKey::from_slice(secret.scalar.bytes()).map_err(failed)?;
        let made: p256::ecdsa::Signature = signing.sign(data);
        let (r, s) = made.split_bytes();
        Signature::ecdsa(Curve::NistP256, &r, &s).map_err(failed)
    }

    fn unlisted<'a>(&self, keys: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal> {
        let is_here = |key: &AnyKey| self.keys.iter().any(|it| it.public == *key);
        Ok(keys.iter().find(|key| !is_here(key)).copied())
    }
}

/// The public keys for users and hosts in `file`. This needs no TPM.
///
/// # Errors
///
/// If others can read the file, or it was not made by [`seal`].
pub(crate) fn public_keys(file: &Path) -> anyhow::Result<[AnyKey; 2]> {
    let KeyFile { user, host, .. } = read(file)?;
    Ok([user.public, host.public])
}

/// Makes a key for users and one for hosts, and writes them to the new file `out`, sealed to the TPM of this machine. Returns their public
/// halves.
///
/// # Errors
///
/// If the file exists already; failures of the TPM and of the disk.
pub(crate) fn seal(out: &Path) -> anyhow::Result<[AnyKey; 2]> {
    if out.exists() {
        bail!("{} is there already", out.display());
    }
    let tpm = machine_tpm()?;
    harden();
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    if let Some(names) = token_store::recorded_srks()?
        && !names.contains(&srk.name().to_string())
    {
        return Err(token_store::Error::UnrecordedSrk.into());
    }
    let root = srk.open(&op)?;
    let (user, host) = (new_key(&root)?, new_key(&root)?);
    drop(root);
    let public = [user.public.clone(), host.public.clone()];
    let file = KeyFile { srk, user, host };
    files::write_new(out, 0o600, file.to_text()?.as_bytes())?;
    Ok(public)
}

fn read(file: &Path) -> anyhow::Result<KeyFile> {
    let text = files::read_secret(file, MAX_FILE)?;
    KeyFile::parse(&text)
        .with_context(|| format!("{} is not a file of sealed keys", file.display()))
}

/// The TPM that the configuration of this user names, or that of the machine.
fn machine_tpm() -> anyhow::Result<Tpm> {
    // Reads a file in /proc to decide whether the environment can be trusted. A hardened process cannot open it, so this comes first.
    let _ = StoreDir::for_user();
    Ok(Tpm::new(Config::load()?.tcti(None)?.tcti))
}

fn new_key(root: &OpenSrk<'_>) -> anyhow::Result<SealedKey> {
    let secret = SecretKey::random(&mut OsRng);
    let scalar = Zeroizing::new(secret.to_bytes());
    let sealed = SealedData::seal(root, &scalar)?;
    let public = public_half(&secret)?;
    let key = SealedKey { public, sealed };
    // Opened again at once, so that a key which the TPM cannot open is noticed now and not at the next start.
    Ok(SealedKey {
        public: unseal(root, key.clone())?.public,
        ..key
    })
}

fn unseal(root: &OpenSrk<'_>, key: SealedKey) -> anyhow::Result<Secret> {
    let scalar = key.sealed.unseal(root)?;
    let secret = SecretKey::from_slice(scalar.bytes()).ok();
    let public = secret.as_ref().map(public_half).transpose()?;
    if public.as_ref() != Some(&key.public) {
        bail!("what is sealed is not the key {}", key.public.fingerprint());
    }
    Ok(Secret {
        public: key.public,
        scalar,
    })
}

/// A public key whose private half nobody has.
///
/// # Errors
///
/// If the public key cannot be encoded.
pub(crate) fn nobodys_key() -> anyhow::Result<AnyKey> {
    public_half(&SecretKey::random(&mut OsRng))
}

fn public_half(secret: &SecretKey) -> anyhow::Result<AnyKey> {
    let point = secret.public_key().to_encoded_point(false);
    let (x, y) = point.x().zip(point.y()).context("a key without a point")?;
    Ok(AnyKey::from(&PublicKey::ecdsa(Curve::NistP256, x, y)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        let secret = SecretKey::random(&mut OsRng);
        let mut scalar = Locked::zeroed(32);
        scalar.bytes_mut().copy_from_slice(&secret.to_bytes());
        Secret {
            public: public_half(&secret).unwrap(),
            scalar,
        }
    }

    #[test]
    fn each_key_signs_for_itself_and_no_other_is_there() {
        let signer = InMemory {
            file: "/keys".into(),
            keys: [secret(), secret()],
        };
        let [user, host] = signer.keys.each_ref().map(|it| &it.public);
        for (key, other) in [(user, host), (host, user)] {
            let signature = signer.sign(key, b"message").unwrap();
            assert_eq!(signature.algorithm(), "ecdsa-sha2-nistp256");
            key.verify(signature.blob(), b"message").unwrap();
            other.verify(signature.blob(), b"message").unwrap_err();
        }
        let foreign = secret().public;
        let says = format!(
            "the authority's key does not sign: /keys has no key {}",
            foreign.fingerprint()
        );
        let refused = signer.sign(&foreign, b"message").unwrap_err();
        assert_eq!(ssh_format::text::error_line(&refused), says);
        let lacks = |keys: &[&AnyKey]| signer.unlisted(keys).unwrap().cloned();
        assert_eq!(lacks(&[user, host]), None);
        assert_eq!(lacks(&[user, &foreign, host]), Some(foreign.clone()));
    }
}
