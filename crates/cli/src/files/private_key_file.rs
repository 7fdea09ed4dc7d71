//! Files with a private key that was made outside of the TPM.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use ssh_format::{AnyKey, Error as Ssh, MAX_LINE_LEN, PrivateKeyFile, PrivateNumbers, SecretBytes};
use tpm_core::{Error as Tpm, KeyType, PublicKey};

use crate::fail::error::Error;
use crate::fail::not_imported::NotImported;
use crate::files::{input_file, x509_file};
use crate::show::path;

/// A private key file of OpenSSH with a key that a TPM may hold.
#[derive(Debug)]
pub(crate) struct Moving {
    /// As it was named.
    path: PathBuf,
    file: PrivateKeyFile,
    /// Its public half, as a TPM gets it.
    of_tpm: PublicKey,
    key_type: KeyType,
    /// The comment of the `.pub` file beside it.
    comment: Option<String>,
}

impl Moving {
    /// Reads a file, or standard input for `-`, and checks all that needs no passphrase.
    ///
    /// # Errors
    ///
    /// [`Error::NotImported`]; [`Error::ExposedFile`]; [`Error::Unreadable`].
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let refuse = |why| refused(path, why);
        let text = read(path)?;
        let file = PrivateKeyFile::parse(text.bytes()).map_err(|err| match err {
            Ssh::UnknownCipher(name) => refuse(NotImported::Cipher(name)),
            err => match known(text.bytes()) {
                Some(why) => refuse(why),
                None => anyhow::Error::from(err).context(path::name(path)),
            },
        })?;
        drop(text);
        let public = file.public();
        let of_tpm = ssh_keys::tpm_public_key(public).map_err(|err| match err {
            Tpm::KeyRefused(why) => refuse(NotImported::Weak(why)),
            err => anyhow::Error::from(token_store::Error::from(err)),
        })?;
        let Some((of_tpm, key_type)) = of_tpm else {
            return Err(refuse(match public.algorithm() {
                "ssh-rsa" => NotImported::RsaSize,
                name => NotImported::Type(name.to_owned()),
            }));
        };
        let comment = beside(path, public)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            of_tpm,
            key_type,
            comment,
        })
    }

    /// Its public half.
    pub(crate) fn public(&self) -> &AnyKey {
        self.file.public()
    }

    /// Its public half, as a TPM gets it.
    pub(crate) fn of_tpm(&self) -> &PublicKey {
        &self.of_tpm
    }

    /// Its kind.
    pub(crate) fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The comment of its public half, if that is in a file beside it.
    pub(crate) fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// Whether a passphrase is needed.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.file.is_encrypted()
    }

    /// The last part of its name, or `standard input`.
    pub(crate) fn short_name(&self) -> String {
        match self.path.file_name() {
            Some(name) if self.path != Path::new("-") => name.to_string_lossy().into_owned(),
            _ => path::name(&self.path),
        }
    }

    /// An error about this file.
    pub(crate) fn refused(&self, why: NotImported) -> anyhow::Error {
        refused(&self.path, why)
    }

    /// An error about the numbers in this file.
    pub(crate) fn unsound(&self, err: tpm_core::Error) -> anyhow::Error {
        anyhow::Error::from(token_store::Error::from(err)).context(path::name(&self.path))
    }

    /// Calls `take` with the numbers of the key and its comment, which are wiped afterwards.
    ///
    /// # Errors
    ///
    /// [`NotImported::Passphrase`], and whatever is wrong with the file.
    pub(crate) fn open<T>(
        &self,
        passphrase: &[u8],
        take: impl FnOnce(&PrivateNumbers<'_>, &str) -> T,
    ) -> Result<T> {
        self.file.open(passphrase, take).map_err(|err| match err {
            Ssh::WrongPassphrase => self.refused(NotImported::Passphrase),
            err => anyhow::Error::from(err).context(path::name(&self.path)),
        })
    }
}

fn refused(path: &Path, why: NotImported) -> anyhow::Error {
    Error::NotImported {
        path: path.to_owned(),
        why,
    }
    .into()
}

/// The whole file, if it is one that only its owner can read, as ssh demands.
fn read(path: &Path) -> Result<SecretBytes> {
    let unreadable = |source| Error::Unreadable {
        from: path::name(path),
        source,
    };
    let bytes = if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(refused(path, NotImported::Terminal));
        }
        SecretBytes::read(io::stdin().lock())
    } else {
        // Without waiting for the other end of a pipe.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path);
        let file = file.map_err(unreadable)?;
        // Metadata of the open file, because the path could name another one by now.
        let meta = file.metadata().map_err(unreadable)?;
        if meta.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()).into());
        }
        if !meta.is_file() {
            return Err(refused(path, NotImported::NotRegular));
        }
        let me = rustix::process::geteuid().as_raw();
        if meta.uid() != me && me != 0 {
            return Err(refused(path, NotImported::OfAnother));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(Error::ExposedFile { path: path.into() }.into());
        }
        SecretBytes::read(file)
    };
    match bytes.map_err(unreadable)? {
        Some(bytes) => Ok(bytes),
        None => Err(refused(path, NotImported::TooLong)),
    }
}

/// The comment in the `.pub` file beside `path`, if there is one.
///
/// # Errors
///
/// [`NotImported::OtherPublic`] if it has another key.
fn beside(path: &Path, key: &AnyKey) -> Result<Option<String>> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    if !public.is_file() {
        return Ok(None);
    }
    let text = input_file::read_text(&public, MAX_LINE_LEN + 2)?;
    let (found, comment) =
        AnyKey::from_line(text.trim_end()).with_context(|| path::name(&public))?;
    if found == *key {
        Ok(Some(comment.to_owned()))
    } else {
        Err(refused(path, NotImported::OtherPublic { public }))
    }
}

/// The reason to refuse a file that does not begin as OpenSSH's private keys do; `None` for a damaged
/// one that does.
fn known(text: &[u8]) -> Option<NotImported> {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let contains = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
    if text.starts_with(b"-----BEGIN OPENSSH PRIVATE KEY") {
        return None;
    }
    Some(if text.starts_with(b"-----BEGIN TSS2 ") {
        if is_importable(text) {
            NotImported::WrappedOpenly
        } else {
            NotImported::InTpm
        }
    } else if contains(b"-----BEGIN ") && contains(b"PRIVATE KEY-----") {
        NotImported::Pem
    } else if text.starts_with(b"PuTTY-User-Key-File-") {
        NotImported::Putty
    } else if is_public(text) {
        NotImported::Public
    } else if text.starts_with(&[0x30]) || text.contains(&0) {
        NotImported::Binary
    } else {
        NotImported::Other
    })
}

fn is_public(text: &[u8]) -> bool {
    [
        "ssh-",
        "ecdsa-",
        "sk-",
        "-----BEGIN PUBLIC",
        "---- BEGIN SSH2 PUBLIC",
    ]
    .iter()
    .any(|start| text.starts_with(start.as_bytes()))
}

/// Whether a TSS2 private key is of the sort `importable`, by the object identifier in front.
///
/// # Source
///
/// ASN.1 Specification for TPM 2.0 Key Files, section 3.1: 2.23.133.10.1.4.
fn is_importable(text: &[u8]) -> bool {
    const OID: [u8; 8] = [0x06, 0x06, 0x67, 0x81, 0x05, 0x0a, 0x01, 0x04];
    // It stands within the first line, behind the head of a sequence.
    let line = text.split(|&byte| byte == b'\n').nth(1);
    let line = line.and_then(|line| std::str::from_utf8(line.trim_ascii()).ok());
    let line = line.and_then(|line| line.get(..line.len().min(64) / 4 * 4));
    let der = line.and_then(x509_file::decode).unwrap_or_default();
    der.windows(OID.len()).take(8).any(|part| part == OID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &[u8]) -> String {
        known(text).map_or("OpenSSH's".into(), |why| format!("{why:?}"))
    }

    #[test]
    fn a_file_that_is_no_private_key_of_openssh_is_called_what_it_is() {
        for (text, expected) in [
            (
                &b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"[..],
                "OpenSSH's",
            ),
            (
                b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
                "Pem",
            ),
            (b"\n-----BEGIN EC PRIVATE KEY-----\nAAAA\n", "Pem"),
            (b"-----BEGIN PRIVATE KEY-----\nAAAA\n", "Pem"),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", "Pem"),
            // As openssl pkcs12 -nocerts writes it.
            (
                b"Bag Attributes\n    friendlyName: me\n-----BEGIN PRIVATE KEY-----\nAAAA\n",
                "Pem",
            ),
            (b"PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\n", "Putty"),
            (b"ecdsa-sha2-nistp256 AAAA me\n", "Public"),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA\n", "Public"),
            (b"0\x82\x0a\x00\x02\x01\x03", "Binary"),
            (b"", "Other"),
            (b"hello\n", "Other"),
            // 30 81 f2, then the object identifiers 2.23.133.10.1.3 and .4.
            (
                b"-----BEGIN TSS2 PRIVATE KEY-----\nMIHyBgZngQUKAQOg\n",
                "InTpm",
            ),
            (
                b"-----BEGIN TSS2 PRIVATE KEY-----\nMIHyBgZngQUKAQSg\n",
                "WrappedOpenly",
            ),
            (
                b"-----BEGIN TSS2 KEY BLOB-----\nMIHyBgZngQUKAQOg\n",
                "InTpm",
            ),
        ] {
            assert_eq!(is(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }
}
