//! The authority's rules: `policy.toml`, checked whole and refused whole.

mod span;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use key_proof::{Anchors, Kind, Mode, Wall};
use serde::Deserialize;
use ssh_format::AnyKey;

pub use span::{in_words, seconds};

/// The longest policy that is read, in bytes.
pub const MAX_POLICY_LEN: usize = 1024 * 1024;
/// The longest life of a certificate: a year.
const MAX_TTL: u64 = 366 * 24 * 60 * 60;

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
#[error("{where_}: {why}")]
pub struct PolicyError {
    /// Such as `role.web-host`.
    where_: String,
    why: String,
}

fn wrong<T>(where_: impl Into<String>, why: impl ToString) -> Result<T, PolicyError> {
    Err(PolicyError {
        where_: where_.into(),
        why: why.to_string().trim_end().to_owned(),
    })
}

/// The rules, checked.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The authority's own name, which proofs are made for.
    pub audience: String,
    /// Where it listens.
    pub listen: Listen,
    /// Where its counters are, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The makers' certificates, if a role needs them.
    pub anchors: Anchors,
    /// The SHA-256 of each of them.
    trusted: BTreeSet<[u8; 32]>,
    /// The letters of the makers that are taken; empty for all.
    pub manufacturers: Vec<String>,
    /// Whether certificates of makers that have expired are taken.
    pub ignore_expiry: bool,
    /// The authority's keys.
    pub ca: CaKeys,
    roles: BTreeMap<String, Role>,
}

/// Where the authority listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// A file with the TLS certificate and those between it and a root (PEM).
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// A file with the key of the TLS certificate (PEM).
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// The keys that certify. They are in an agent, and so in a TPM or another device.
#[derive(Debug, Clone)]
pub struct CaKeys {
    /// The agent's socket.
    pub agent: PathBuf,
    /// Certifies users.
    pub user: AnyKey,
    /// Certifies hosts.
    pub host: AnyKey,
}

/// One sort of machine or person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Host or user.
    pub kind: Kind,
    /// How the TPM is known.
    pub mode: Mode,
    /// The weakest wall that will do.
    pub wall: Wall,
    /// What a certificate may name, with `{name}` for the name that the registry has.
    principals: Vec<String>,
    /// What no certificate may name.
    deny_principals: Vec<String>,
    /// How long a certificate is good, in seconds.
    pub ttl: u64,
    /// Whether an administrator approves the first key.
    pub approve_first: bool,
    /// Whether an administrator approves another key of a device that has one.
    pub approve_rebind: bool,
    /// Where users may come from: the critical option `source-address`.
    pub source_address: Vec<String>,
    /// What users may do, such as `permit-pty`.
    pub extensions: Vec<String>,
    /// The names of the key types that are taken; empty for all.
    pub key_types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    version: u32,
    audience: String,
    listen: Listen,
    metrics: Option<MetricsFile>,
    #[serde(default)]
    ek: EkFile,
    ca: CaFile,
    role: BTreeMap<String, RoleFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsFile {
    address: SocketAddr,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct EkFile {
    #[serde(default)]
    roots: Vec<PathBuf>,
    #[serde(default)]
    manufacturers: Vec<String>,
    #[serde(default)]
    expiry: Expiry,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Expiry {
    #[default]
    Check,
    Ignore,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaFile {
    agent: PathBuf,
    user: String,
    host: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleFile {
    kind: KindWord,
    mode: ModeWord,
    #[serde(default)]
    wall: WallWord,
    principals: Vec<String>,
    #[serde(default)]
    deny_principals: Vec<String>,
    ttl: String,
    #[serde(default)]
    first: Approval,
    #[serde(default)]
    rebind: Approval,
    #[serde(default)]
    source_address: Vec<String>,
    #[serde(default)]
    extensions: Vec<String>,
    #[serde(default)]
    key_types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindWord {
    User,
    Host,
}

#[derive(Deserialize)]
enum ModeWord {
    A,
    B,
    C,
    D,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum WallWord {
    #[default]
    None,
    Lockout,
    Counter,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Approval {
    #[default]
    Approve,
    Auto,
}

/// The extensions of OpenSSH for users (PROTOCOL.certkeys).
const EXTENSIONS: [&str; 6] = [
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// The names of key types in a policy, and in SSH.
const KEY_TYPES: [(&str, &str); 4] = [
    ("ecdsa-p256", "ecdsa-sha2-nistp256"),
    ("ecdsa-p384", "ecdsa-sha2-nistp384"),
    ("ecdsa-p521", "ecdsa-sha2-nistp521"),
    ("rsa", "ssh-rsa"),
];

impl Policy {
    /// Reads a policy. `roots` reads the file or directory of makers' certificates that it names.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn parse(
        text: &str,
        mut roots: impl FnMut(&Path, &mut Anchors) -> Result<(), String>,
    ) -> Result<Self, PolicyError> {
        let file: PolicyFile = match toml::from_str(text) {
            Ok(file) => file,
            Err(err) => return wrong("policy", err),
        };
        if file.version != 1 {
            return wrong("version", "only version 1 is known");
        }
        if file.audience.is_empty() || file.audience.chars().any(char::is_control) {
            return wrong(
                "audience",
                "it has to be a word, such as the URL of the authority",
            );
        }
        check_listen(&file.listen)?;
        let mut anchors = Anchors::new();
        for path in &file.ek.roots {
            if let Err(why) = roots(path, &mut anchors) {
                return wrong("ek.roots", why);
            }
        }
        let (user, host) = (
            ca_key("ca.user", &file.ca.user)?,
            ca_key("ca.host", &file.ca.host)?,
        );
        if user == host {
            return wrong("ca", "users and hosts need two different keys");
        }
        let mut roles = BTreeMap::new();
        for (name, role) in file.role {
            let role = role.check(&name, !file.ek.roots.is_empty())?;
            roles.insert(name, role);
        }
        if roles.is_empty() {
            return wrong("role", "there is none");
        }
        Ok(Self {
            audience: file.audience,
            listen: file.listen,
            metrics: file.metrics.map(|it| it.address),
            trusted: anchors.iter().map(|it| it.fingerprint).collect(),
            anchors,
            manufacturers: file.ek.manufacturers,
            ignore_expiry: file.ek.expiry == Expiry::Ignore,
            ca: CaKeys {
                agent: file.ca.agent,
                user,
                host,
            },
            roles,
        })
    }

    /// The role with this name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// Whether the certificate with this SHA-256 is one of the makers' that are trusted.
    #[must_use]
    pub fn trusts(&self, fingerprint: &[u8]) -> bool {
        self.trusted.contains(fingerprint)
    }

    /// All roles, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }
}

/// Without TLS the network could read join tokens and answer in the authority's place.
fn check_listen(listen: &Listen) -> Result<(), PolicyError> {
    match (&listen.certificate, &listen.key) {
        (Some(_), Some(_)) => Ok(()),
        (None, None) if listen.address.ip().is_loopback() => Ok(()),
        (None, None) => wrong(
            "listen",
            "without certificate and key the address has to be one of this machine, such as 127.0.0.1",
        ),
        _ => wrong("listen", "certificate and key belong together"),
    }
}

fn ca_key(where_: &str, line: &str) -> Result<AnyKey, PolicyError> {
    match AnyKey::from_line(line.trim()) {
        Ok((key, _)) if key.algorithm() == "ssh-rsa" || key.algorithm().starts_with("ecdsa-") => {
            Ok(key)
        }
        Ok(_) => wrong(where_, "the key has to be ECDSA or RSA"),
        Err(err) => wrong(where_, err),
    }
}

impl RoleFile {
    fn check(self, name: &str, has_roots: bool) -> Result<Role, PolicyError> {
        let at = format!("role.{name}");
        if !is_word(name) {
            return wrong(at, "a role's name has letters, digits and - . _ in it");
        }
        let kind = match self.kind {
            KindWord::User => Kind::User,
            KindWord::Host => Kind::Host,
        };
        let mode = match self.mode {
            ModeWord::A => Mode::A,
            ModeWord::B => Mode::B,
            ModeWord::C => Mode::C,
            ModeWord::D => Mode::D,
        };
        if matches!(mode, Mode::A | Mode::C) && !has_roots {
            return wrong(at, "modes A and C need the makers' certificates (ek.roots)");
        }
        if self.principals.is_empty() {
            return wrong(
                at,
                "principals are missing: a certificate without any is good for all names",
            );
        }
        for template in &self.principals {
            if expand(template, "x").is_none() {
                return wrong(at, format!("principal {template:?} is none"));
            }
        }
        let ttl = match seconds(&self.ttl) {
            Ok(ttl) if (60..=MAX_TTL).contains(&ttl) => ttl,
            Ok(_) => return wrong(at, "ttl is between 1m and 366d"),
            Err(why) => return wrong(at, format!("ttl: {why}")),
        };
        if kind == Kind::Host && !(self.extensions.is_empty() && self.source_address.is_empty()) {
            return wrong(at, "extensions and source_address are for users");
        }
        if let Some(unknown) = self
            .extensions
            .iter()
            .find(|it| !EXTENSIONS.contains(&it.as_str()))
        {
            return wrong(at, format!("{unknown:?} is no extension of OpenSSH"));
        }
        if let Some(bad) = self.source_address.iter().find(|it| !is_network(it)) {
            return wrong(
                at,
                format!("{bad:?} is no address or network, such as 10.0.0.0/8"),
            );
        }
        let mut key_types = Vec::new();
        for word in &self.key_types {
            match KEY_TYPES.iter().find(|(short, _)| short == word) {
                Some((_, long)) => key_types.push((*long).to_owned()),
                None => {
                    return wrong(
                        at,
                        format!("{word:?} is no type of key, such as ecdsa-p256"),
                    );
                }
            }
        }
        Ok(Role {
            name: name.to_owned(),
            kind,
            mode,
            wall: match self.wall {
                WallWord::None => Wall::None,
                WallWord::Lockout => Wall::Lockout,
                WallWord::Counter => Wall::Counter,
            },
            principals: self.principals,
            deny_principals: self.deny_principals,
            ttl,
            approve_first: mode == Mode::D && self.first == Approval::Approve,
            approve_rebind: self.rebind == Approval::Approve,
            source_address: self.source_address,
            extensions: self.extensions,
            key_types,
        })
    }
}

impl Role {
    /// What a certificate may name if the registry has `name`: never empty; `None` if a template makes no name of it, or a name that is denied.
    #[must_use]
    pub fn principals(&self, name: &str) -> Option<Vec<String>> {
        let all: Option<Vec<String>> = self
            .principals
            .iter()
            .map(|template| expand(template, name))
            .collect();
        all.filter(|all| !all.iter().any(|it| self.deny_principals.contains(it)))
    }
}

/// A principal of a template.
fn expand(template: &str, name: &str) -> Option<String> {
    let done = template.replace("{name}", name);
    is_principal(&done).then_some(done)
}

/// Whether a certificate may name this: 1 to 255 letters, digits and `. _ @ -`.
#[must_use]
pub fn is_principal(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(known)
}

fn is_word(text: &str) -> bool {
    is_principal(text) && !text.contains('@') && text.len() <= 64
}

/// An address, or one with the length of a prefix.
fn is_network(text: &str) -> bool {
    use std::net::IpAddr;
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let Some(prefix) = prefix else {
        return true;
    };
    // In the highest bits of 128, as an IPv6 address has them.
    let (bits, most) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
    match prefix.parse::<u32>() {
        // OpenSSH refuses a network with bits after its prefix.
        Ok(len) if is_number && len <= most => bits.checked_shl(len).unwrap_or(0) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
