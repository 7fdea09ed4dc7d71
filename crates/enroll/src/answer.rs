//! The answers of an authority, and the check that a certificate is the one that was asked for.

use std::time::Duration;

use key_proof::Kind;
use serde::Deserialize;
use ssh_format::{AnyKey, Certificate, CertificateKind};
use ureq::http::StatusCode;

use crate::krl::SKEW;
use crate::{Authorities, Error, Result};

/// The longest validity of a certificate that is accepted, in seconds.
const MAX_LIFE: u64 = 366 * 24 * 60 * 60;

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) signature: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// A refusal, as a JSON document of problem details.
///
/// # Source
///
/// RFC 9457, with `code`.
#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: String,
}

impl Answer {
    /// The answer, unless it is a refusal.
    pub(crate) fn accepted(self) -> Result<Self> {
        match self.status.as_u16() {
            200 | 202 | 304 => Ok(self),
            410 => Err(Error::Gone),
            429 | 502..=504 => Err(Error::Busy {
                retry_after: self.retry_after,
            }),
            status => {
                let problem: Option<Problem> = serde_json::from_slice(&self.body).ok();
                let Some(problem) = problem.filter(|_| (400..500).contains(&status)) else {
                    return Err(Error::BadAnswer(format!("status {status}")));
                };
                Err(Error::Refused {
                    code: shortened(&problem.code, 32),
                    detail: shortened(&problem.detail, 256),
                })
            }
        }
    }
}

/// A text from the network, cut to `max` characters and without control characters.
fn shortened(text: &str, max: usize) -> String {
    let safe = text.chars().filter(|c| !c.is_control());
    safe.take(max).collect()
}

/// The certificate that an authority issued. Nothing of it is checked before [`Wanted::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Granted {
    /// The certificate.
    pub certificate: Certificate,
    /// When the certificate may be renewed, in seconds since 1970.
    pub renew_after: u64,
    /// The authority's keys, as its answer names them.
    pub authorities: Authorities,
}

#[derive(Deserialize)]
struct GrantedFile {
    format: String,
    certificate: String,
    renew_after: u64,
    ca_keys: KeysFile,
}

#[derive(Deserialize)]
struct KeysFile {
    number: u64,
    users: Vec<String>,
    hosts: Vec<String>,
}

#[derive(Deserialize)]
struct PendingFile {
    pending: i64,
}

/// Reads the answer to a proof or a renewal.
pub(crate) fn granted(answer: &Answer) -> Result<Granted> {
    if answer.status == StatusCode::ACCEPTED {
        let file: PendingFile = serde_json::from_slice(&answer.body).map_err(Error::bad)?;
        return Err(Error::Pending {
            number: file.pending,
        });
    }
    Granted::from_json(&answer.body)
}

impl Granted {
    /// Reads an answer with a certificate.
    ///
    /// # Errors
    ///
    /// [`Error::BadAnswer`].
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let file: GrantedFile = serde_json::from_slice(bytes).map_err(Error::bad)?;
        if file.format != "tpmssh-certificate-v1" {
            return Err(Error::BadAnswer("it is of another format".into()));
        }
        let (certificate, _) = Certificate::from_line(&file.certificate).map_err(Error::bad)?;
        let keys = &file.ca_keys;
        Ok(Self {
            certificate,
            renew_after: file.renew_after,
            authorities: Authorities::from_lines(&keys.users, &keys.hosts, keys.number)?,
        })
    }
}

/// What a certificate was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The key.
    pub key: &'a AnyKey,
    /// A user certificate or a host certificate.
    pub kind: Kind,
    /// The names that were asked for.
    pub principals: &'a [String],
}

impl Wanted<'_> {
    /// Checks that `certificate` is for this key, kind and these names, valid at `now` (seconds since 1970), and signed by a key in `trusted`.
    ///
    /// # Errors
    ///
    /// [`Error::NotTaken`].
    pub fn check(&self, certificate: &Certificate, trusted: &Authorities, now: u64) -> Result<()> {
        let kind = match self.kind {
            Kind::Host => CertificateKind::Host,
            _ => CertificateKind::User,
        };
        let (authority, allowed) = (certificate.authority(), self.principals);
        let names = certificate.principals();
        let life = certificate
            .valid_before()
            .saturating_sub(certificate.valid_after());
        let reasons = [
            (
                certificate.key() != self.key,
                "its certificate is for another key",
            ),
            (
                certificate.kind() != kind,
                "its certificate is of the other kind: of a user or of a host",
            ),
            // A certificate without names would be valid for every name.
            (
                names.is_empty() || !names.iter().all(|it| allowed.contains(it)),
                "its certificate has other names than those that were asked for",
            ),
            (
                !allowed.iter().all(|it| names.contains(it)),
                "its certificate lacks a name that was asked for",
            ),
            (
                certificate.valid_before() <= now,
                "its certificate has expired: see that the clock is right",
            ),
            (
                certificate.valid_after() > now.saturating_add(SKEW),
                "its certificate is not valid yet: see that the clock is right",
            ),
            (life > MAX_LIFE, "its certificate is good for over a year"),
            (
                !trusted.of(kind).contains(authority),
                "its certificate is not signed by the authority's key that is trusted",
            ),
            (
                certificate.verify().is_err(),
                "the signature in its certificate is wrong",
            ),
            (
                certificate.check_critical_options().is_err(),
                "its certificate has a critical option that is not known",
            ),
        ];
        match reasons.into_iter().find(|(fails, _)| *fails) {
            Some((_, why)) => Err(Error::NotTaken(why)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Certificates are valid from five minutes before they are made, and the check accepts five minutes more. So the clock of a machine may be
    /// ten minutes behind; if it is further behind, the error says to check the clock.
    #[test]
    fn a_certificate_is_taken_by_a_clock_that_is_ten_minutes_behind() {
        let answer = include_bytes!("../../../fuzz/seeds/krl_install/granted");
        let granted = Granted::from_json(answer).unwrap();
        let (certificate, trusted) = (&granted.certificate, &granted.authorities);
        let wanted = Wanted {
            key: certificate.key(),
            kind: Kind::User,
            principals: &["anna".to_owned()],
        };
        let (begin, end) = (certificate.valid_after(), certificate.valid_before());
        let early = "its certificate is not valid yet: see that the clock is right";
        let late = "its certificate has expired: see that the clock is right";
        for (now, refused) in [
            (begin - 301, Some(early)),
            (begin - 300, None),
            (end - 1, None),
            (end, Some(late)),
        ] {
            let checked = wanted.check(certificate, trusted, now);
            let said = checked.err().map(|err| err.to_string());
            let says = refused.map(|why| Error::NotTaken(why).to_string());
            assert_eq!(said, says, "{now}");
        }
    }
}
