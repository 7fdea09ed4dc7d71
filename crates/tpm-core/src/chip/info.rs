//! The chip's model and its state.

use crate::{
    Capabilities, KeyType, Operation, Result,
    chip::get_capability::{self, Asker, properties},
};

/// `TPM_PT`: properties (part 2, section 6.13).
mod pt {
    pub(super) const FIXED: u32 = 0x100;
    pub(super) const REVISION: u32 = 0x102;
    pub(super) const DAY_OF_YEAR: u32 = 0x103;
    pub(super) const YEAR: u32 = 0x104;
    pub(super) const MANUFACTURER: u32 = 0x105;
    pub(super) const VENDOR_STRING: u32 = 0x106;
    pub(super) const FIRMWARE_1: u32 = 0x10b;
    pub(super) const FIRMWARE_2: u32 = 0x10c;
    pub(super) const VARIABLE: u32 = 0x200;
    pub(super) const PERMANENT: u32 = 0x200;
    pub(super) const STARTUP_CLEAR: u32 = 0x201;
    pub(super) const HR_LOADED: u32 = 0x203;
    pub(super) const HR_ACTIVE: u32 = 0x205;
    pub(super) const HR_PERSISTENT_AVAIL: u32 = 0x209;
    pub(super) const NV_COUNTERS_AVAIL: u32 = 0x20b;
    pub(super) const LOCKOUT_COUNTER: u32 = 0x20e;
    pub(super) const MAX_AUTH_FAIL: u32 = 0x20f;
    pub(super) const LOCKOUT_INTERVAL: u32 = 0x210;
    pub(super) const LOCKOUT_RECOVERY: u32 = 0x211;
}

/// The model and state that a chip reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The manufacturer's four letters, e.g. `INTC`.
    pub manufacturer: String,
    /// The manufacturer's name for the model.
    pub vendor_string: String,
    /// The firmware version, two numbers of 32 bits.
    pub firmware: (u32, u32),
    /// The revision of the specification, times 100: 138 is revision 1.38.
    pub spec_revision: u32,
    /// The year of that revision.
    pub spec_year: u32,
    /// The day in that year.
    pub spec_day: u32,
    /// Whether this is a simulator that says so.
    pub emulated: bool,
    /// Which hierarchies have an authorization value.
    pub auth_set: Hierarchies,
    /// Which hierarchies are enabled; lockout always is.
    pub enabled: Hierarchies,
    /// Whether `TPM2_Clear` is disabled.
    pub clear_disabled: bool,
    /// The dictionary-attack lockout.
    pub lockout: Lockout,
    /// How many more persistent objects fit.
    pub persistent_available: u32,
    /// How many more NV counters fit, as the chip estimates it.
    pub counters_available: u32,
    /// How many objects and sessions are loaded, as seen on this connection.
    pub loaded: u32,
    /// Sessions that are active.
    pub active_sessions: u32,
}

impl Info {
    /// The firmware version as four numbers, the way makers write it.
    #[must_use]
    pub fn firmware_version(&self) -> [u32; 4] {
        let (high, low) = self.firmware;
        [high >> 16, high & 0xffff, low >> 16, low & 0xffff]
    }
}

/// One flag for each hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Hierarchies {
    /// The owner hierarchy.
    pub owner: bool,
    /// The endorsement hierarchy.
    pub endorsement: bool,
    /// The lockout hierarchy.
    pub lockout: bool,
}

/// The state of the dictionary-attack lockout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Lockout {
    /// Whether the chip now refuses every object that the lockout protects.
    pub active: bool,
    /// How many wrong authorizations are counted now.
    pub count: u32,
    /// At how many wrong authorizations the chip locks.
    pub max_tries: u32,
    /// Seconds until the chip takes one wrong authorization off the count.
    pub interval: u32,
    /// Seconds that the lockout hierarchy stays closed after a wrong lockout authorization.
    pub recovery: u32,
}

/// Reads the chip's model and state, in two commands.
///
/// # Errors
///
/// Failures of the chip.
pub fn read(op: &Operation<'_>) -> Result<Info> {
    let fixed = properties(op, Asker::Shown, pt::FIXED)?;
    let variable = properties(op, Asker::Shown, pt::VARIABLE)?;
    let get = |property: u32| {
        let table = if property < pt::VARIABLE {
            &fixed
        } else {
            &variable
        };
        table
            .iter()
            .find(|(id, _)| *id == property)
            .map_or(0, |&(_, value)| value)
    };
    let permanent = get(pt::PERMANENT);
    let startup = get(pt::STARTUP_CLEAR);
    let manufacturer = text(&[get(pt::MANUFACTURER)]);
    let vendor: Vec<u32> = (0..4).map(|i| get(pt::VENDOR_STRING + i)).collect();
    let vendor_string = text(&vendor);
    Ok(Info {
        emulated: is_emulator(&manufacturer, &vendor_string),
        manufacturer,
        vendor_string,
        firmware: (get(pt::FIRMWARE_1), get(pt::FIRMWARE_2)),
        spec_revision: get(pt::REVISION),
        spec_year: get(pt::YEAR),
        spec_day: get(pt::DAY_OF_YEAR),
        auth_set: Hierarchies {
            owner: permanent & 1 != 0,
            endorsement: permanent & 2 != 0,
            lockout: permanent & 4 != 0,
        },
        enabled: Hierarchies {
            owner: startup & 2 != 0,
            endorsement: startup & 4 != 0,
            lockout: true,
        },
        clear_disabled: permanent & 1 << 8 != 0,
        lockout: Lockout {
            active: permanent & 1 << 9 != 0,
            count: get(pt::LOCKOUT_COUNTER),
            max_tries: get(pt::MAX_AUTH_FAIL),
            interval: get(pt::LOCKOUT_INTERVAL),
            recovery: get(pt::LOCKOUT_RECOVERY),
        },
        persistent_available: get(pt::HR_PERSISTENT_AVAIL),
        counters_available: get(pt::NV_COUNTERS_AVAIL),
        loaded: get(pt::HR_LOADED),
        active_sessions: get(pt::HR_ACTIVE),
    })
}

/// The types of key that the chip makes and that can sign for SSH.
///
/// # Errors
///
/// Failures of the chip.
pub fn key_types(op: &Operation<'_>) -> Result<Vec<KeyType>> {
    Capabilities::read(op).map(|chip| chip.key_types())
}

/// The handles in use from `first` to `last`; both must be of one handle type (part 2, section
/// 7.2).
///
/// # Errors
///
/// Failures of the chip.
pub fn handles(op: &Operation<'_>, first: u32, last: u32) -> Result<Vec<u32>> {
    get_capability::handles(op, first, last)
}

/// The letters in a list of 32-bit values.
fn text(values: &[u32]) -> String {
    let bytes = values.iter().flat_map(|value| value.to_be_bytes());
    let text: String = bytes
        .filter(u8::is_ascii)
        .filter(|b| !b.is_ascii_control())
        .map(char::from)
        .collect();
    text.trim().to_owned()
}

/// libtpms (swtpm) and the TCG's reference code say that they are software.
fn is_emulator(manufacturer: &str, vendor_string: &str) -> bool {
    (manufacturer == "IBM" && vendor_string.starts_with("SW"))
        || manufacturer == "XCG"
        || vendor_string.contains("fTPM")
            && manufacturer == "MSFT"
            && vendor_string.starts_with("xCG")
}
