//! An identity by an SSH key: a signature over the request, by a key in a file of allowed signers.
//!
//! It brings people over from the keys that they have: whoever can sign with the old key gets certificates for a key in the TPM.

use std::path::PathBuf;

use key_proof::{IDENTITY_NAMESPACE, Request};
use serde::Deserialize;
use ssh_format::{AllowedSigners, Signer, SshSig};

use super::{check_ending, without_ending};
use crate::policy::Files;

/// Whose signatures a role takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Signers {
    allowed: AllowedSigners,
    /// What is left out at the end of each name.
    cut: Option<String>,
}

/// [`Signers`] as a policy has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignersFile {
    allowed_signers: PathBuf,
    #[serde(default)]
    cut: Option<String>,
}

impl Signers {
    /// Reads the file. A line that cannot be read is refused, and not skipped as OpenSSH does, and so is a key that may be anybody whom a pattern
    /// matches.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(crate) fn read(file: &SignersFile, files: &mut dyn Files) -> Result<Self, String> {
        check_ending(file.cut.as_deref())?;
        let allowed = AllowedSigners::parse(files.read(&file.allowed_signers)?);
        let shown = file.allowed_signers.display();
        if let Some(line) = allowed.skipped().first() {
            return Err(format!("{shown}: {line}"));
        }
        if let Some(line) = allowed.with_patterns().first() {
            return Err(format!(
                "{shown}, line {line}: a key needs a name and no pattern; patterns are for authorities (cert-authority)"
            ));
        }
        Ok(Self {
            allowed,
            cut: file.cut.clone(),
        })
    }

    /// Whom a signature by `signer` may name, at `now` (seconds since 1970). A certificate with critical options, such as `force-command`, names
    /// nobody: the certificate that is asked for would not have them.
    #[must_use]
    pub fn names(&self, signer: &Signer, now: u64) -> Vec<String> {
        if let Signer::Certificate(certificate) = signer
            && !certificate.critical_options().is_empty()
        {
            return Vec::new();
        }
        let names = self.allowed.identities(IDENTITY_NAMESPACE, signer, now);
        without_ending(names, self.cut.as_deref())
    }
}

/// Whether `signature` is over `request`, for the purpose of an identity. Whether its signer counts is another question.
#[must_use]
pub fn is_over(signature: &SshSig, request: &Request) -> bool {
    let digest = signature.hash().of(&request.without_identity()[..]);
    digest.is_ok_and(|digest| signature.verify(IDENTITY_NAMESPACE, &digest).is_ok())
}
