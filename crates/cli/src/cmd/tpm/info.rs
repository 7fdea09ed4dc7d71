//! `tpmssh tpm info`: what the chip says about itself.

use std::fmt;

use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::info::{self, Info};
use tpm_core::{KeyType, Tcti};

use crate::app::App;
use crate::output::Facts;

/// Show what the TPM says about itself
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(app: &App, _args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let report = tpm
        .begin()
        .and_then(|op| {
            Ok(Report::new(
                tpm.tcti(),
                info::read(&op)?,
                &info::key_types(&op)?,
            ))
        })
        .map_err(StoreError::from)?;
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
struct Report {
    connection: String,
    manufacturer: String,
    model: String,
    firmware: String,
    spec_revision: String,
    spec_year: u32,
    emulated: bool,
    key_types: Vec<String>,
    owner: Hierarchy,
    endorsement: Hierarchy,
    lockout: Lockout,
    clear_disabled: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Hierarchy {
    enabled: bool,
    password_set: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Lockout {
    password_set: bool,
    locked: bool,
    wrong_tries: u32,
    max_tries: u32,
    seconds_to_forgive_one: u32,
}

impl Report {
    fn new(tcti: &Tcti, info: Info, key_types: &[KeyType]) -> Self {
        let (high, low) = info.firmware;
        Self {
            connection: tcti.to_string(),
            manufacturer: info.manufacturer,
            model: words(&info.vendor_string),
            firmware: format!(
                "{}.{}.{}.{}",
                high >> 16,
                high & 0xffff,
                low >> 16,
                low & 0xffff
            ),
            spec_revision: format!(
                "{}.{:02}",
                info.spec_revision / 100,
                info.spec_revision % 100
            ),
            spec_year: info.spec_year,
            emulated: info.emulated,
            key_types: key_types.iter().map(ToString::to_string).collect(),
            owner: Hierarchy {
                enabled: info.enabled.owner,
                password_set: info.auth_set.owner,
            },
            endorsement: Hierarchy {
                enabled: info.enabled.endorsement,
                password_set: info.auth_set.endorsement,
            },
            lockout: Lockout {
                password_set: info.auth_set.lockout,
                locked: info.lockout.active,
                wrong_tries: info.lockout.count,
                max_tries: info.lockout.max_tries,
                seconds_to_forgive_one: info.lockout.interval,
            },
            clear_disabled: info.clear_disabled,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("connection", &self.connection);
        facts.add("manufacturer", &self.manufacturer);
        facts.add("model", &self.model);
        facts.add("firmware", &self.firmware);
        facts.add(
            "specification",
            format!(
                "TPM 2.0, revision {} of {}",
                self.spec_revision, self.spec_year
            ),
        );
        facts.add(
            "emulated",
            if self.emulated {
                "yes, so it protects nothing"
            } else {
                "no"
            },
        );
        facts.add("key types", self.key_types.join(", "));
        facts.add("owner", self.owner);
        facts.add("endorsement", self.endorsement);
        facts.add("lockout", self.lockout);
        facts.add(
            "clearing",
            if self.clear_disabled {
                "disabled"
            } else {
                "enabled"
            },
        );
        facts.fmt(f)
    }
}

impl fmt::Display for Hierarchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.enabled { "enabled" } else { "disabled" };
        write!(f, "{state}, {}", password(self.password_set))
    }
}

impl fmt::Display for Lockout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.locked { "locked" } else { "open" };
        write!(
            f,
            "{state}, {}, {} of {} wrong tries, one forgiven after {} s",
            password(self.password_set),
            self.wrong_tries,
            self.max_tries,
            self.seconds_to_forgive_one,
        )
    }
}

/// `text` with single spaces: chips pad their strings in the middle, too.
pub(crate) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn password(set: bool) -> &'static str {
    if set { "password set" } else { "no password" }
}
