//! The options that name an authority and the keys and certificates that are trusted.

use std::path::PathBuf;

use enroll::{Authorities, Server, Url};
use token_store::object::MAX_VALUE_LEN;
use tpm_core::ek::EkType;

use crate::files::{input_file, key_file};
use crate::options::{EkTypeArg, EndorsementAuthArgs};
use crate::proofs::identity::IdentityArgs;
use crate::proofs::identity::Source;

/// The options for an authority: what it asks for, and how it is recognized.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthorityArgs {
    #[command(flatten)]
    identity: IdentityArgs,

    /// The role, if several are possible
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// The authority's name in proofs (its address)
    #[arg(long, value_name = "WORD")]
    audience: Option<String>,

    /// A public key of the authority for users; may be given several times (those in its first answer, which are shown)
    #[arg(long, value_name = "FILE", requires = "host_ca")]
    user_ca: Vec<PathBuf>,

    /// A public key of the authority for hosts; may be given several times
    #[arg(long, value_name = "FILE", requires = "user_ca")]
    host_ca: Vec<PathBuf>,

    /// The certificates (PEM) that TLS trusts for it (those of the system)
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// The SHA-256 of the certificate that TLS trusts for it (tpmssh-ca tls show)
    #[arg(long, value_name = "HEX", value_parser = sha256, conflicts_with = "tls_ca")]
    tls_ca_sha256: Option<Sha256>,

    /// The endorsement key that identifies the TPM (the first with a certificate)
    #[arg(long, value_enum, value_name = "TYPE")]
    ek_type: Option<EkTypeArg>,

    #[command(flatten)]
    pub(crate) endorsement: EndorsementAuthArgs,
}

/// A SHA-256 of a certificate.
#[derive(Debug, Clone)]
struct Sha256([u8; 32]);

/// Reads 64 hexadecimal digits, with or without colons between the bytes, as openssl prints them.
fn sha256(text: &str) -> Result<Sha256, String> {
    let mut hash = [0; 32];
    match base16ct::mixed::decode(text.replace(':', ""), &mut hash) {
        Ok(whole) if whole.len() == 32 => Ok(Sha256(hash)),
        _ => Err("a SHA-256 has 64 hexadecimal digits".to_owned()),
    }
}

/// The contents of the files that the options name.
pub(crate) struct Chosen {
    pub(crate) server: Server,
    pub(crate) audience: String,
    pub(crate) identity: Source,
    pub(crate) role: Option<String>,
    /// The authority's keys that are trusted; `None` to trust those in the first answer.
    pub(crate) authorities: Option<Authorities>,
    pub(crate) tls_roots: Option<Vec<u8>>,
    pub(crate) ek_type: Option<EkType>,
}

impl AuthorityArgs {
    /// Whether an option is given that has no meaning without an authority.
    pub(crate) fn is_given(&self) -> bool {
        let mut files = self.user_ca.iter().chain(&self.host_ca);
        let words = [&self.audience, &self.role];
        self.identity.is_given()
            || files.next().is_some()
            || self.tls_ca.is_some()
            || words.iter().any(|it| it.is_some())
            || self.tls_ca_sha256.is_some()
            || self.ek_type.is_some()
    }

    /// Reads the files that the options name, for the authority at `url`.
    ///
    /// # Errors
    ///
    /// If a file or the address cannot be used.
    pub(crate) fn chosen(&self, url: &str) -> anyhow::Result<Chosen> {
        let url = Url::parse(url)?;
        let read = |path: &PathBuf| input_file::read(path, MAX_VALUE_LEN);
        let tls_roots = match &self.tls_ca_sha256 {
            Some(Sha256(hash)) => Some(enroll::pinned_root(&url, hash)?),
            None => self.tls_ca.as_ref().map(read).transpose()?,
        };
        let keys = |paths: &[PathBuf]| {
            let keys = paths.iter().map(|path| Ok(key_file::read_key(path)?.0));
            keys.collect::<anyhow::Result<Vec<_>>>()
        };
        let authorities = match (&self.user_ca[..], &self.host_ca[..]) {
            ([], []) => None,
            (users, hosts) => Some(Authorities::given(keys(users)?, keys(hosts)?)),
        };
        Ok(Chosen {
            audience: self
                .audience
                .clone()
                .unwrap_or_else(|| url.as_str().to_owned()),
            server: Server::new(url, tls_roots.as_deref())?,
            identity: self.identity.source()?,
            role: self.role.clone(),
            authorities,
            tls_roots,
            ek_type: self.ek_type.map(EkType::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_with_and_without_colons_and_has_nothing_but_digits() {
        let plain = "0f".repeat(32);
        for good in [plain.clone(), plain.to_uppercase(), "0f:".repeat(32)] {
            assert_eq!(sha256(&good).unwrap().0, [0x0f; 32], "{good}");
        }
        let with = |start: &str| format!("{start}{}", &plain[start.len()..]);
        for wrong in [
            with("+f"),
            with("0x"),
            with("é"),
            "0f".repeat(31),
            "0f".repeat(33),
        ] {
            assert!(sha256(&wrong).is_err(), "{wrong}");
        }
    }
}
