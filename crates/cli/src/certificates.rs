//! OpenSSH certificates as a person sees them.

pub(crate) mod authorities;
pub(crate) mod options;
pub(crate) mod revocations;
pub(crate) mod validity;

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use ssh_format::text::shown;
use ssh_format::{CertOption, Certificate, CertificateKind, CertificateState};
use token_store::{SshCertificate, SshCertificateId, Store, Token};

use crate::app::App;
use crate::fail::error::CertificateError;
use crate::keys;
use crate::show::date;
use crate::show::output::{Facts, tell};
use crate::show::style::Tone;

/// The state of a certificate at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    Valid,
    NotYetValid,
    Expired,
    /// The clock is before the time at which the certificate was stored.
    ClockSuspect,
}

impl State {
    /// The state at `now` of a certificate that was stored at `seen`.
    pub(crate) fn at(certificate: &Certificate, seen: u64, now: u64) -> Self {
        if now < seen {
            return Self::ClockSuspect;
        }
        match certificate.state(now) {
            CertificateState::Valid => Self::Valid,
            CertificateState::NotYetValid => Self::NotYetValid,
            CertificateState::Expired => Self::Expired,
        }
    }

    /// The state in a word or two, for a column.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::NotYetValid => "not yet valid",
            Self::Expired => "expired",
            Self::ClockSuspect => "clock suspect",
        }
    }

    /// Its colour.
    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Valid => Tone::Good,
            Self::NotYetValid | Self::ClockSuspect => Tone::Warning,
            Self::Expired => Tone::Bad,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClockSuspect => "clock suspect: it is before the time when this came here",
            state => state.word(),
        })
    }
}

/// The contents of a certificate.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Contents {
    pub(crate) state: State,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) key_id: String,
    /// As text, because many JSON readers have no exact 64-bit numbers.
    pub(crate) serial: String,
    /// Empty means any.
    pub(crate) principals: Vec<String>,
    /// Seconds since 1970; 0 is always.
    valid_after: u64,
    /// Seconds since 1970; null is for ever.
    pub(crate) valid_before: Option<u64>,
    critical_options: Vec<String>,
    extensions: Vec<String>,
    /// The fingerprint of the key that it is for.
    pub(crate) key_fingerprint: String,
    /// The fingerprint of the key that signed it.
    authority: String,
}

impl Contents {
    pub(crate) fn of(certificate: &Certificate, state: State) -> Self {
        Self {
            state,
            kind: kind_name(certificate.kind()),
            key_id: certificate.key_id().to_owned(),
            serial: certificate.serial().to_string(),
            principals: certificate.principals().to_vec(),
            valid_after: certificate.valid_after(),
            valid_before: Some(certificate.valid_before()).filter(|&end| end != u64::MAX),
            critical_options: options(certificate.critical_options()),
            extensions: options(certificate.extensions()),
            key_fingerprint: certificate.key_fingerprint().to_string(),
            authority: certificate.authority().fingerprint().to_string(),
        }
    }

    /// Its principals.
    pub(crate) fn names(&self) -> String {
        match self.principals.as_slice() {
            [] => "any".to_owned(),
            some => some.join(", "),
        }
    }

    /// When it ends.
    pub(crate) fn until(&self) -> String {
        let until = self.valid_before.map(date::in_words);
        until.unwrap_or_else(|| "without an end".to_owned())
    }

    /// Its lines for a person.
    pub(crate) fn describe(&self, facts: &mut Facts) {
        facts.add("state", self.state);
        facts.add("type", self.kind);
        facts.add("key id", &self.key_id);
        facts.add("serial", &self.serial);
        facts.add("principals", self.names());
        facts.add("valid", valid(self.valid_after, self.valid_before));
        for option in &self.critical_options {
            facts.add("critical", option);
        }
        for extension in &self.extensions {
            facts.add("extension", extension);
        }
        facts.add("key", &self.key_fingerprint);
        facts.add("authority", &self.authority);
    }
}

/// `user` or `host`.
pub(crate) fn kind_name(kind: CertificateKind) -> &'static str {
    match kind {
        CertificateKind::User => "user",
        CertificateKind::Host => "host",
    }
}

/// `from … to …`.
fn valid(after: u64, before: Option<u64>) -> String {
    let until = before.map(date::in_words);
    match (after, until) {
        (0, None) => "always".to_owned(),
        (0, Some(until)) => format!("until {until}"),
        (after, None) => format!("from {}, without an end", date::in_words(after)),
        (after, Some(until)) => format!("from {} to {until}", date::in_words(after)),
    }
}

/// `name` or `name=value`. A value that is not text is shown as its length.
fn options(options: &[CertOption]) -> Vec<String> {
    let describe = |option: &CertOption| match (option.value(), option.data().len()) {
        (_, 0) => option.name().to_owned(),
        (Some(value), _) => format!("{}={value}", option.name()),
        (None, len) => format!("{} ({len} bytes)", option.name()),
    };
    options.iter().map(describe).collect()
}

/// A certificate of the store.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kept {
    /// The number by which commands name it.
    pub(crate) number: i64,
    /// The label of its token.
    pub(crate) token: String,
    /// The label of its key.
    pub(crate) key: String,
    #[serde(flatten)]
    pub(crate) contents: Contents,
    #[serde(skip)]
    pub(crate) id: SshCertificateId,
    /// The line for a file.
    pub(crate) certificate: String,
}

impl Kept {
    /// The headline of its description.
    pub(crate) fn title(&self) -> String {
        format!(
            "certificate {} of key \"{}\"",
            self.number,
            shown(&self.key)
        )
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        self.contents.describe(&mut facts);
        facts.fmt(f)
    }
}

/// The certificates of `token`, oldest first. Says which ones cannot be read, and leaves them out.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn of_token(store: &Store, token: &Token) -> Result<Vec<Kept>> {
    let keys = keys::of_token(store, token)?;
    let now = date::now();
    let kept = |row: SshCertificate| {
        let key = keys.iter().find(|key| key.object == row.object)?;
        let number = row.id.get();
        let certificate = Certificate::from_blob(&row.certificate)
            .inspect_err(|err| tell(&format!("tpmssh: certificate {number} is hidden: {err}")))
            .ok()?;
        Some(Kept {
            number,
            token: token.label.clone(),
            key: key.label.clone(),
            contents: Contents::of(&certificate, State::at(&certificate, row.created, now)),
            id: row.id,
            certificate: certificate.line(&row.comment),
        })
    };
    let rows = store.ssh_certificates(token.id)?;
    Ok(rows.into_iter().filter_map(kept).collect())
}

/// The certificates of the tokens that are meant.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn all(app: &App) -> Result<Vec<Kept>> {
    let store = app.store()?;
    let mut all = Vec::new();
    for token in app.some_tokens(&store)? {
        all.extend(of_token(&store, &token)?);
    }
    Ok(all)
}

/// The one certificate with this number or key id.
///
/// # Errors
///
/// If there is none or more than one.
pub(crate) fn find(all: Vec<Kept>, name: &str) -> Result<Kept> {
    let is_called = |it: &Kept| it.number.to_string() == name || it.contents.key_id == name;
    let mut found = all.into_iter().filter(is_called);
    let name = || shown(name);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(CertificateError::AmbiguousCertificate { name: name() }.into()),
        (None, _) => Err(CertificateError::NoSuchCertificate { name: name() }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_limit_are_told_as_such() {
        assert_eq!(valid(0, None), "always");
        assert_eq!(valid(0, Some(60)), "until 1970-01-01 00:01:00 UTC");
        assert_eq!(
            valid(60, None),
            "from 1970-01-01 00:01:00 UTC, without an end"
        );
    }

    /// Valid in the year 2027; made with `ssh-keygen -s`.
    const OF_2027: &str = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIF3KwwtRXQ1q1K1u+/tUwUfAIpN6JBtd3zZlPAVUPj9xAAAAIDJd+k5Gg5ekaNIel/oUDsEgFhTvXa2OH33hAGlQFZF7AAAAAAAAAAAAAAABAAAABGFubmEAAAAIAAAABGFubmEAAAAAazbsgAAAAABtGCAAAAAAAAAAAIIAAAAVcGVybWl0LVgxMS1mb3J3YXJkaW5nAAAAAAAAABdwZXJtaXQtYWdlbnQtZm9yd2FyZGluZwAAAAAAAAAWcGVybWl0LXBvcnQtZm9yd2FyZGluZwAAAAAAAAAKcGVybWl0LXB0eQAAAAAAAAAOcGVybWl0LXVzZXItcmMAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAgqM9kEMXpTmpZF5Pwl0M8mvddrlAOTKUZtXaccSBRIPcAAABTAAAAC3NzaC1lZDI1NTE5AAAAQHfVA/gKWuVC53AQRnLw69puEVupA1lxGcLA1Bf50R+59pCFWFC8u5AypjUu94YhcyzubXdc3XB2MBwztLDa4AA= anna";

    #[test]
    fn the_state_depends_on_the_clock_unless_that_runs_backwards() {
        let (certificate, _) = Certificate::from_line(OF_2027).unwrap();
        let year = 1_798_761_600;
        let seen = year - 100;
        for (now, state) in [
            (seen, State::NotYetValid),
            (year, State::Valid),
            (year + 366 * 86_400, State::Expired),
            (seen - 1, State::ClockSuspect),
        ] {
            assert_eq!(State::at(&certificate, seen, now), state, "{now}");
        }
    }
}
