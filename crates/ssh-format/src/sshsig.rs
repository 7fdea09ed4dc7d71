//! Signatures of files and commits, as `ssh-keygen -Y` makes and verifies them.

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest, Sha256, Sha512};
use ssh_encoding::base64::{Base64, Encoding};

use crate::wire::{Reader, put_string, put_u32};
use crate::{AnyKey, Certificate, Error, Result, Signature};

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// The last line, and the end of the line before it.
const LAST_LINE: &str = "\n-----END SSH SIGNATURE-----";
/// Characters on a line, as `ssh-keygen` writes them.
const WIDTH: usize = 70;

/// The hash of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SigHash {
    /// SHA-256.
    Sha256,
    /// SHA-512, as `ssh-keygen` takes it.
    Sha512,
}

impl SigHash {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The hash of a message, which is read in pieces.
    ///
    /// # Errors
    ///
    /// If the message cannot be read.
    pub fn of(self, message: impl Read) -> io::Result<Vec<u8>> {
        match self {
            Self::Sha256 => hash::<Sha256>(message),
            Self::Sha512 => hash::<Sha512>(message),
        }
    }
}

fn hash<H: Digest>(mut message: impl Read) -> io::Result<Vec<u8>> {
    let mut hash = H::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match message.read(&mut piece) {
            Ok(0) => return Ok(hash.finalize().to_vec()),
            Ok(len) => hash.update(&piece[..len]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

/// The signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// A key.
    Key(AnyKey),
    /// A key that an authority certifies.
    Certificate(Box<Certificate>),
}

impl Signer {
    /// The key that made the signature.
    #[must_use]
    pub fn key(&self) -> &AnyKey {
        match self {
            Self::Key(key) => key,
            Self::Certificate(certificate) => certificate.key(),
        }
    }

    fn blob(&self) -> &[u8] {
        match self {
            Self::Key(key) => key.blob(),
            Self::Certificate(certificate) => certificate.blob(),
        }
    }

    fn from_blob(blob: &[u8]) -> Result<Self> {
        match AnyKey::from_blob(blob) {
            Ok(key) => Ok(Self::Key(key)),
            Err(Error::NotAKey) => Certificate::from_blob(blob)
                .map(Box::new)
                .map(Self::Certificate),
            Err(err) => Err(err),
        }
    }
}

/// A signature of a message, for one namespace.
///
/// # Source
///
/// PROTOCOL.sshsig of OpenSSH.
#[derive(Clone, PartialEq, Eq)]
pub struct SshSig {
    signer: Signer,
    namespace: String,
    hash: SigHash,
    signature: Vec<u8>,
}

impl SshSig {
    /// The bytes that a key signs for a message with this hash.
    ///
    /// # Errors
    ///
    /// [`Error::NoNamespace`].
    pub fn to_sign(namespace: &str, hash: SigHash, digest: &[u8]) -> Result<Vec<u8>> {
        check_namespace(namespace)?;
        let mut out = MAGIC.to_vec();
        put_string(&mut out, namespace.as_bytes());
        put_string(&mut out, &[]); // reserved
        put_string(&mut out, hash.name().as_bytes());
        put_string(&mut out, digest);
        Ok(out)
    }

    /// The file signature that contains `signature`, which is over the bytes of
    /// [`to_sign`](Self::to_sign).
    ///
    /// # Errors
    ///
    /// [`Error::NoNamespace`].
    pub fn new(key: AnyKey, namespace: &str, hash: SigHash, signature: &Signature) -> Result<Self> {
        check_namespace(namespace)?;
        Ok(Self {
            signer: Signer::Key(key),
            namespace: namespace.to_owned(),
            hash,
            signature: signature.blob().to_vec(),
        })
    }

    /// The signer, as the signature states it.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Its namespace, such as `file` or `git`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The hash of the message that it was made over.
    #[must_use]
    pub fn hash(&self) -> SigHash {
        self.hash
    }

    /// Checks that the signer signed a message with this hash for this namespace, and that a
    /// certificate is signed by the authority that it names. It does not check whether the signer
    /// or the authority is trusted: [`AllowedSigners`](crate::AllowedSigners) or the caller does
    /// that.
    ///
    /// # Errors
    ///
    /// [`Error::Namespace`]; those of [`AnyKey::verify`].
    pub fn verify(&self, namespace: &str, digest: &[u8]) -> Result<()> {
        if self.namespace != namespace {
            return Err(Error::Namespace {
                found: self.namespace.clone(),
                wanted: namespace.to_owned(),
            });
        }
        if let Signer::Certificate(certificate) = &self.signer {
            certificate.verify()?;
        }
        let signed = Self::to_sign(&self.namespace, self.hash, digest)?;
        self.signer.key().verify(&self.signature, &signed)
    }

    /// The signature as a file has it, with a line feed at the end.
    #[must_use]
    pub fn armored(&self) -> String {
        let mut out = MAGIC.to_vec();
        put_u32(&mut out, VERSION);
        put_string(&mut out, self.signer.blob());
        put_string(&mut out, self.namespace.as_bytes());
        put_string(&mut out, &[]); // reserved
        put_string(&mut out, self.hash.name().as_bytes());
        put_string(&mut out, &self.signature);
        let base64 = Base64::encode_string(&out);
        let mut text = format!("{BEGIN}\n");
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(WIDTH));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str(END);
        text.push('\n');
        text
    }

    /// Parses a signature file: the first line exactly as [`armored`](Self::armored) writes it,
    /// base64 in lines of any length, the last line. Text after the last line is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`] and [`Error::Malformed`]; [`Error::UnknownKeyType`].
    pub fn from_armored(text: &str) -> Result<Self> {
        let refuse = |why: &str| Error::malformed("signature", why);
        let body = text
            .strip_prefix(BEGIN)
            .and_then(|body| body.strip_prefix('\n'))
            .ok_or_else(|| refuse("its first line is missing"))?;
        let (body, _) = body
            .split_once(LAST_LINE)
            .ok_or_else(|| refuse("its last line is missing"))?;
        let base64: String = body.split_ascii_whitespace().collect();
        let blob = Base64::decode_vec(&base64).map_err(|_| refuse("its base64 part is damaged"))?;
        Self::from_blob(&blob)
    }

    fn from_blob(blob: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(blob, "signature");
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(reader.malformed("it does not begin as one"));
        }
        if reader.u32()? != VERSION {
            return Err(reader.malformed("its version is not known here"));
        }
        let signer = Signer::from_blob(reader.string()?)?;
        let namespace = reader.text("namespace")?.to_owned();
        if check_namespace(&namespace).is_err() {
            return Err(reader.malformed("it has no namespace"));
        }
        let _reserved = reader.string()?;
        let hash = match reader.text("hash")? {
            "sha256" => SigHash::Sha256,
            "sha512" => SigHash::Sha512,
            _ => return Err(reader.malformed("its hash is not known here")),
        };
        let signature = reader.string()?.to_vec();
        reader.finish()?;
        Ok(Self {
            signer,
            namespace,
            hash,
            signature,
        })
    }
}

impl fmt::Debug for SshSig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshSig")
            .field("signer", &self.signer)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

fn check_namespace(namespace: &str) -> Result<()> {
    if namespace.is_empty() || namespace.chars().any(char::is_control) {
        return Err(Error::NoNamespace);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::AllowedSigners;

    /// A key, a message and its signature for `file`, by `ssh-keygen`.
    fn made_by_keygen(kind: &str) -> (tempfile::TempDir, SshSig) {
        let dir = tempfile::tempdir().unwrap();
        let keygen = |args: &[&str]| {
            let mut command = Command::new("ssh-keygen");
            let output = command.args(args).current_dir(dir.path()).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        keygen(&["-q", "-t", kind, "-N", "", "-C", "anna", "-f", "key"]);
        fs::write(dir.path().join("message"), "hello\n").unwrap();
        keygen(&["-q", "-Y", "sign", "-f", "key", "-n", "file", "message"]);
        let text = fs::read_to_string(dir.path().join("message.sig")).unwrap();
        let signature = SshSig::from_armored(&text).unwrap();
        assert_eq!(signature.armored(), text, "to the letter");
        (dir, signature)
    }

    fn digest(signature: &SshSig, message: &[u8]) -> Vec<u8> {
        signature.hash().of(message).unwrap()
    }

    #[test]
    fn what_ssh_keygen_signed_is_believed_for_this_message_and_purpose_only() {
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let (dir, signature) = made_by_keygen(kind);
            let right = digest(&signature, b"hello\n");
            signature.verify("file", &right).unwrap();
            let text = |result: Result<()>| result.unwrap_err().to_string();
            assert_eq!(
                text(signature.verify("git", &right)),
                "the signature is for the namespace \"file\" and not \"git\""
            );
            let wrong = digest(&signature, b"hello!\n");
            assert_eq!(
                text(signature.verify("file", &wrong)),
                "the signature does not match"
            );
            let public = fs::read_to_string(dir.path().join("key.pub")).unwrap();
            let (key, _) = AnyKey::from_line(&public).unwrap();
            assert_eq!(*signature.signer(), Signer::Key(key));
            let allowed = AllowedSigners::parse(format!("a*@example.org {public}"));
            let who = |name| allowed.allow(name, "file", signature.signer(), 0);
            assert!(who("anna@example.org") && !who("bert@example.org"));
        }
    }

    #[test]
    fn a_damaged_file_says_what_is_wrong_with_it() {
        let (_dir, signature) = made_by_keygen("ed25519");
        let text = signature.armored();
        let error = |text: &str| SshSig::from_armored(text).unwrap_err().to_string();
        let malformed = |why: &str| format!("the signature is malformed: {why}");
        assert_eq!(error(&text[5..]), malformed("its first line is missing"));
        assert_eq!(
            error(&text[..text.len() - 5]),
            malformed("its last line is missing")
        );
        assert_eq!(
            error(&text.replacen("U1NI", "****", 1)),
            malformed("its base64 part is damaged"),
        );
        let lines: Vec<&str> = text.lines().collect();
        let cut = [lines[0], lines[1], END].join("\n");
        let shown = error(&cut);
        assert!(
            shown == "the signature is cut short" || shown.ends_with("damaged"),
            "{shown}"
        );
        // As ssh-keygen does: the first line must be exactly this one; the others may have any line
        // ends.
        for first in [" ", "\n", "\r\n", "\u{feff}"] {
            assert_eq!(
                error(&format!("{first}{text}")),
                malformed("its first line is missing")
            );
        }
        let windows = text.replace('\n', "\r\n");
        assert_eq!(error(&windows), malformed("its first line is missing"));
        let later = text.replacen("\r\n", "\n", 1) + "more\n";
        assert_eq!(SshSig::from_armored(&later).unwrap(), signature);
        let indented = text.replace("\n-----END", "\n -----END");
        assert_eq!(error(&indented), malformed("its last line is missing"));
    }

    #[test]
    fn a_namespace_is_something() {
        for wrong in ["", "a\nb"] {
            assert_eq!(
                SshSig::to_sign(wrong, SigHash::Sha512, b"")
                    .unwrap_err()
                    .to_string(),
                "a namespace has at least one character, and no control characters"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_and_any_bytes_are_read_or_refused(text: String, blob: Vec<u8>) {
            let _ = SshSig::from_armored(&text);
            let _ = SshSig::from_blob(&blob);
            let _ = SshSig::from_blob(&[MAGIC, &[0, 0, 0, 1], &blob].concat());
            let armor = format!("{BEGIN}\n{}\n{END}", Base64::encode_string(&blob));
            let _ = SshSig::from_armored(&armor);
        }
    }
}
