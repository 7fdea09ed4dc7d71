//! The keys of an authority that are believed.

use ssh_format::{AnyKey, CertificateKind, SigHash, SshSig};

use crate::{Error, Result, SignedKeys};

/// The namespace of the signature under the keys.
const NAMESPACE: &str = "ca-keys@tpmssh";

/// The two keys of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    /// Signs the certificates of users.
    pub user: AnyKey,
    /// Signs the certificates of hosts, the list of revoked keys, and its successor.
    pub host: AnyKey,
}

impl Authorities {
    /// Reads two lines of `authorized_keys`.
    ///
    /// # Errors
    ///
    /// [`Error::BadAnswer`].
    pub fn from_lines(user: &str, host: &str) -> Result<Self> {
        let key = |line: &str| {
            AnyKey::from_line(line)
                .map(|(key, _)| key)
                .map_err(Error::bad)
        };
        Ok(Self {
            user: key(user)?,
            host: key(host)?,
        })
    }

    /// The key that signs certificates of this kind.
    #[must_use]
    pub fn of(&self, kind: CertificateKind) -> &AnyKey {
        match kind {
            CertificateKind::Host => &self.host,
            CertificateKind::User => &self.user,
        }
    }

    /// The keys that follow these: those in `signed`, if one of these signed them.
    ///
    /// # Errors
    ///
    /// [`Error::NotTaken`], [`Error::BadAnswer`].
    pub fn successor(&self, signed: &SignedKeys) -> Result<Self> {
        let text = format!("user {}\nhost {}\n", signed.user, signed.host);
        self.check_signature(&signed.signature, NAMESPACE, text.as_bytes())?;
        Self::from_lines(&signed.user, &signed.host)
    }

    /// Checks a signature by the host key over `message`.
    pub(crate) fn check_signature(
        &self,
        armored: &str,
        namespace: &str,
        message: &[u8],
    ) -> Result<()> {
        let signature = SshSig::from_armored(armored).map_err(Error::bad)?;
        let digest = signature.hash().of(message).map_err(Error::bad)?;
        if signature.signer().key() != &self.host {
            return Err(Error::NotTaken(
                "it is not signed by the authority's key that is trusted",
            ));
        }
        let verified = signature.verify(namespace, &digest);
        if signature.hash() != SigHash::Sha512 || verified.is_err() {
            return Err(Error::NotTaken("its signature is wrong"));
        }
        Ok(())
    }
}
