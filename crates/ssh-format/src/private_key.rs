//! Private key files of `ssh-keygen`.

mod numbers;
mod secret;

use std::fmt;

use aes::Aes256;
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit, StreamCipher},
};
use ssh_encoding::base64::{Base64, Encoding};
use zeroize::Zeroizing;

pub use numbers::PrivateNumbers;
pub use secret::SecretBytes;

use crate::wire::Reader;
use crate::{AnyKey, Error, Result};

/// What errors call such a file.
const WHAT: &str = "private key";

const BEGIN: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &[u8] = b"-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The most rounds of bcrypt that are computed: more than 1,000 times those of `ssh-keygen`, a few
/// minutes.
const MAX_ROUNDS: u32 = 32_768;

/// A private key file of OpenSSH (`openssh-key-v1`) with one key. Its public half is read; the
/// private one is still as it is in the file.
///
/// The buffers that hold the private half are locked into memory, as far as the system lets this
/// process, and wiped when they are dropped.
pub struct PrivateKeyFile {
    /// The whole file, its base64 decoded.
    bytes: SecretBytes,
    public: AnyKey,
    cipher: Cipher,
    /// The offsets of the private half in `bytes`.
    private: (usize, usize),
}

/// How the private half is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cipher {
    None,
    /// `aes256-ctr`, with a key that bcrypt makes of the passphrase.
    Aes256Ctr {
        salt: Vec<u8>,
        rounds: u32,
    },
}

impl Cipher {
    /// The block size: the length of the private half is a multiple of it.
    fn block(&self) -> usize {
        match self {
            Self::None => 8,
            Self::Aes256Ctr { .. } => 16,
        }
    }
}

impl PrivateKeyFile {
    /// A private key file from its text, which begins with `-----BEGIN OPENSSH PRIVATE KEY-----`.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`] and [`Error::Malformed`] for anything that is not exactly one such file with
    /// one key; [`Error::UnknownCipher`] for one whose encryption is not the one that `ssh-keygen`
    /// uses by default; those of [`AnyKey::from_blob`].
    ///
    /// # Source
    ///
    /// PROTOCOL.key of OpenSSH, sections 1 and 2.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let bytes = dearmor(text)?;
        let mut reader = Reader::new(bytes.bytes(), WHAT);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(reader.malformed("it is not of the form openssh-key-v1"));
        }
        let cipher = reader.text("cipher")?;
        let kdf = reader.text("key derivation")?;
        let mut options = reader.nested()?;
        let cipher = match (cipher, kdf) {
            ("none", "none") => Cipher::None,
            ("aes256-ctr", "bcrypt") => {
                let (salt, rounds) = (options.string()?.to_vec(), options.u32()?);
                if salt.is_empty() || !(1..=MAX_ROUNDS).contains(&rounds) {
                    return Err(options.malformed("its key derivation is out of bounds"));
                }
                Cipher::Aes256Ctr { salt, rounds }
            }
            ("none" | "aes256-ctr", _) => {
                return Err(reader.malformed("its cipher and key derivation do not fit together"));
            }
            (name, _) => return Err(Error::UnknownCipher(name.to_owned())),
        };
        options.finish()?;
        if reader.u32()? != 1 {
            return Err(reader.malformed("it has more than one key, or none"));
        }
        let public = AnyKey::from_blob(reader.string()?)?;
        let private = reader.string()?;
        reader.finish()?;
        let end = bytes.bytes().len();
        let private = (end - private.len(), end);
        Ok(Self {
            bytes,
            public,
            cipher,
            private,
        })
    }

    /// The public half, which is not encrypted. Whether it belongs to the private one shows when the
    /// file is opened.
    #[must_use]
    pub fn public(&self) -> &AnyKey {
        &self.public
    }

    /// Whether a passphrase is needed.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.cipher != Cipher::None
    }

    /// Calls `take` with the numbers of the key and its comment, which are wiped afterwards.
    ///
    /// `passphrase` is used only if the file is encrypted. The time then depends on the rounds that
    /// the file states: 0.1 to 0.5 seconds with those of `ssh-keygen`.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPassphrase`]; [`Error::HalvesDiffer`] if the public half in the file is another
    /// one; [`Error::UnknownAlgorithm`] for keys that are neither RSA nor ECDSA; [`Error::Cut`] and
    /// [`Error::Malformed`] for a private half in another form.
    ///
    /// # Source
    ///
    /// PROTOCOL.key of OpenSSH, section 3.
    pub fn open<T>(
        &self,
        passphrase: &[u8],
        take: impl FnOnce(&PrivateNumbers<'_>, &str) -> T,
    ) -> Result<T> {
        let section = self.decrypt(passphrase)?;
        let mut reader = Reader::new(section.bytes(), WHAT);
        if section.bytes().len() % self.cipher.block() != 0 {
            return Err(reader.malformed("its length is not one of whole blocks"));
        }
        if reader.u32()? != reader.u32()? {
            return Err(match self.cipher {
                Cipher::None => reader.malformed("its check numbers differ"),
                Cipher::Aes256Ctr { .. } => Error::WrongPassphrase,
            });
        }
        let (numbers, public) = PrivateNumbers::read(&mut reader)?;
        if public != self.public.blob() {
            return Err(Error::HalvesDiffer);
        }
        let comment = reader.string()?;
        let padding = reader.rest();
        let is_padding = padding.iter().zip(1_u8..).all(|(byte, n)| *byte == n);
        if padding.len() >= self.cipher.block() || !is_padding {
            return Err(reader.malformed("its padding is damaged"));
        }
        Ok(take(&numbers, &String::from_utf8_lossy(comment)))
    }

    /// The private half, decrypted.
    fn decrypt(&self, passphrase: &[u8]) -> Result<SecretBytes> {
        let (begin, end) = self.private;
        let mut section = SecretBytes::new(&self.bytes.bytes()[begin..end])
            .ok_or_else(|| Error::malformed(WHAT, "it is too long"))?;
        if let Cipher::Aes256Ctr { salt, rounds } = &self.cipher {
            // For ssh-keygen an empty passphrase means no encryption, so it is never the right one.
            if passphrase.is_empty() {
                return Err(Error::WrongPassphrase);
            }
            let mut key = Zeroizing::new([0; 48]);
            bcrypt_pbkdf::bcrypt_pbkdf(passphrase, salt, *rounds, &mut *key)
                .map_err(|_| Error::malformed(WHAT, "its key derivation is out of bounds"))?;
            let (key, iv) = key.split_at(32);
            Ctr128BE::<Aes256>::new(key.into(), iv.into()).apply_keystream(section.bytes_mut());
        }
        Ok(section)
    }
}

/// The private half is never printed.
impl fmt::Debug for PrivateKeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKeyFile")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// The decoded base64 between the first and the last line of such a file.
fn dearmor(text: &[u8]) -> Result<SecretBytes> {
    let refuse = |why: &str| Error::malformed(WHAT, why);
    let body = text
        .trim_ascii()
        .strip_prefix(BEGIN)
        .ok_or_else(|| refuse("it does not begin as OpenSSH's do"))?;
    let body = body
        .strip_suffix(END)
        .ok_or_else(|| refuse("it does not end as OpenSSH's do"))?;
    let mut base64 = SecretBytes::new(body).ok_or_else(|| refuse("it is too long"))?;
    base64.retain(|byte| !byte.is_ascii_whitespace());
    let mut bytes = SecretBytes::new(base64.bytes()).ok_or_else(|| refuse("it is too long"))?;
    let text = std::str::from_utf8(base64.bytes()).unwrap_or("not ASCII");
    let len = Base64::decode(text, bytes.bytes_mut())
        .map_err(|_| refuse("its base64 part is damaged"))?
        .len();
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
