//! One object of a token, as a line and as several.

use anyhow::Result;
use serde::Serialize;
use ssh_format::text::shown;
use token_store::object::Body;
use token_store::{Object, Token};

use crate::certificates::Kept;
use crate::keys::{self, Key};
use crate::show::output::Facts;
use crate::show::style::Tone;

/// Characters of an id, and of a fingerprint after `SHA256:`, that a line has.
const ID_LEN: usize = 8;
const FINGERPRINT_LEN: usize = 12;

/// An object. In JSON the field `class` says of which kind: `key-pair`, `public-key`,
/// `certificate` (X.509), `ssh-certificate` or `data`.
#[derive(Debug, Serialize)]
#[serde(tag = "class", rename_all = "kebab-case")]
pub(super) enum Entry {
    KeyPair(Key),
    PublicKey(Key),
    Certificate {
        token: String,
        label: String,
        id: String,
    },
    SshCertificate(Kept),
    Data {
        token: String,
        label: String,
        application: String,
        private: bool,
    },
}

/// The columns of a line.
pub(super) struct Row {
    pub(super) label: String,
    pub(super) kind: &'static str,
    pub(super) of_type: String,
    pub(super) tone: Tone,
    pub(super) id: String,
    pub(super) fingerprint: String,
}

impl Entry {
    /// An object of `token`; `is_authority` if it is a key that signs certificates.
    ///
    /// # Errors
    ///
    /// If OpenSSH would not take such a key.
    pub(super) fn of_object(token: &Token, object: &Object, is_authority: bool) -> Result<Self> {
        if let Some(mut key) = Key::of(token, object)? {
            key.authority = is_authority;
            return Ok(if key.private {
                Self::KeyPair(key)
            } else {
                Self::PublicKey(key)
            });
        }
        let (token, label) = (token.label.clone(), object.label.clone());
        Ok(match &object.body {
            Body::Data { application, .. } => Self::Data {
                token,
                label,
                application: application.clone(),
                private: object.private,
            },
            _ => Self::Certificate {
                token,
                label,
                id: base16ct::lower::encode_string(&object.cka_id),
            },
        })
    }

    /// The label of its token.
    pub(super) fn token(&self) -> &str {
        match self {
            Self::KeyPair(Key { token, .. })
            | Self::PublicKey(Key { token, .. })
            | Self::SshCertificate(Kept { token, .. })
            | Self::Certificate { token, .. }
            | Self::Data { token, .. } => token,
        }
    }

    /// Its kind in a word or two.
    fn kind(&self) -> &'static str {
        match self {
            Self::KeyPair(key) if key.authority => "CA key",
            Self::KeyPair(key) if !key.signs() => "key, not for signing",
            Self::KeyPair(_) => "key",
            Self::PublicKey(_) => "public key",
            Self::Certificate { .. } => "X.509 certificate",
            Self::SshCertificate(_) => "SSH certificate",
            Self::Data { .. } => "data",
        }
    }

    /// The line for it.
    pub(super) fn row(&self) -> Row {
        let mut row = Row {
            label: String::new(),
            kind: self.kind(),
            of_type: String::new(),
            tone: Tone::Plain,
            id: String::new(),
            fingerprint: String::new(),
        };
        match self {
            Self::KeyPair(key) | Self::PublicKey(key) => {
                row.label.clone_from(&key.label);
                if key.is_imported() {
                    row.kind = if key.authority {
                        "CA key, imported"
                    } else {
                        "key, imported"
                    };
                }
                row.of_type.clone_from(&key.key_type);
                row.id = beginning(&key.id, ID_LEN);
                row.fingerprint = beginning(&key.fingerprint, "SHA256:".len() + FINGERPRINT_LEN);
            }
            Self::Certificate { label, id, .. } => {
                row.label.clone_from(label);
                row.id = beginning(id, ID_LEN);
            }
            Self::SshCertificate(kept) => {
                let contents = &kept.contents;
                row.label.clone_from(&contents.key_id);
                row.of_type = format!("{}, {}", contents.kind, contents.state.word());
                row.tone = contents.state.tone();
                row.id = kept.number.to_string();
                let of_key = &contents.key_fingerprint;
                row.fingerprint = beginning(of_key, "SHA256:".len() + FINGERPRINT_LEN);
            }
            Self::Data { label, .. } => row.label.clone_from(label),
        }
        row
    }

    /// The headline, and what follows it.
    pub(super) fn describe(&self) -> (String, Facts) {
        let mut facts = Facts::default();
        let kind = self.kind();
        let line = match self {
            Self::KeyPair(key) | Self::PublicKey(key) => {
                facts.add("id", &key.id);
                facts.add("fingerprint", &key.fingerprint);
                key.add_created(&mut facts);
                if let Some(origin) = key.origin {
                    facts.add("origin", keys::origin(origin));
                }
                key.add_usage(&mut facts);
                let (label, imported) = (shown(&key.label), key.imported());
                format!("{} {kind} \"{label}\"{imported}", key.key_type)
            }
            Self::Certificate { label, id, .. } => {
                facts.add("id", id);
                format!("{kind} \"{}\"", shown(label))
            }
            Self::SshCertificate(kept) => {
                kept.contents.describe(&mut facts);
                format!("SSH {}", kept.title())
            }
            Self::Data {
                label, application, ..
            } => {
                facts.add("application", application);
                format!("{kind} \"{}\"", shown(label))
            }
        };
        (line, facts)
    }
}

/// At most `len` characters of `text`.
fn beginning(text: &str, len: usize) -> String {
    text.chars().take(len).collect()
}
