//! Identities of people, which a role may accept instead of a join token.
//!
//! An identity gives a device a role and a name at its first enrolment, and vouches for a new key. It is checked when a key is enrolled, but not
//! when a certificate is renewed. To end somebody's certificates, revoke the device.

pub mod oidc;
pub mod ssh;

use std::sync::Arc;

use serde::Deserialize;

use crate::files::Files;

/// A kind of identity that a role accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A signature by an SSH key that a file names.
    Ssh(Arc<ssh::Signers>),
    /// An ID token of an identity provider.
    Oidc(Arc<oidc::Issuer>),
}

/// A [`Rule`] in the form of the policy file.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum RuleFile {
    Ssh(ssh::SignersFile),
    Oidc(oidc::IssuerFile),
}

impl Rule {
    /// Checks a rule of a policy, and reads the files that it names.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence.
    pub(crate) fn read(file: RuleFile, files: &mut dyn Files) -> Result<Self, String> {
        match file {
            RuleFile::Ssh(file) => ssh::Signers::read(&file, files).map(|it| Self::Ssh(it.into())),
            RuleFile::Oidc(file) => oidc::Issuer::read(file, files).map(|it| Self::Oidc(it.into())),
        }
    }
}

/// Removes `ending` from each name. Names with another ending are left out.
pub(crate) fn without_ending(names: Vec<String>, ending: Option<&str>) -> Vec<String> {
    let Some(ending) = ending else {
        return names;
    };
    let cut = |name: String| Some(name.strip_suffix(ending)?.to_owned());
    let cut = names.into_iter().filter_map(cut);
    cut.filter(|name| !name.is_empty()).collect()
}

/// Checks the ending that a rule cuts off, such as `@example.com`.
///
/// # Errors
///
/// What is wrong, as a sentence.
pub(crate) fn check_ending(ending: Option<&str>) -> Result<(), String> {
    match ending {
        Some(text) if !text.starts_with('@') || text.len() < 2 => Err(format!(
            "cut is the end of the names that is left out, such as \"@example.com\", and not {text:?}"
        )),
        _ => Ok(()),
    }
}
