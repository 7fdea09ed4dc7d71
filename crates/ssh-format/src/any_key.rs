//! Public keys of all types, read from text or blobs of other programs.

use std::fmt;

use ssh_encoding::base64::{Base64, Encoding};

use crate::key_line::line_of_blob;
use crate::key_type::KeyType;
use crate::wire::Reader;
use crate::{Error, Fingerprint, PublicKey, Result};

mod numbers;
mod verify;

use numbers::Numbers;

/// The longest line with a key or certificate that is read, in bytes.
pub const MAX_LINE_LEN: usize = 1024 * 1024;

/// A public key of one of OpenSSH's types: RSA, DSA, ECDSA, Ed25519, the two types of security keys,
/// and the pair of ML-DSA-44 and Ed25519 (OpenSSH 10.4).
///
/// OpenSSH accepts each such key. Two keys are equal only if their bytes are equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AnyKey {
    algorithm: &'static str,
    blob: Vec<u8>,
}

impl AnyKey {
    /// A key from its blob.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`] and [`Error::Malformed`] for a key that OpenSSH refuses, because of an
    /// invalid number or point, a wrong length, or bytes after the end. [`Error::NotAKey`] for a
    /// certificate; [`Error::UnknownKeyType`] for other types.
    pub fn from_blob(blob: &[u8]) -> Result<Self> {
        let (kind, _) = read(blob)?;
        Ok(Self {
            algorithm: kind.name,
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
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
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
        line_of_blob(self.algorithm, &self.blob, comment)
    }

    /// Checks that `signature`, a blob with the name of its algorithm in front, is a valid
    /// signature of `message` by this key.
    ///
    /// # Errors
    ///
    /// [`Error::BadSignature`] if it is not valid; [`Error::Cut`] and [`Error::Malformed`] if it is
    /// not a signature; [`Error::Sha1`]; [`Error::UnknownAlgorithm`] for DSA keys.
    pub fn verify(&self, signature: &[u8], message: &[u8]) -> Result<()> {
        let (kind, numbers) = read(&self.blob)?;
        verify::verify(numbers, kind.name, signature, message)
    }
}

/// The type of a key, and its fields.
fn read(blob: &[u8]) -> Result<(KeyType, Numbers<'_>)> {
    let mut reader = Reader::new(blob, "public key");
    let name = reader.text("type")?;
    let kind = match (KeyType::named(name), KeyType::of_certificate(name)) {
        (Some(kind), _) => kind,
        (None, Some(_)) => return Err(Error::NotAKey),
        (None, None) => return Err(Error::UnknownKeyType(name.to_owned())),
    };
    let numbers = Numbers::read(kind, &mut reader)?;
    reader.finish()?;
    Ok((kind, numbers))
}

impl From<&PublicKey> for AnyKey {
    fn from(key: &PublicKey) -> Self {
        Self {
            algorithm: key.algorithm(),
            blob: key.blob().to_vec(),
        }
    }
}

impl fmt::Debug for AnyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.fingerprint())
    }
}

/// The blob and the comment of a line: type, base64, comment. `what` is named in errors.
///
/// The type on the line must be the one in the blob.
pub(crate) fn blob_of_line<'a>(line: &'a str, what: &'static str) -> Result<(Vec<u8>, &'a str)> {
    let (blob, comment) = blob_in(line.as_bytes(), what)?;
    let comment = std::str::from_utf8(comment).unwrap_or_default();
    Ok((blob, comment.trim()))
}

/// As [`blob_of_line`], for a line in any encoding.
fn blob_in<'a>(line: &'a [u8], what: &'static str) -> Result<(Vec<u8>, &'a [u8])> {
    let refuse = |why: &str| Error::malformed(what, why);
    if line.len() > MAX_LINE_LEN {
        return Err(refuse("its line is too long"));
    }
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.iter().any(|byte| b"\n\r\0".contains(byte)) {
        return Err(refuse("it is more than one line"));
    }
    let (name, rest) = first_word(line);
    let (base64, comment) = first_word(rest);
    if base64.is_empty() {
        return Err(refuse("its line has no base64 part"));
    }
    let base64 = std::str::from_utf8(base64).unwrap_or("not ASCII");
    let blob = Base64::decode_vec(base64).map_err(|_| refuse("its base64 part is damaged"))?;
    if Reader::new(&blob, what).string()? != name {
        return Err(refuse("its line and its contents name different types"));
    }
    Ok((blob, comment))
}

/// The first word, and the rest of the text after the blank that ends it.
fn first_word(text: &[u8]) -> (&[u8], &[u8]) {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().take_while(|byte| is_blank(byte)).count();
    let text = &text[start..];
    let len = text.iter().take_while(|byte| !is_blank(byte)).count();
    text.split_at(len)
}

/// The key in a line. Its comment may be in any encoding.
pub(crate) fn key_of_line(line: &[u8]) -> Result<AnyKey> {
    let (blob, _) = blob_in(line, "public key")?;
    AnyKey::from_blob(&blob)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::put_string;

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
    fn a_type_that_openssh_does_not_have_is_named() {
        let mut blob = b"\0\0\0\x0cssh-mldsa-65".to_vec();
        blob.extend([7; 2000]);
        assert_eq!(
            AnyKey::from_blob(&blob).unwrap_err().to_string(),
            "keys of type ssh-mldsa-65 are not known here"
        );
    }

    /// OpenSSH refuses each of these keys.
    #[test]
    fn a_key_that_cannot_be_is_refused() {
        let fields = |name: &str, fields: &[&[u8]]| {
            let mut blob = Vec::new();
            put_string(&mut blob, name.as_bytes());
            fields.iter().for_each(|field| put_string(&mut blob, field));
            AnyKey::from_blob(&blob)
        };
        let text = |result: Result<AnyKey>| match result.unwrap_err().to_string() {
            text if text.starts_with("the public key is malformed: ") => text[29..].to_owned(),
            text => text,
        };
        let ed25519 = |len: usize| fields("ssh-ed25519", &[&vec![7; len]]);
        ed25519(32).unwrap();
        for len in [0, 1, 31, 33, 64] {
            assert_eq!(text(ed25519(len)), format!("it has {len} bytes and not 32"));
        }
        assert_eq!(
            text(fields("ssh-ed25519", &[&[7; 32], b""])),
            "it goes on after its end"
        );
        let modulus = |len: usize, last: u8| {
            let mut n = vec![0, 0xc5];
            n.resize(len, 0x5c);
            n.push(last);
            n
        };
        let rsa = |e: &[u8], n: &[u8]| fields("ssh-rsa", &[e, n]);
        rsa(&[1, 0, 1], &modulus(128, 1)).unwrap();
        assert_eq!(
            text(rsa(&[1, 0, 1], &modulus(127, 1))),
            "its modulus of 1016 bits is not between 1024 and 16384 bits"
        );
        assert_eq!(
            text(rsa(&[1, 0, 1], &modulus(128, 2))),
            "its modulus is even"
        );
        for e in [&[][..], &[1], &[2], &[2, 0, 0, 0, 1]] {
            assert_eq!(
                text(rsa(e, &modulus(128, 1))),
                "its exponent is not an odd number from 3 to 2^33 - 1"
            );
        }
        assert_eq!(
            text(rsa(&[0, 3], &modulus(128, 1))),
            "a number in it begins with needless zeros"
        );
        // The generator of P-256 (SEC 2 section 2.4.2), and points near it.
        let good = crate::hex(
            "04 6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296
                4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        );
        let ecdsa = |point: &[u8]| fields("ecdsa-sha2-nistp256", &[b"nistp256", point]);
        ecdsa(&good).unwrap();
        let mut beside = good.clone();
        beside[64] ^= 1;
        let compressed = [&[3][..], &good[1..33]].concat();
        for point in [&beside[..], &compressed, &good[..64], &[0], &[]] {
            assert_eq!(
                text(ecdsa(point)),
                "it is not a point of its curve that OpenSSH accepts"
            );
        }
        assert_eq!(
            text(fields("ecdsa-sha2-nistp256", &[b"nistp384", &good])),
            "its type and its curve differ"
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
