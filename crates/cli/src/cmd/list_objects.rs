//! `tpmssh list-objects`: keys, certificates and data.

use std::fmt::{self, Write};

use serde::Serialize;
use ssh_format::text::shown;
use token_store::object::Body;
use token_store::{Object, Token};

use crate::app::App;
use crate::keys::{self, Key, hex};
use crate::show::output::{Facts, escape, tell};

/// List keys, certificates and data, without asking the TPM
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(app: &App, _args: &Args) -> anyhow::Result<()> {
    let store = app.store()?;
    let mut report = Report(Vec::new());
    for token in app.some_tokens(&store)? {
        let objects = store.objects(token.id)?;
        for object in &objects {
            if !keys::is_shown_by_its_private_half(object, &objects) {
                report.0.push(Entry::new(&token, object)?);
            }
        }
        for refused in store.refused(token.id)? {
            tell(&format!(
                "tpmssh: key \"{}\" is refused and hidden: {}",
                shown(&refused.label),
                escape(&refused.reason)
            ));
        }
    }
    if report.0.is_empty() {
        tell("tpmssh: no objects");
    }
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Entry>);

#[derive(Debug, Serialize)]
#[serde(tag = "class", rename_all = "kebab-case")]
enum Entry {
    KeyPair(Key),
    PublicKey(Key),
    Certificate {
        token: String,
        label: String,
        id: String,
    },
    Data {
        token: String,
        label: String,
        application: String,
        private: bool,
    },
}

impl Entry {
    fn new(token: &Token, object: &Object) -> anyhow::Result<Self> {
        if let Some(key) = Key::of(token, object)? {
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
                id: hex(&object.cka_id),
            },
        })
    }

    fn token(&self) -> &str {
        match self {
            Self::KeyPair(Key { token, .. })
            | Self::PublicKey(Key { token, .. })
            | Self::Certificate { token, .. }
            | Self::Data { token, .. } => token,
        }
    }

    /// The headline, and what follows it.
    fn describe(&self) -> (String, Facts) {
        let mut facts = Facts::default();
        let line = match self {
            Self::KeyPair(key) | Self::PublicKey(key) => {
                facts.add("id", &key.id);
                facts.add("fingerprint", &key.fingerprint);
                let class = if key.private { "key" } else { "public key" };
                format!("{} {class} \"{}\"", key.key_type, shown(&key.label))
            }
            Self::Certificate { label, id, .. } => {
                facts.add("id", id);
                format!("certificate \"{}\"", shown(label))
            }
            Self::Data {
                label, application, ..
            } => {
                facts.add("application", application);
                format!("data \"{}\"", shown(label))
            }
        };
        (line, facts)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut token = None;
        for entry in &self.0 {
            if token != Some(entry.token()) {
                token = Some(entry.token());
                writeln!(f, "token \"{}\"", shown(entry.token()))?;
            }
            let (line, facts) = entry.describe();
            writeln!(f, "  {line}")?;
            let mut lines = String::new();
            write!(lines, "{facts}")?;
            for line in lines.lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}
