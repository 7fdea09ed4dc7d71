//! Certificates.

use key_proof::{Kind, Name};
use rand_core::{OsRng, RngCore};
use serde_json::json;
use ssh_format::{AnyKey, CertOption, Certificate, CertificateKind, CertificateRequest};

use super::Authority;
use crate::policy::{CaKeys as Own, Role};
use crate::registry::{Assignment, CaKeys, Signed};
use crate::signer::Signer;
use crate::{Refusal, Reply};

/// Certificates are valid from this many seconds before now, for machines whose clocks are behind.
const BACKDATED: u64 = 5 * 60;

/// The key that a certificate is for, and what the certificate says of it.
pub(super) struct Subject<'a> {
    pub(super) key: &'a AnyKey,
    pub(super) ek_name: &'a Name,
    pub(super) assignment: &'a Assignment,
    pub(super) principals: &'a [String],
    pub(super) mode: &'a str,
    pub(super) wall: &'a str,
}

impl Authority {
    /// Signs a certificate. Its row in the registry must be on the disk before the certificate leaves the node.
    pub(super) fn sign(
        &self,
        ca: &Own,
        role: &Role,
        subject: &Subject<'_>,
        now: u64,
    ) -> Result<Signed, Refusal> {
        let (authority, word, number) = match role.kind {
            Kind::Host => (&ca.host, "host", self.ca_ids.host),
            _ => (&ca.user, "user", self.ca_ids.user),
        };
        let unusable = |err: ssh_format::Error| Refusal::Signer(err.into());
        let mut nonce = [0; 32];
        OsRng.fill_bytes(&mut nonce);
        let unsigned = request(role, subject, word, now)
            .unsigned(&nonce, authority)
            .map_err(unusable)?;
        let signature = self.signer.sign(authority, unsigned.bytes())?;
        // Verifies the signature.
        let certificate = unsigned.signed(&signature);
        Ok(Signed {
            certificate: certificate.map_err(|err| {
                self.signer.disbelieve(authority);
                unusable(err)
            })?,
            ca: number,
        })
    }
}

fn request(role: &Role, subject: &Subject<'_>, word: &str, now: u64) -> CertificateRequest {
    let ek = subject.ek_name.to_string();
    let short = &ek[ek.len().saturating_sub(16)..];
    let Subject { mode, wall, .. } = subject;
    let name = &subject.assignment.name;
    let critical = match &role.source_address[..] {
        [] => Vec::new(),
        some => vec![CertOption::with_value("source-address", &some.join(","))],
    };
    let flags = role.extensions.iter().map(|it| CertOption::flag(it));
    let mut extensions: Vec<CertOption> = flags.collect();
    // An extension, because OpenSSH ignores unknown extensions but refuses unknown critical options.
    let value = format!("{ek} {mode} {wall}");
    extensions.push(CertOption::with_value("ek@tpmssh", &value));
    CertificateRequest {
        key: subject.key.clone(),
        serial: serial(),
        kind: match role.kind {
            Kind::Host => CertificateKind::Host,
            _ => CertificateKind::User,
        },
        key_id: format!(
            "v1 ek={short} role={} mode={mode} wall={wall} {word}={name}",
            role.name
        ),
        principals: subject.principals.to_vec(),
        valid_after: now.saturating_sub(BACKDATED),
        valid_before: now.saturating_add(role.ttl),
        critical_options: critical,
        extensions,
    }
}

/// A random serial number, but not 0, which means that a certificate has none.
fn serial() -> u64 {
    OsRng.next_u64().max(1)
}

/// The answer with the certificate. The machine may renew it when half of its life has passed.
pub(super) fn reply(blob: &[u8], keys: &CaKeys) -> Result<Reply, Refusal> {
    let certificate =
        Certificate::from_blob(blob).map_err(|err| Refusal::Unavailable(err.into()))?;
    let begin = certificate.valid_after().saturating_add(BACKDATED);
    let life = certificate.valid_before().saturating_sub(begin);
    let fields = json!({
        "format": "tpmssh-certificate-v1",
        "certificate": certificate.line(""),
        "renew_after": begin.saturating_add(life / 2),
        "valid_before": certificate.valid_before(),
        "ca_keys": {"number": keys.number, "users": keys.lines("user")?, "hosts": keys.lines("host")?},
        "krl_number": keys.krl_number,
    });
    Ok(Reply::Json(format!("{fields}\n")))
}
