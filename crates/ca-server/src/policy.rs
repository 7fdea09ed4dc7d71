//! The authority's rules: `policy.toml`. A file with a mistake is refused as a whole.

mod network;
mod role;
mod span;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use key_proof::Anchors;
use serde::Deserialize;
use ssh_format::AnyKey;

pub use crate::files::Files;
use crate::identity::{Rule, oidc::Remote};

pub use network::Network;
use role::RoleFile;
pub use role::{Rebind, Role, is_principal};
pub use span::{in_words, seconds};

/// The longest policy that is read, in bytes.
pub const MAX_POLICY_LEN: usize = 1024 * 1024;

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
#[error("{where_}: {why}")]
pub struct PolicyError {
    /// The place in the file, such as `role.web-host`.
    where_: String,
    why: String,
}

fn wrong<T>(where_: impl Into<String>, why: impl ToString) -> Result<T, PolicyError> {
    Err(PolicyError {
        where_: where_.into(),
        why: why.to_string().trim_end().to_owned(),
    })
}

/// The rules, after they were checked.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The authority's own name, which each proof has to contain.
    pub audience: String,
    /// The address of the service.
    pub listen: Listen,
    /// The address of the metrics, if the policy has one.
    pub metrics: Option<SocketAddr>,
    /// The makers' certificates, if a role needs them.
    pub anchors: Anchors,
    /// The SHA-256 of each certificate in `anchors`.
    trusted: BTreeSet<[u8; 32]>,
    /// The letters of the makers that are accepted; empty for all.
    pub manufacturers: Vec<String>,
    /// Whether expired certificates are accepted.
    pub ignore_expiry: bool,
    /// The authority's keys.
    pub ca: CaKeys,
    roles: BTreeMap<String, Role>,
}

/// The address of the service, and its TLS certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// A file with the TLS certificate and its intermediate certificates (PEM).
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// A file with the key of the TLS certificate (PEM).
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The proxies whose `X-Forwarded-For` is trusted.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
}

/// The authority's keys.
#[derive(Debug, Clone)]
pub struct CaKeys {
    /// Where the private halves are.
    pub place: CaPlace,
    /// The key that signs user certificates.
    pub user: AnyKey,
    /// The key that signs host certificates.
    pub host: AnyKey,
}

/// Where the private halves of the authority's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaPlace {
    /// In the agent at this socket, which may use a TPM or another device.
    Agent(PathBuf),
    /// In a token of the store, and so in the TPM of this machine.
    Token(TokenPlace),
    /// In the memory of this process. The keys are in this file, which the TPM of this machine opens when the node starts.
    Sealed(PathBuf),
}

impl CaPlace {
    /// The word that `tpmssh-ca ca list` shows.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Token(_) => "TPM",
            Self::Sealed(_) => "in memory",
        }
    }
}

/// A token of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPlace {
    /// Its label or serial number.
    pub label: String,
    /// The directory of the store; `None` for the user's.
    pub store: Option<PathBuf>,
    /// The file with its PIN, or the name of a credential of systemd; `None` for a token without a PIN.
    pub pin: Option<PathBuf>,
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
    agent: Option<PathBuf>,
    token: Option<String>,
    sealed: Option<PathBuf>,
    store: Option<PathBuf>,
    pin: Option<PathBuf>,
    user: String,
    host: String,
}

impl Policy {
    /// Reads a policy, and the files that it names.
    ///
    /// # Errors
    ///
    /// The first mistake.
    pub fn parse(text: &str, files: &mut dyn Files) -> Result<Self, PolicyError> {
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
            if let Err(why) = files.roots(path, &mut anchors) {
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
        let place = ca_place(&file.ca)?;
        let mut roles = BTreeMap::new();
        for (name, role) in file.role {
            let role = role.check(&name, !file.ek.roots.is_empty(), files)?;
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
            ca: CaKeys { place, user, host },
            roles,
        })
    }

    /// The role with this name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// Whether the certificate with this SHA-256 is in `anchors`.
    #[must_use]
    pub fn trusts(&self, fingerprint: &[u8]) -> bool {
        self.trusted.contains(fingerprint)
    }

    /// The keys of identity providers that are fetched from addresses.
    #[must_use]
    pub fn remotes(&self) -> Vec<Arc<Remote>> {
        let rules = self.roles().flat_map(|role| &role.identities);
        let remotes = rules.filter_map(|rule| match rule {
            Rule::Oidc(issuer) => issuer.remote(),
            Rule::Ssh(_) => None,
        });
        remotes.cloned().collect()
    }

    /// All roles, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }
}

/// Refuses an address that other machines reach without TLS: others on the network could read join tokens and answer instead of the authority.
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

fn ca_place(file: &CaFile) -> Result<CaPlace, PolicyError> {
    let (store, pin) = (file.store.clone(), file.pin.clone());
    let place = match (&file.agent, &file.token, &file.sealed) {
        (None, Some(label), None) => {
            let label = label.clone();
            return Ok(CaPlace::Token(TokenPlace { label, store, pin }));
        }
        (Some(agent), None, None) => CaPlace::Agent(agent.clone()),
        (None, None, Some(sealed)) => CaPlace::Sealed(sealed.clone()),
        _ => {
            return wrong(
                "ca",
                "the keys are in one place: either agent, token or sealed",
            );
        }
    };
    if store.is_some() || pin.is_some() {
        return wrong(
            "ca",
            "store and pin are those of a token, and there is none",
        );
    }
    Ok(place)
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

#[cfg(test)]
mod tests;
