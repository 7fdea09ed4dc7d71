//! The verifier's report about a proof.

use std::fmt;

use key_proof::{Maker, Mode, Verified, Wall};
use serde::Serialize;
use ssh_format::time;

use crate::keys;
use crate::show::output::Facts;

/// The contents of an accepted proof.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    key: String,
    fingerprint: String,
    origin: &'static str,
    wall: &'static str,
    ek_name: String,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    maker: Option<MakerReport>,
    kind: &'static str,
    principals: Vec<String>,
    /// When the challenge was made, in seconds since 1970.
    proven: u64,
    request: String,
    #[serde(skip)]
    algorithm: &'static str,
    #[serde(skip)]
    wall_kind: Wall,
    #[serde(skip)]
    how: Mode,
}

#[derive(Debug, Serialize)]
pub(crate) struct MakerReport {
    manufacturer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    letters: Option<String>,
    model: String,
    version: String,
    issuer: String,
}

impl From<&Maker> for MakerReport {
    fn from(maker: &Maker) -> Self {
        Self {
            manufacturer: maker.manufacturer.clone(),
            letters: maker.letters(),
            model: maker.model.clone(),
            version: maker.version.clone(),
            issuer: maker.issuer.clone(),
        }
    }
}

impl fmt::Display for MakerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let maker = self.letters.as_ref().unwrap_or(&self.manufacturer);
        write!(f, "{maker} {} {}", self.model, self.version)
    }
}

impl From<&Verified> for Report {
    fn from(verified: &Verified) -> Self {
        Self {
            key: verified.key.line(""),
            fingerprint: verified.key.fingerprint().to_string(),
            origin: verified.origin.name(),
            wall: verified.wall.name(),
            ek_name: verified.ek_name.to_string(),
            mode: verified.mode.name(),
            maker: verified.maker.as_ref().map(MakerReport::from),
            kind: verified.kind.name(),
            principals: verified.principals.clone(),
            proven: verified.issued,
            request: base16ct::lower::encode_string(&verified.request),
            algorithm: verified.key.algorithm(),
            wall_kind: verified.wall,
            how: verified.mode,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("key", format!("{} {}", self.algorithm, self.fingerprint));
        facts.add("origin", keys::origin(tpm_core::Origin::Chip));
        facts.add(
            "PIN",
            match self.wall_kind {
                Wall::Counter => "counted by the chip, for this token alone",
                Wall::Lockout => "counted by the chip's lockout, which all programs share",
                Wall::None => "none: anyone who can use the TPM and has the store can use the key",
            },
        );
        if let Some(maker) = &self.maker {
            facts.add("TPM", maker);
        }
        facts.add("EK", &self.ek_name);
        facts.add(
            "known by",
            match self.how {
                Mode::A => "its maker's certificate and its Name (mode A)",
                Mode::B => "its Name (mode B)",
                Mode::C => "its maker's certificate (mode C)",
                Mode::D => "nothing: it may be a program that plays a TPM (mode D)",
            },
        );
        if !self.principals.is_empty() {
            facts.add(
                "for",
                format!("{} {}", self.kind, self.principals.join(", ")),
            );
        }
        facts.add("proven", time::in_words(self.proven));
        facts.fmt(f)
    }
}
