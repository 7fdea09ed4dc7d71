//! The contents of the chip: storage root key, endorsement keys, other keys, NV memory.

use std::sync::Arc;

use token_store::{Error as StoreError, Kind};
use tpm_core::info::Info;
use tpm_core::{Operation, Srk, Tpm, persistent};

use super::check::Check;
use super::ek;

pub(super) fn check(tpm: &Arc<Tpm>, info: &Info, checks: &mut Vec<Check>) {
    type Look = fn(&Operation<'_>, &Info) -> tpm_core::Result<Check>;
    let looks: [(&'static str, Look); 4] = [
        (SRK, storage_root_key),
        (ek::NAME, ek::check),
        (KEYS, persistent_keys),
        (NV, |op, info| nv_memory(op, info)),
    ];
    for (name, look) in looks {
        let found = tpm.begin().and_then(|op| look(&op, info));
        checks.push(found.unwrap_or_else(|err| Check::failed(name, StoreError::from(err))));
    }
}

const SRK: &str = "storage root key";
const KEYS: &str = "keys in the TPM";
const NV: &str = "NV memory";

fn storage_root_key(op: &Operation<'_>, info: &Info) -> tpm_core::Result<Check> {
    if let Some(why) = Srk::unfit(op)? {
        let detail = format!(
            "the one that is there stays as it is, as others may use it, and does not serve \
             tpmssh: {why}; tpmssh uses one of its own beside it"
        );
        return Ok(Check::ok(SRK, detail));
    }
    let srk = match Srk::find(op) {
        Ok(Some(srk)) => srk,
        Ok(None) if info.persistent_available == 0 => {
            let detail = "none, and no room to keep one: it is made anew for each use";
            return Ok(Check::ok(SRK, detail));
        }
        Ok(None) => {
            let detail = "none yet: the TPM is new, or was cleared";
            return Ok(Check::warning(SRK, detail).fixed_by("tpmssh tpm take-ownership"));
        }
        Err(err) => return Err(err),
    };
    if let Some(check) = unrecorded(&srk) {
        return Ok(check);
    }
    Ok(match srk.has_password(op)? {
        Some(_) => Check::ok(
            SRK,
            format!(
                "there, without a password, Name {:.16}…",
                srk.name().to_string()
            ),
        ),
        None => Check::warning(
            SRK,
            "there, but a wrong password for it counts towards the lockout",
        ),
    })
}

/// What is wrong with the SRK by what root has recorded in `/etc`, if anything.
fn unrecorded(srk: &Srk) -> Option<Check> {
    match token_store::recorded_srks() {
        Ok(Some(names)) if !names.contains(&srk.name().to_string()) => {
            Some(Check::failed(SRK, StoreError::UnrecordedSrk))
        }
        Err(err) => Some(Check::failed(SRK, err)),
        Ok(_) => None,
    }
}

fn persistent_keys(op: &Operation<'_>, info: &Info) -> tpm_core::Result<Check> {
    let keys = persistent::list(op)?;
    let weak: Vec<_> = keys
        .iter()
        .filter(|key| key.has_roca)
        .map(|key| format!("{:#010x}", key.handle))
        .collect();
    if !weak.is_empty() {
        let detail = format!(
            "with the ROCA weakness (CVE-2017-15361), so that they can be computed: {}",
            weak.join(", ")
        );
        return Ok(Check::problem(KEYS, Kind::KeyRefused, detail)
            .fixed_by("update the TPM's firmware, then make these keys anew"));
    }
    let detail = format!(
        "{}, none with the ROCA weakness; room for {} more",
        keys.len(),
        info.persistent_available
    );
    Ok(match info.persistent_available {
        0 => Check::warning(KEYS, detail)
            .fixed_by("have the programs that keep keys there remove some"),
        _ => Check::ok(KEYS, detail),
    })
}

fn nv_memory(op: &Operation<'_>, info: &Info) -> tpm_core::Result<Check> {
    let used = tpm_core::info::handles(op, 0x0100_0000, 0x01ff_ffff)?.len();
    let used = match used {
        1 => "1 index".to_owned(),
        used => format!("{used} indexes"),
    };
    // An estimate: swtpm can report room for some although a PIN counter does not fit.
    Ok(match info.counters_available {
        0 => Check::warning(
            NV,
            format!("{used}, and the chip reports no room for counters"),
        )
        .fixed_by("remove what is not needed; without room: tpmssh token init --pin-wall lockout"),
        _ => Check::ok(
            NV,
            format!("{used}, and by the chip's estimate room for more"),
        ),
    })
}
