//! Firmware whose keys are known to be weak.

use crate::chip::info::Info;

/// A published weakness of a chip's firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Weakness {
    /// What it is called, e.g. `ROCA`.
    pub name: &'static str,
    /// Its number in the CVE list.
    pub cve: &'static str,
    /// What it does to keys, worded as the end of a sentence.
    pub effect: &'static str,
}

/// RSA primes of a special form, which can be computed from the public key.
const ROCA: Weakness = Weakness {
    name: "ROCA",
    cve: "CVE-2017-15361",
    effect: "RSA keys made by it can be computed from their public keys",
};

/// The time of an ECDSA signature reveals bits of its nonce.
const TPM_FAIL_INTEL: Weakness = Weakness {
    name: "TPM-FAIL",
    cve: "CVE-2019-11090",
    effect: "ECDSA keys leak through the time that signatures take",
};

/// TPM-FAIL in chips of STMicroelectronics.
const TPM_FAIL_ST: Weakness = Weakness {
    cve: "CVE-2019-16863",
    ..TPM_FAIL_INTEL
};

/// Infineon's TPM 2.0 firmware with ROCA: the major version, and the first minor version with the
/// fix.
///
/// # Source
///
/// Microsoft's advisory ADV170012, which names 5.61 and 7.61 and earlier ones.
const ROCA_FIXED: [(u32, u32); 2] = [(5, 62), (7, 62)];

/// STMicroelectronics' firmware with TPM-FAIL.
///
/// # Source
///
/// "Information on ST's TPM firmware update – ECDSA signature generation" at st.com: products
/// and versions that are not in its table are not affected.
const TPM_FAIL_ST_VERSIONS: [(u32, u32); 14] = [
    (71, 0),
    (71, 4),
    (71, 12),
    (73, 0),
    (73, 4),
    (73, 5),
    (73, 8),
    (73, 9),
    (74, 0),
    (74, 4),
    (74, 5),
    (74, 8),
    (74, 9),
    (74, 16),
];

/// Intel's firmware TPM with TPM-FAIL: the first number of the version, a range of second numbers,
/// and the first third number with the fix. Newer firmware counts differently (302 and more) and is
/// not in this table.
///
/// # Source
///
/// Intel's advisory SA-00241.
const TPM_FAIL_INTEL_FIXED: [(u32, [u32; 2], u32); 4] = [
    (11, [0, 8], 65),
    (11, [9, 11], 65),
    (11, [12, 22], 65),
    (12, [0, 0], 35),
];

/// The weakness that this chip's firmware is known for.
#[must_use]
pub fn of_firmware(info: &Info) -> Option<Weakness> {
    let [first, second, third, _] = info.firmware_version();
    match info.manufacturer.as_str() {
        "IFX" => {
            let weak = |&(major, fixed): &(u32, u32)| first == major && second < fixed;
            ROCA_FIXED.iter().any(weak).then_some(ROCA)
        }
        "STM" => TPM_FAIL_ST_VERSIONS
            .contains(&(first, second))
            .then_some(TPM_FAIL_ST),
        "INTC" => {
            let weak = |&(major, [from, to], fixed): &(u32, [u32; 2], u32)| {
                first == major && (from..=to).contains(&second) && third < fixed
            };
            TPM_FAIL_INTEL_FIXED
                .iter()
                .any(weak)
                .then_some(TPM_FAIL_INTEL)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::info::{Hierarchies, Lockout};

    fn known(manufacturer: &str, version: [u32; 4]) -> Option<&'static str> {
        let none = Hierarchies {
            owner: false,
            endorsement: false,
            lockout: false,
        };
        let info = Info {
            manufacturer: manufacturer.into(),
            vendor_string: String::new(),
            firmware: (version[0] << 16 | version[1], version[2] << 16 | version[3]),
            spec_revision: 116,
            spec_year: 2015,
            spec_day: 1,
            emulated: false,
            auth_set: none,
            enabled: none,
            clear_disabled: false,
            lockout: Lockout {
                active: false,
                count: 0,
                max_tries: 32,
                interval: 7200,
                recovery: 86_400,
            },
            persistent_available: 5,
            counters_available: 5,
            loaded: 0,
            active_sessions: 0,
        };
        of_firmware(&info).map(|weakness| weakness.cve)
    }

    #[test]
    fn firmware_is_weak_up_to_the_version_that_fixes_it() {
        let (roca, intel, st) = (
            Some("CVE-2017-15361"),
            Some("CVE-2019-11090"),
            Some("CVE-2019-16863"),
        );
        for (manufacturer, version, expected) in [
            ("IFX", [5, 61, 2785, 0], roca),
            ("IFX", [5, 62, 3126, 0], None),
            ("IFX", [7, 61, 2785, 0], roca),
            ("IFX", [7, 85, 4555, 0], None),
            ("IFX", [15, 20, 15686, 0], None),
            ("STM", [73, 4, 17568, 4452], st),
            ("STM", [73, 20, 17568, 6684], None),
            ("STM", [74, 64, 17568, 5511], None),
            ("INTC", [11, 8, 50, 3460], intel),
            ("INTC", [11, 8, 77, 3664], None),
            ("INTC", [11, 11, 50, 1422], intel),
            ("INTC", [12, 0, 20, 1], intel),
            ("INTC", [303, 12, 0, 0], None),
            ("IBM", [5, 61, 0, 0], None),
        ] {
            assert_eq!(
                known(manufacturer, version),
                expected,
                "{manufacturer} {version:?}"
            );
        }
    }
}
