//! Who somebody is, beside the TPM: what a role takes in the place of a join token.
//!
//! An identity gives a device a role and a name when it comes for the first time, and vouches for a new key. It is looked at when a key is
//! proven, and not when its certificate is renewed: whoever is to get no more certificates is revoked.

pub mod oidc;
pub mod ssh;

use std::sync::Arc;

use serde::Deserialize;

use crate::policy::Files;

/// One kind of identity that a role takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A signature by an SSH key that a file names.
    Ssh(Arc<ssh::Signers>),
    /// A token of an identity provider.
    Oidc(Arc<oidc::Issuer>),
}

/// A [`Rule`] as a policy has it.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum RuleFile {
    Ssh(ssh::SignersFile),
    Oidc(oidc::IssuerFile),
}

impl Rule {
    /// The rule in a policy, with the files that it names.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(crate) fn read(file: RuleFile, files: &mut dyn Files) -> Result<Self, String> {
        match file {
            RuleFile::Ssh(file) => ssh::Signers::read(&file, files).map(|it| Self::Ssh(it.into())),
            RuleFile::Oidc(file) => oidc::Issuer::read(file, files).map(|it| Self::Oidc(it.into())),
        }
    }
}

/// Names without the ending that a rule cuts off. A name with another ending is none of them.
pub(crate) fn without_ending(names: Vec<String>, ending: Option<&str>) -> Vec<String> {
    let Some(ending) = ending else {
        return names;
    };
    let cut = |name: String| Some(name.strip_suffix(ending)?.to_owned());
    let cut = names.into_iter().filter_map(cut);
    cut.filter(|name| !name.is_empty()).collect()
}

/// Checks an ending, such as `@example.com`.
///
/// # Errors
///
/// A sentence.
pub(crate) fn check_ending(ending: Option<&str>) -> Result<(), String> {
    match ending {
        Some(text) if !text.starts_with('@') || text.len() < 2 => Err(format!(
            "cut is the end of the names that is left out, such as \"@example.com\", and not {text:?}"
        )),
        _ => Ok(()),
    }
}
