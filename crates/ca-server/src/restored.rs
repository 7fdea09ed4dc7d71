//! Compares the registry with the audit log, which is newer after the registry was restored from a backup.
//!
//! The row of a certificate is on the disk before its line in the audit log. So if the log has a certificate that the registry lacks, the
//! registry is older than the log. The same holds for revocations.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use key_proof::Name;
use serde_json::Value;
use ssh_format::{AnyKey, Fingerprint};

use crate::Refusal;
use crate::admin::token_id;
use crate::registry::{Noted, NotedRevocation, Registry};

/// How much of the end of the log is read when a node starts, in bytes: some thousand lines.
const TAIL: u64 = 1024 * 1024;
/// Certificates older than this, in seconds, are not looked up: an administrator may have dropped them from the registry.
const KEPT: u64 = 30 * 24 * 60 * 60;
/// How far the clocks of nodes may differ, in seconds.
const SKEW: u64 = 10 * 60;

/// An entry of the audit log that the registry does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// A certificate was issued.
    Certificate {
        /// Its serial number.
        serial: u64,
        /// When it was issued, in seconds since 1970.
        time: u64,
    },
    /// A device was revoked.
    Revocation {
        /// The Name of its endorsement key.
        ek_name: Name,
        /// When it was revoked, in seconds since 1970.
        time: u64,
    },
    /// A key of the authority was retired.
    Retirement {
        /// Its fingerprint.
        key: String,
        /// When it was retired, in seconds since 1970.
        time: u64,
    },
    /// A join token was withdrawn.
    Withdrawal {
        /// The id of the token.
        token: String,
        /// When it was withdrawn, in seconds since 1970.
        time: u64,
    },
    /// A key was enrolled that waits for an administrator's approval.
    Waiting {
        /// The Name of the device's endorsement key.
        ek_name: Name,
        /// When it was enrolled, in seconds since 1970.
        time: u64,
    },
}

/// What the audit log has about the time after the backup.
#[derive(Debug, Default)]
pub struct Since {
    /// All revocations and retirements in the log, also those before the backup.
    pub noted: Noted,
    /// How many certificates the registry does not know.
    pub certificates: u64,
    /// The devices that have enrolled since with a key that the registry does not know: the Name of the endorsement key, and role and name.
    pub enrolled: BTreeMap<String, String>,
    /// The numbers of the keys that were approved since.
    pub approved: Vec<String>,
    /// How many imports were made since.
    pub imports: u64,
    /// How many revocations in the log do not name the TPM, because an older version wrote them.
    pub nameless: u64,
}

/// A line of the log.
struct Line(Value);

impl Line {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn event(&self) -> &str {
        self.text("event")
    }

    fn time(&self) -> u64 {
        self.0["time"].as_u64().unwrap_or(0)
    }

    /// The serial number of a certificate that was issued.
    fn serial(&self) -> Option<u64> {
        self.text("serial").parse().ok()
    }

    /// The device that was revoked.
    fn revoked(&self) -> Option<Name> {
        (self.event() == "revoke").then(|| self.ek_name()).flatten()
    }

    fn ek_name(&self) -> Option<Name> {
        Name::from_hex(self.text("ek")).ok()
    }

    fn key(&self) -> Option<Fingerprint> {
        Fingerprint::from_text(self.text("key"))
    }
}

fn each(
    log: impl BufRead,
    mut what: impl FnMut(Line) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    for line in log.split(b'\n') {
        let line = line.map_err(unreadable)?;
        // Incomplete lines are skipped: the first one that is read may be cut, and the last one may not have been written completely.
        if let Ok(value) = serde_json::from_slice(&line) {
            what(Line(value))?;
        }
    }
    Ok(())
}

fn unreadable(err: io::Error) -> Refusal {
    Refusal::Unavailable(format!("the audit log cannot be read: {err}").into())
}

/// An entry in the audit log at `path` that the registry does not know. Only the last entry of each kind is looked up. `None` if the registry knows
/// all of them, and if there is no log.
///
/// # Errors
///
/// [`Refusal::Unavailable`], also if the log cannot be read.
pub fn unknown(path: &Path, registry: &dyn Registry, now: u64) -> Result<Option<Unknown>, Refusal> {
    let mut file = match File::open(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(unreadable)?,
    };
    let len = file.metadata().map_err(unreadable)?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))
        .map_err(unreadable)?;
    let (mut certificate, mut revocation, mut retirement) = (None, None, None);
    let (mut withdrawal, mut waiting) = (None, None);
    each(BufReader::new(file.take(TAIL)), |line| {
        if line.event() == "restored" {
            (certificate, revocation, retirement) = (None, None, None);
            (withdrawal, waiting) = (None, None);
        } else if line.event() == "join-token-revoke" {
            withdrawal = Some((line.text("token").to_owned(), line.time()));
        } else if line.event() == "enrol" && !line.text("pending").is_empty() {
            waiting = line.ek_name().zip(line.key()).map(|it| (it, line.time()));
        } else if line.event() == "ca-retire" {
            retirement = Some((line.text("key").to_owned(), line.time()));
        } else if let Some(serial) = line.serial() {
            certificate = Some((serial, line.time()));
        } else if let Some(ek_name) = line.revoked() {
            revocation = Some((ek_name, line.time()));
        }
        Ok(())
    })?;
    if let Some((ek_name, time)) = revocation {
        let standing = registry.standing(&ek_name)?;
        if !standing.is_some_and(|it| it.revoked) {
            return Ok(Some(Unknown::Revocation { ek_name, time }));
        }
    }
    if let Some((key, time)) = retirement
        && let Some(print) = Fingerprint::from_text(&key)
        && !not_retired(registry, &[print])?.is_empty()
    {
        return Ok(Some(Unknown::Retirement { key, time }));
    }
    if let Some((serial, time)) = certificate
        && now.saturating_sub(time) < KEPT
        && !registry.has_issued(serial, time)?
    {
        return Ok(Some(Unknown::Certificate { serial, time }));
    }
    if let Some((token, time)) = withdrawal
        && registry
            .join_tokens(now)?
            .iter()
            .any(|it| token_id(it) == token)
    {
        return Ok(Some(Unknown::Withdrawal { token, time }));
    }
    if let Some(((ek_name, key), time)) = waiting
        && !has_brought(registry, &ek_name, None, key)?
    {
        return Ok(Some(Unknown::Waiting { ek_name, time }));
    }
    Ok(None)
}

/// What the audit log at `path` has, and the registry may not know.
///
/// # Errors
///
/// [`Refusal::Unavailable`], also if the log cannot be read.
pub fn since(path: &Path, registry: &dyn Registry) -> Result<Since, Refusal> {
    let backup = registry.last_seen()?.saturating_sub(SKEW);
    let file = File::open(path).map_err(unreadable)?;
    let mut since = Since::default();
    let mut keys: BTreeMap<String, BTreeSet<Fingerprint>> = BTreeMap::new();
    each(BufReader::new(file), |line| {
        let time = line.time();
        let is_in = line.serial().is_some() || !line.text("pending").is_empty();
        let has_key = match line.event() {
            "enrol" => time >= backup && is_in,
            event => event == "revoke-key",
        };
        if let (true, Some(key)) = (has_key, line.key()) {
            keys.entry(line.text("ek").to_owned())
                .or_default()
                .insert(key);
        }
        match line.event() {
            "revoke" => match line.revoked() {
                Some(ek_name) => since.noted.revocations.push(NotedRevocation {
                    ek_name,
                    reason: line.text("reason").to_owned(),
                    made: time,
                    by: line.text("by").to_owned(),
                    keys: BTreeSet::new(),
                }),
                None => since.nameless += 1,
            },
            "ca-retire" => since.noted.retired.extend(line.key()),
            _ if time < backup => {}
            "approve" => since.approved.push(line.text("pending").to_owned()),
            "import" => since.imports += 1,
            event => {
                if let Some(serial) = line.serial()
                    && !registry.has_issued(serial, time)?
                {
                    since.certificates += 1;
                    if event == "enrol"
                        && let Some((ek, key)) = line.ek_name().zip(line.key())
                        && !has_brought(registry, &ek, Some(line.text("role")), key)?
                    {
                        let of = format!("{} {}", line.text("role"), line.text("name"));
                        since.enrolled.insert(line.text("ek").to_owned(), of);
                    }
                }
            }
        }
        Ok(())
    })?;
    for one in &mut since.noted.revocations {
        let of = keys.get(&one.ek_name.to_string());
        one.keys = of.cloned().unwrap_or_default();
    }
    Ok(since)
}

/// The authority's keys with these fingerprints that are in the registry and not retired: their numbers and fingerprints.
///
/// # Errors
///
/// [`Refusal::Unavailable`].
pub fn not_retired(
    registry: &dyn Registry,
    fingerprints: &[Fingerprint],
) -> Result<Vec<(i64, Fingerprint)>, Refusal> {
    let mut found = Vec::new();
    for key in registry.ca_keys()?.keys {
        let public = AnyKey::from_blob(&key.public);
        let fingerprint = public
            .map_err(|err| Refusal::Unavailable(err.into()))?
            .fingerprint();
        if key.state != "retired" && fingerprints.contains(&fingerprint) {
            found.push((key.id, fingerprint));
        }
    }
    Ok(found)
}

/// Whether the registry has this key of the device, in this role or (without `role`) in any.
fn has_brought(
    registry: &dyn Registry,
    ek_name: &Name,
    role: Option<&str>,
    key: Fingerprint,
) -> Result<bool, Refusal> {
    let keys = registry.device_keys(ek_name)?;
    let is_it = |(of, blob): &(String, Vec<u8>)| {
        role.is_none_or(|it| it == of) && Fingerprint::of_blob(blob) == key
    };
    Ok(keys.iter().any(is_it))
}
