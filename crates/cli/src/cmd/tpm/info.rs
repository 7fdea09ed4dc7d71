//! `tpmssh tpm info`: the chip's model, state and contents.

use std::fmt;

use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::ek::{self, EkType};
use tpm_core::info::{self, Info};
use tpm_core::{KeyType, Operation, Srk, Tcti};

use crate::app::App;
use crate::show::chip::{firmware, revision, words};
use crate::show::date;
use crate::show::duration;
use crate::show::output::Facts;

/// Show what the TPM says about itself, and what is in it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(app: &App, _args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let report = tpm
        .begin()
        .and_then(|op| {
            let (info, key_types) = (info::read(&op)?, info::key_types(&op)?);
            Ok(Report::new(
                &tpm.found(),
                info,
                &key_types,
                Contents::read(&op)?,
            ))
        })
        .map_err(StoreError::from)?;
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
struct Report {
    connection: String,
    manufacturer: String,
    /// The same four letters as the chip stores them, hexadecimal.
    manufacturer_id: String,
    model: String,
    firmware: String,
    /// The firmware version as the chip stores it, hexadecimal.
    firmware_id: String,
    spec_revision: String,
    spec_year: u32,
    spec_day: u32,
    emulated: bool,
    key_types: Vec<String>,
    owner: Hierarchy,
    endorsement: Hierarchy,
    lockout: Lockout,
    clear_disabled: bool,
    #[serde(flatten)]
    contents: Contents,
    /// How many more keys it has room to keep.
    room_for_keys: u32,
}

/// The keys and NV indexes in the chip.
#[derive(Debug, Serialize)]
struct Contents {
    /// The Name of the storage root key.
    storage_root_key: Option<String>,
    endorsement_keys: Vec<EndorsementKey>,
    persistent_keys: Vec<String>,
    nv_indexes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EndorsementKey {
    #[serde(rename = "type")]
    ek_type: &'static str,
    made: bool,
    certificate: bool,
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

impl Contents {
    fn read(op: &Operation<'_>) -> tpm_core::Result<Self> {
        let mut endorsement_keys = Vec::new();
        for ek_type in EkType::ALL {
            let made = matches!(ek::find(op, ek_type), Ok(Some(_)));
            let certificate = matches!(ek::certificate(op, ek_type), Ok(Some(_)));
            if made || certificate {
                let ek_type = ek_type.name();
                endorsement_keys.push(EndorsementKey {
                    ek_type,
                    made,
                    certificate,
                });
            }
        }
        let handles = |first, last| {
            let handles = info::handles(op, first, last)?;
            Ok::<_, tpm_core::Error>(
                handles
                    .iter()
                    .map(|handle| format!("{handle:#010x}"))
                    .collect(),
            )
        };
        Ok(Self {
            // `tpmssh doctor` reports another object at its handle.
            storage_root_key: Srk::find(op)
                .ok()
                .flatten()
                .map(|srk| srk.name().to_string()),
            endorsement_keys,
            persistent_keys: handles(0x8100_0000, 0x81ff_ffff)?,
            nv_indexes: handles(0x0100_0000, 0x01ff_ffff)?,
        })
    }
}

impl Report {
    fn new(tcti: &Tcti, info: Info, key_types: &[KeyType], contents: Contents) -> Self {
        let mut letters = info.manufacturer.clone().into_bytes();
        letters.resize(4, 0);
        Self {
            connection: tcti.to_string(),
            manufacturer_id: base16ct::lower::encode_string(&letters),
            manufacturer: info.manufacturer.clone(),
            model: words(&info.vendor_string),
            firmware: firmware(&info),
            firmware_id: format!("{:08x} {:08x}", info.firmware.0, info.firmware.1),
            spec_revision: revision(&info),
            spec_year: info.spec_year,
            spec_day: info.spec_day,
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
            contents,
            room_for_keys: info.persistent_available,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("connection", &self.connection);
        facts.add(
            "manufacturer",
            format!("{} ({})", self.manufacturer, self.manufacturer_id),
        );
        facts.add("model", &self.model);
        facts.add(
            "firmware",
            format!("{} ({})", self.firmware, self.firmware_id),
        );
        facts.add(
            "specification",
            format!(
                "TPM 2.0, revision {} of {}",
                self.spec_revision,
                date::of_day(self.spec_year, self.spec_day)
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
        let srk = self.contents.storage_root_key.as_deref();
        facts.add("storage root key", srk.unwrap_or("none"));
        facts.add(
            "endorsement keys",
            list(self.contents.endorsement_keys.iter()),
        );
        let room = format!("room for {} more", self.room_for_keys);
        facts.add(
            "persistent keys",
            format!("{}; {room}", list(self.contents.persistent_keys.iter())),
        );
        facts.add("NV indexes", list(self.contents.nv_indexes.iter()));
        facts.fmt(f)
    }
}

fn list(things: impl Iterator<Item = impl ToString>) -> String {
    let things: Vec<_> = things.map(|thing| thing.to_string()).collect();
    if things.is_empty() {
        "none".into()
    } else {
        things.join(", ")
    }
}

impl fmt::Display for EndorsementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = if self.made { "" } else { " not made yet," };
        let certificate = if self.certificate { "with" } else { "without" };
        write!(f, "{}{made} {certificate} certificate", self.ek_type)
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
            "{state}, {}, {} of {} wrong tries, one forgiven after {}",
            password(self.password_set),
            self.wrong_tries,
            self.max_tries,
            duration::in_words(self.seconds_to_forgive_one),
        )
    }
}

fn password(set: bool) -> &'static str {
    if set { "password set" } else { "no password" }
}
