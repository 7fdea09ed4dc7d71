//! A public key as somebody else wrote it, of any type.

use std::fmt;

use ssh_encoding::Decode;
use ssh_encoding::base64::{Base64, Encoding};
use ssh_key::public::KeyData;

use crate::key_type::KeyType;
use crate::wire::Reader;
use crate::{Certificate, Error, Fingerprint, PublicKey, Result, text};

/// The longest line with a key or certificate that is read, in bytes.
pub const MAX_LINE_LEN: usize = 1024 * 1024;

/// A public key of any type, also one that this crate knows nothing about.
///
/// It is what somebody wrote: the name of a type and bytes that begin with it. Only
/// [`verify`](Self::verify) looks into the bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AnyKey {
    algorithm: String,
    blob: Vec<u8>,
}

impl AnyKey {
    /// A key from its blob.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`] and [`Error::Malformed`] if it does not begin with the name of a type, or
    /// has another number of fields than keys of that type have; [`Error::NotAKey`] for a
    /// certificate.
    pub fn from_blob(blob: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(blob, "public key");
        let algorithm = reader.text("type")?;
        if algorithm.is_empty() || !algorithm.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(reader.malformed("its type is not a name"));
        }
        if algorithm.ends_with("-cert-v01@openssh.com") {
            return Err(Error::NotAKey);
        }
        if let Some(kind) = KeyType::named(algorithm) {
            for _ in 0..kind.fields {
                reader.string()?;
            }
            reader.finish()?;
        }
        Ok(Self {
            algorithm: algorithm.to_owned(),
            blob: blob.to_vec(),
        })
    }

    /// A key, and its comment, from a line of a `.pub` file: type, base64, comment.
    ///
    /// # Errors
    ///
    /// Those of [`from_blob`](Self::from_blob), and [`Error::Malformed`] if the line is
    /// something else.
    pub fn from_line(line: &str) -> Result<(Self, &str)> {
        let (blob, comment) = blob_of_line(line, "public key")?;
        Ok((Self::from_blob(&blob)?, comment))
    }

    /// The name of its type, such as `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key as the SSH protocol carries it.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The SHA-256 of the blob.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_blob(&self.blob)
    }

    /// The line for `authorized_keys` or a `.pub` file, without a line feed; see
    /// [`PublicKey::authorized_keys_line`].
    #[must_use]
    pub fn line(&self, comment: &str) -> String {
        line_of_blob(&self.algorithm, &self.blob, comment)
    }

    /// Whether `signature`, a blob with its algorithm's name in front, is this key's over
    /// `message`.
    ///
    /// # Errors
    ///
    /// [`Error::BadSignature`] if it is not; [`Error::UnknownAlgorithm`] for keys that cannot
    /// be checked here: DSA, and types that are newer than this crate. SHA-1 is not accepted.
    pub fn verify(&self, signature: &[u8], message: &[u8]) -> Result<()> {
        use signature::Verifier;
        let unknown = || Error::UnknownAlgorithm(self.algorithm.clone());
        let key = KeyData::decode(&mut &self.blob[..]).map_err(|_| unknown())?;
        if matches!(key, KeyData::Dsa(_) | KeyData::Other(_)) {
            return Err(unknown());
        }
        let signature = ssh_key::Signature::try_from(signature).map_err(|_| Error::BadSignature)?;
        key.verify(message, &signature)
            .map_err(|_| Error::BadSignature)
    }
}

impl From<&PublicKey> for AnyKey {
    fn from(key: &PublicKey) -> Self {
        Self {
            algorithm: key.algorithm().to_owned(),
            blob: key.blob().to_vec(),
        }
    }
}

impl From<&Certificate> for AnyKey {
    /// The key that the certificate is for.
    fn from(certificate: &Certificate) -> Self {
        certificate.key().clone()
    }
}

impl fmt::Debug for AnyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.fingerprint())
    }
}

/// The blob and the comment of a line: type, base64, comment. `what` is named in errors.
///
/// The type on the line must be the one inside of the blob.
pub(crate) fn blob_of_line<'a>(line: &'a str, what: &'static str) -> Result<(Vec<u8>, &'a str)> {
    let refuse = |why: &str| Error::malformed(what, why);
    if line.len() > MAX_LINE_LEN {
        return Err(refuse("its line is too long"));
    }
    let line = line.trim();
    if line.contains(['\n', '\r', '\0']) {
        return Err(refuse("it is more than one line"));
    }
    let (name, rest) = line
        .split_once([' ', '\t'])
        .ok_or_else(|| refuse("its line has no base64 part"))?;
    let rest = rest.trim_start();
    let (base64, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let blob = Base64::decode_vec(base64).map_err(|_| refuse("its base64 part is damaged"))?;
    if Reader::new(&blob, what).string()? != name.as_bytes() {
        return Err(refuse("its line and its contents name different types"));
    }
    Ok((blob, comment.trim()))
}

/// A line of a `.pub` file, without a line feed.
pub(crate) fn line_of_blob(algorithm: &str, blob: &[u8], comment: &str) -> String {
    let key = format!("{algorithm} {}", Base64::encode_string(blob));
    match text::sanitize(comment) {
        none if none.is_empty() => key,
        comment => format!("{key} {comment}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 8709 section 4 gives the form; the key is RFC 8032 section 7.1, test 1.
    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

    #[test]
    fn a_line_reads_back_with_its_comment() {
        let line = format!("{ED25519}  anna at home \r\n");
        let (key, comment) = AnyKey::from_line(&line).unwrap();
        assert_eq!((key.algorithm(), comment), ("ssh-ed25519", "anna at home"));
        assert_eq!(key.line(""), ED25519);
        assert_eq!(AnyKey::from_blob(key.blob()).unwrap(), key);
    }

    #[test]
    fn a_type_that_nobody_knows_yet_is_kept_as_it_is() {
        let mut blob = b"\0\0\0\x0cssh-mldsa-65".to_vec();
        blob.extend([7; 2000]);
        let key = AnyKey::from_blob(&blob).unwrap();
        assert_eq!((key.algorithm(), key.blob()), ("ssh-mldsa-65", &blob[..]));
        assert_eq!(
            key.verify(b"", b"").unwrap_err().to_string(),
            "signatures of ssh-mldsa-65 keys cannot be checked"
        );
    }

    #[test]
    fn what_is_no_key_says_why() {
        let text = |line: &str| AnyKey::from_line(line).unwrap_err().to_string();
        assert_eq!(
            text("ssh-ed25519"),
            "the public key is malformed: its line has no base64 part"
        );
        assert_eq!(
            text("ssh-ed25519 AAAA*"),
            "the public key is malformed: its base64 part is damaged"
        );
        assert_eq!(
            text(&ED25519.replacen("ssh-ed25519", "ssh-rsa", 1)),
            "the public key is malformed: its line and its contents name different types"
        );
        assert_eq!(
            text(&format!("{ED25519}\n{ED25519}")),
            "the public key is malformed: it is more than one line"
        );
        assert_eq!(
            text(&"x".repeat(MAX_LINE_LEN + 1)),
            "the public key is malformed: its line is too long"
        );
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line: String) {
            let _ = AnyKey::from_line(&line);
        }

        #[test]
        fn any_blob_is_read_or_refused(blob: Vec<u8>, signature: Vec<u8>) {
            if let Ok(key) = AnyKey::from_blob(&blob) {
                prop_assert_eq!(key.blob(), &blob);
                prop_assert!(key.verify(&signature, b"").is_err());
            }
        }
    }
}
