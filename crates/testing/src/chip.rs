//! Descriptions of real chips, by which a simulator plays them.

mod capability;
mod constants;
mod front;
mod pss;
mod state;
mod unmarshal;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::Deserialize;

pub(crate) use front::Front;
pub use front::Pace;
pub use state::State;
pub(crate) use state::{Direct, Held};

/// The personalities of the test suite. Each has its sources beside it.
const SUITE: &str = include_str!("chip/chips.json");

/// A chip, described by the reports of its users. Properties that are not described are those of
/// `swtpm`.
///
/// Read from JSON, an object with one entry for each chip:
///
/// | key | what it is |
/// |---|---|
/// | `name` | maker, model, firmware |
/// | `spec_revision` | revision of the specification, times 100 |
/// | `properties` | `TPM_PT` to value; replaces all fixed properties |
/// | `algorithms` | `TPM_ALG_ID`s; absent: all of swtpm's |
/// | `commands` | `TPM_CC`s; absent: all |
/// | `curves` | `TPM_ECC_CURVE`s; empty: no elliptic curves; absent: all |
/// | `rsa_bits` | sizes of RSA keys |
/// | `persistent_slots` | room for persistent objects |
/// | `nv_indexes` | room for NV indexes |
/// | `latency_ms` | operation to `typ` and `max`, milliseconds |
/// | `quirks` | [`Quirks`] |
///
/// Other keys (`sources`, `family`, `seen`, …) are for people and are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct Chip {
    /// The key of its entry.
    #[serde(skip)]
    id: String,
    name: String,
    spec_revision: u32,
    #[serde(default)]
    properties: BTreeMap<String, u32>,
    algorithms: Option<BTreeSet<u16>>,
    commands: Option<BTreeSet<u32>>,
    curves: Option<BTreeSet<u16>>,
    #[serde(default)]
    rsa_bits: BTreeSet<u16>,
    persistent_slots: Option<usize>,
    nv_indexes: Option<usize>,
    #[serde(default)]
    latency_ms: BTreeMap<String, Latency>,
    #[serde(default)]
    quirks: Quirks,
}

/// How long an operation takes, in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Latency {
    typ: f64,
    max: f64,
}

/// How a chip differs from most others.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Quirks {
    /// The key sizes of AES that it supports; `None` for 128, 192 and 256.
    pub aes_bits: Option<Vec<u16>>,
    /// The response code to a digest that is too long (default: SIZE of that parameter).
    pub long_digest_rc: Option<u32>,
    /// The response code to a PIN index that it does not have (default: RESERVED_BITS of
    /// parameter 2).
    pub pin_index_rc: Option<u32>,
    /// Whether it has PIN indexes (default: since revision 1.38).
    pub pin_indexes: Option<bool>,
    /// `max`: PSS signatures have the longest salt that fits, as before revision 1.16.
    pub pss_salt: Option<String>,
    /// Whether a chip without curves refuses the list of curves (default) instead of returning an
    /// empty one.
    pub no_curves_rc: Option<bool>,
    /// How many properties it lists in one reply, at most.
    pub properties_per_reply: Option<usize>,
    /// Persistent handles of keys with which no session can be salted.
    pub unsaltable: Vec<u32>,
    /// Response codes by which it asks to send a command again.
    pub moods: Vec<Mood>,
}

/// A response code by which a chip asks to send a command again, such as `TPM_RC_TESTING`.
#[derive(Debug, Clone, Deserialize)]
pub struct Mood {
    /// The response code.
    pub rc: u32,
    /// How often it is given.
    pub times: u32,
    /// It is given to every nth of the commands.
    #[serde(default = "one")]
    pub every: u32,
    /// The commands, such as `NV_Write`; empty for all.
    #[serde(default)]
    pub commands: Vec<String>,
}

fn one() -> u32 {
    1
}

impl Chip {
    /// The personalities of the suite.
    ///
    /// # Panics
    ///
    /// If their file is broken.
    #[must_use]
    pub fn suite() -> Vec<Self> {
        Self::parse(SUITE).expect("the suite's chips are well-formed")
    }

    /// One of the suite.
    ///
    /// # Panics
    ///
    /// If there is none with this id.
    #[must_use]
    pub fn named(id: &str) -> Self {
        let found = Self::suite().into_iter().find(|chip| chip.id == id);
        found.unwrap_or_else(|| panic!("no chip \"{id}\" in the suite"))
    }

    /// The chips of a JSON file.
    ///
    /// # Errors
    ///
    /// A sentence that tells why it cannot be parsed.
    pub fn read(path: &Path) -> Result<Vec<Self>, String> {
        let text = fs::read_to_string(path).map_err(|err| err.to_string())?;
        Self::parse(&text)
    }

    /// The chips of a JSON text.
    ///
    /// # Errors
    ///
    /// A sentence that tells what is wrong with it.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let chips: BTreeMap<String, Self> =
            serde_json::from_str(text).map_err(|err| err.to_string())?;
        chips
            .into_iter()
            .map(|(id, chip)| {
                for key in chip.properties.keys() {
                    number(key).ok_or_else(|| format!("{id}: \"{key}\" is no property"))?;
                }
                Ok(Self { id, ..chip })
            })
            .collect()
    }

    /// The same chip with other quirks.
    #[must_use]
    pub fn with_quirks(mut self, change: impl FnOnce(&mut Quirks)) -> Self {
        change(&mut self.quirks);
        self
    }

    /// Its short name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Maker, model and firmware.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has elliptic curves.
    #[must_use]
    pub fn has_ecc(&self) -> bool {
        self.curves.as_ref().is_none_or(|curves| !curves.is_empty())
    }

    /// Whether it has NV indexes that count wrong PINs.
    #[must_use]
    pub fn has_pin_indexes(&self) -> bool {
        self.quirks.pin_indexes.unwrap_or(self.spec_revision >= 138)
    }

    /// The types of SSH key that it can make and sign with, by their names in `tpmssh`.
    ///
    /// A curve counts if the chip also has the hash that SSH uses with it.
    #[must_use]
    pub fn key_types(&self) -> Vec<&'static str> {
        let curve = |id, hash| {
            self.curves
                .as_ref()
                .is_none_or(|curves| curves.contains(&id))
                && self.takes_hash(hash)
        };
        let mut types = Vec::new();
        for (name, has) in [
            ("ecdsa-p256", curve(3, constants::SHA256)),
            ("ecdsa-p384", curve(4, constants::SHA384)),
            ("ecdsa-p521", curve(5, constants::SHA512)),
            ("rsa2048", self.takes_rsa(2048)),
            ("rsa3072", self.takes_rsa(3072)),
        ] {
            if has {
                types.push(name);
            }
        }
        types
    }

    fn takes_hash(&self, hash: u16) -> bool {
        self.has(hash) && constants::digest_size(hash).is_some_and(|size| size <= self.max_digest())
    }

    fn has(&self, algorithm: u16) -> bool {
        self.algorithms
            .as_ref()
            .is_none_or(|have| have.contains(&algorithm))
    }

    fn takes_rsa(&self, bits: u16) -> bool {
        // swtpm has no larger ones, so those of the chip are left out.
        bits <= 3072
            && if self.rsa_bits.is_empty() {
                [1024, 2048].contains(&bits)
            } else {
                self.rsa_bits.contains(&bits)
            }
    }

    fn property(&self, property: u32) -> Option<u32> {
        self.properties
            .iter()
            .find(|(key, _)| number(key) == Some(property))
            .map(|(_, value)| *value)
    }

    fn max_digest(&self) -> usize {
        self.property(constants::PT_MAX_DIGEST)
            .map_or(64, |size| size as usize)
    }
}

/// `0x100` or `256`.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_spans_the_kinds() {
        let suite = Chip::suite();
        assert!(suite.len() >= 12);
        assert!(suite.iter().any(|chip| !chip.has_ecc()));
        assert!(suite.iter().any(|chip| !chip.has_pin_indexes()));
        assert!(suite.iter().any(|chip| chip.takes_rsa(3072)));
        assert!(
            suite
                .iter()
                .all(|chip| !chip.has(constants::SHA512) && chip.takes_rsa(2048))
        );
    }

    #[test]
    fn a_curve_counts_with_its_hash() {
        let amd = Chip::named("amd-3.87.0.5");
        assert!(amd.curves.as_ref().expect("listed").contains(&4));
        assert_eq!(amd.key_types(), ["ecdsa-p256", "rsa2048"]);
    }

    #[test]
    fn a_file_that_is_no_zoo_is_refused() {
        for wrong in ["", "[]", r#"{"a": {}}"#, r#"{"a": {"name": "b"}}"#] {
            assert!(Chip::parse(wrong).is_err(), "{wrong}");
        }
        let chip = r#"{"a": {"name": "b", "spec_revision": 138, "properties": {"x": 1}}}"#;
        assert_eq!(Chip::parse(chip).unwrap_err(), "a: \"x\" is no property");
    }
}
