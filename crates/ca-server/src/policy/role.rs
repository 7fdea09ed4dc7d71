//! Roles: what a certificate of a kind of machine or person contains, and what is needed to get it.

use key_proof::{Kind, Mode, Wall};
use serde::Deserialize;

use super::network::Network;
use super::{Files, PolicyError, seconds, wrong};
use crate::identity::{self, Rule};

/// The longest validity of a certificate, in seconds: a year.
const MAX_TTL: u64 = 366 * 24 * 60 * 60;

/// A role: one kind of machine or person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The name of the role.
    pub name: String,
    /// Host or user.
    pub kind: Kind,
    /// How the TPM is known.
    pub mode: Mode,
    /// The weakest wall that is accepted.
    pub wall: Wall,
    /// The principals of a certificate, with `{name}` or `{identity}` for the name in the registry.
    principals: Vec<String>,
    /// Principals that no certificate gets.
    deny_principals: Vec<String>,
    /// The validity of a certificate, in seconds.
    pub ttl: u64,
    /// Whether an administrator has to approve the first key.
    pub approve_first: bool,
    /// What a new key needs if the device has a key in this role already.
    pub rebind: Rebind,
    /// The identities that are accepted instead of a join token. If there are any, a key that is new to the role needs one of them or a join token.
    pub identities: Vec<Rule>,
    /// The addresses from which a user certificate can be used: the critical option `source-address`.
    pub source_address: Vec<String>,
    /// The extensions of user certificates, such as `permit-pty`.
    pub extensions: Vec<String>,
    /// The names of the key types that are accepted; empty for all.
    pub key_types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleFile {
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
    rebind: Rebind,
    #[serde(default)]
    identity: Vec<identity::RuleFile>,
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

/// What a new key needs before it replaces the key that the device has in a role. A join token is enough in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rebind {
    /// An administrator's approval.
    #[default]
    Approve,
    /// A signature by the key that it replaces; without one, an administrator's approval.
    OldKey,
    /// Nothing.
    Auto,
}

/// The extensions of OpenSSH for users (PROTOCOL.certkeys).
pub(super) const EXTENSIONS: [&str; 6] = [
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// The names of key types in a policy, and in SSH.
pub(super) const KEY_TYPES: [(&str, &str); 4] = [
    ("ecdsa-p256", "ecdsa-sha2-nistp256"),
    ("ecdsa-p384", "ecdsa-sha2-nistp384"),
    ("ecdsa-p521", "ecdsa-sha2-nistp521"),
    ("rsa", "ssh-rsa"),
];

impl RoleFile {
    /// The role, or the first mistake in it.
    pub(super) fn check(
        self,
        name: &str,
        has_roots: bool,
        files: &mut dyn Files,
    ) -> Result<Role, PolicyError> {
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
            if template.contains("{identity}") && self.identity.is_empty() {
                return wrong(
                    at,
                    "{identity} is for roles that take an identity; {name} is the name in a join token or import",
                );
            }
        }
        let mut identities = Vec::new();
        for (index, rule) in self.identity.into_iter().enumerate() {
            match Rule::read(rule, files) {
                Ok(rule) => identities.push(rule),
                Err(why) => return wrong(format!("{at}.identity[{index}]"), why),
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
        if let Some(bad) = self
            .source_address
            .iter()
            .find(|it| Network::parse(it).is_none())
        {
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
            rebind: self.rebind,
            identities,
            source_address: self.source_address,
            extensions: self.extensions,
            key_types,
        })
    }
}

impl Role {
    /// The principals that a certificate may have if the registry has `name`. The list is never empty. `None` if a template makes an invalid principal, or
    /// one that is denied.
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

/// The principal that a template makes of a name; `None` if it is invalid.
fn expand(template: &str, name: &str) -> Option<String> {
    let done = template.replace("{name}", name).replace("{identity}", name);
    is_principal(&done).then_some(done)
}

/// Whether this is a valid principal: 1 to 255 letters, digits and `. _ @ -`.
#[must_use]
pub fn is_principal(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(known)
}

fn is_word(text: &str) -> bool {
    is_principal(text) && !text.contains('@') && text.len() <= 64
}
