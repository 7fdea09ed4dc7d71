//! A verifier's statement about a proof that it has checked, for people without tpmssh.

use serde::{Deserialize, Serialize};

use crate::Verified;

/// "I have checked a proof of this key, at this time."
///
/// A statement counts only with the verifier's signature: an SSHSIG over the bytes of the file, with the namespace
/// [`STATEMENT_NAMESPACE`](crate::STATEMENT_NAMESPACE).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Statement {
    /// `tpmssh-statement-v1`.
    format: String,
    /// The key, as in `authorized_keys`, without a comment.
    pub key: String,
    /// `born-here`: the TPM made it and it cannot leave.
    pub origin: String,
    /// `counter`, `lockout` or `none`.
    pub wall: String,
    /// The Name of the TPM's endorsement key, in hexadecimal.
    pub ek_name: String,
    /// How the verifier knew the TPM: A, B, C or D (see [`Mode`](crate::Mode)).
    pub mode: String,
    /// Maker, model and version from the maker's certificate; empty if no certificate was checked.
    pub maker: String,
    /// The time of the challenge that the TPM answered, in seconds since 1970.
    pub verified: u64,
    /// The end of the statement's validity, in seconds since 1970.
    pub expires: u64,
    /// The hash of the request, in hexadecimal.
    pub request: String,
}

impl Statement {
    /// A statement of `verified` that is valid until `expires` (seconds since 1970).
    #[must_use]
    pub fn new(verified: &Verified, expires: u64) -> Self {
        let maker = verified
            .maker
            .as_ref()
            .map(|maker| format!("{} {} {}", maker.manufacturer, maker.model, maker.version));
        Self {
            format: "tpmssh-statement-v1".to_owned(),
            key: verified.key.line(""),
            origin: verified.origin.name().to_owned(),
            wall: verified.wall.name().to_owned(),
            ek_name: verified.ek_name.to_string(),
            mode: verified.mode.name().to_owned(),
            maker: maker.unwrap_or_default(),
            verified: verified.issued,
            expires,
            request: base16ct::lower::encode_string(&verified.request),
        }
    }
}
