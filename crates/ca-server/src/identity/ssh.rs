//! An identity by an SSH key: a signature over the request, by a key in a file of allowed signers.
//!
//! With it, people change from an SSH key that they have to a key in a TPM: they sign the request with the old key.

use std::path::PathBuf;

use key_proof::{IDENTITY_NAMESPACE, Request};
use serde::Deserialize;
use ssh_format::{AllowedSigners, Signer, SshSig};

use super::{check_ending, without_ending};
use crate::files::Files;

/// The keys whose signatures a role accepts.
#[derive(Debug, PartialEq, Eq)]
pub struct Signers {
    allowed: AllowedSigners,
    /// The ending that is removed from each name.
    cut: Option<String>,
}

/// [`Signers`] in the form of the policy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignersFile {
    allowed_signers: PathBuf,
    #[serde(default)]
    cut: Option<String>,
}

impl Signers {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence. A line that cannot be read is an error, although OpenSSH skips such lines. So is a key with a pattern, because
    /// its holder could choose any matching name.
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

    /// The names that a signature by `signer` stands for at `now` (seconds since 1970). A certificate with critical options, such as `force-command`,
    /// stands for none, because the new certificate would not have these restrictions.
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

/// Whether `signature` is a valid signature over `request` with the namespace of identities. The signer is not checked.
#[must_use]
pub fn is_over(signature: &SshSig, request: &Request) -> bool {
    let digest = signature.hash().of(&request.without_identity()[..]);
    digest.is_ok_and(|digest| signature.verify(IDENTITY_NAMESPACE, &digest).is_ok())
}
