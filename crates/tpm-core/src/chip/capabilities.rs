//! The capabilities of a chip, which are read once and stored.

use tpm_wire::{Put, Reader, algorithm};

use crate::{
    Curve, Error, Hash, KeyType, OpenSrk, Operation, Result,
    chip::get_capability::{Asker, algorithms, curves, properties},
    command::{Command, CommandCode, session::Session},
    error::rc,
};

/// Fixed properties (`TPM_PT`, part 2, section 6.13).
mod pt {
    pub(super) const FIXED: u32 = 0x100;
    pub(super) const REVISION: u32 = 0x102;
    pub(super) const MANUFACTURER: u32 = 0x105;
    pub(super) const FIRMWARE_1: u32 = 0x10b;
    pub(super) const FIRMWARE_2: u32 = 0x10c;
    pub(super) const OBJECTS: u32 = 0x10e;
    pub(super) const SESSIONS: u32 = 0x110;
    pub(super) const CONTEXT_GAP: u32 = 0x114;
    pub(super) const NV_INDEX_MAX: u32 = 0x117;
    pub(super) const MAX_COMMAND: u32 = 0x11e;
    pub(super) const MAX_RESPONSE: u32 = 0x11f;
    pub(super) const MAX_DIGEST: u32 = 0x120;
    pub(super) const NV_BUFFER_MAX: u32 = 0x12c;
}

/// The revision of the specification, times 100, that brought NV indexes that count wrong PINs.
const PIN_INDEXES_SINCE: u32 = 138;

/// The sizes of RSA keys that the chip is asked about.
const RSA_SIZES: [u16; 4] = [1024, 2048, 3072, 4096];

/// The capabilities of a chip: algorithms, sizes and limits.
///
/// Capabilities change only with the firmware ([`Capabilities::is_of`]), so they are read once and
/// stored, and no login has to read them. A caller decides by them before it sends a command,
/// instead of trying and being refused. The [`Default`] is a chip that can do nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// The manufacturer's four letters as a number, big-endian.
    pub manufacturer: u32,
    /// The firmware version, two numbers of 32 bits.
    pub firmware: (u32, u32),
    /// The revision of the specification, times 100: 138 is revision 1.38.
    pub spec_revision: u32,
    /// The algorithms, `TPM_ALG_ID`, ascending.
    pub algorithms: Vec<u16>,
    /// The elliptic curves, `TPM_ECC_CURVE`, ascending; empty if the chip has none.
    pub curves: Vec<u16>,
    /// The sizes of RSA keys in bits, ascending.
    pub rsa_bits: Vec<u16>,
    /// The longest digest in bytes.
    pub max_digest: u32,
    /// The longest command in bytes.
    pub max_command: u32,
    /// The longest response in bytes.
    pub max_response: u32,
    /// The largest NV index in bytes.
    pub nv_index_max: u32,
    /// The longest piece of an NV index that one command reads, in bytes; 0 if the chip does not
    /// say.
    pub nv_buffer_max: u32,
    /// How many objects can be loaded at the same time, at least.
    pub objects: u32,
    /// How many sessions can be loaded at the same time, at least.
    pub sessions: u32,
    /// How many more sessions can be saved before the chip rejects a saved one as too old.
    pub context_gap: u32,
}

impl Capabilities {
    /// Asks the chip, in about eight commands, to show the answers to a person. The answers are not
    /// authenticated; code that decides by them uses [`Capabilities::read_authentic`].
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn read(op: &Operation<'_>) -> Result<Self> {
        Self::ask(op, Asker::Shown)
    }

    /// Asks the chip that holds the storage root key, in a session that authenticates the answers.
    ///
    /// # Errors
    ///
    /// Failures of the chip; [`Error::OtherTpm`].
    pub fn read_authentic(root: &OpenSrk<'_>) -> Result<Self> {
        let session = root.within(|| Session::proven(root.op(), root))?;
        Self::ask(root.op(), Asker::Audited(&session))
    }

    fn ask(op: &Operation<'_>, asker: Asker<'_>) -> Result<Self> {
        let fixed = properties(op, asker, pt::FIXED)?;
        let get = |property: u32| {
            let found = fixed.iter().find(|(id, _)| *id == property);
            found.map_or(0, |(_, value)| *value)
        };
        let mut rsa_bits = Vec::new();
        for bits in RSA_SIZES {
            if takes_rsa(op, asker, bits)? {
                rsa_bits.push(bits);
            }
        }
        Ok(Self {
            manufacturer: get(pt::MANUFACTURER),
            firmware: (get(pt::FIRMWARE_1), get(pt::FIRMWARE_2)),
            spec_revision: get(pt::REVISION),
            algorithms: algorithms(op, asker)?,
            curves: curves(op, asker)?,
            rsa_bits,
            max_digest: get(pt::MAX_DIGEST),
            max_command: get(pt::MAX_COMMAND),
            max_response: get(pt::MAX_RESPONSE),
            nv_index_max: get(pt::NV_INDEX_MAX),
            nv_buffer_max: get(pt::NV_BUFFER_MAX),
            objects: get(pt::OBJECTS),
            sessions: get(pt::SESSIONS),
            context_gap: get(pt::CONTEXT_GAP),
        })
    }

    /// Whether these are the capabilities of this chip with its present firmware; one command.
    ///
    /// The answer is not authenticated. If it is forged, the caller reads the capabilities again
    /// without need, or keeps those of an older firmware.
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn is_of(&self, op: &Operation<'_>) -> Result<bool> {
        let fixed = properties(op, Asker::Shown, pt::FIXED)?;
        let has = |property: u32, value: u32| fixed.contains(&(property, value));
        Ok(has(pt::MANUFACTURER, self.manufacturer)
            && has(pt::FIRMWARE_1, self.firmware.0)
            && has(pt::FIRMWARE_2, self.firmware.1))
    }

    /// The firmware version as four numbers, the way makers write it.
    #[must_use]
    pub fn firmware_version(&self) -> [u32; 4] {
        let (high, low) = self.firmware;
        [high >> 16, high & 0xffff, low >> 16, low & 0xffff]
    }

    /// Whether the chip has elliptic curves that keys can be made on.
    #[must_use]
    pub fn has_ecc(&self) -> bool {
        self.algorithms.contains(&algorithm::ECC)
            && self.curves.iter().any(|&id| Curve::from_id(id).is_ok())
    }

    /// Whether the chip signs digests of this hash itself.
    #[must_use]
    pub fn has_hash(&self, hash: Hash) -> bool {
        self.algorithms.contains(&hash.id()) && hash.size() <= self.max_digest as usize
    }

    /// Whether the chip has NV indexes that count wrong PINs.
    #[must_use]
    pub fn has_pin_indexes(&self) -> bool {
        self.spec_revision >= PIN_INDEXES_SINCE
    }

    /// Whether the chip makes keys of this type that can sign for SSH: for a curve the chip also
    /// needs the hash that SSH uses with it (SHA-384 for P-384).
    #[must_use]
    pub fn has_key_type(&self, key_type: KeyType) -> bool {
        let curve = match key_type {
            KeyType::EccP256 => Curve::P256,
            KeyType::EccP384 => Curve::P384,
            KeyType::EccP521 => Curve::P521,
            KeyType::Rsa2048 | KeyType::Rsa3072 => {
                return self.rsa_bits.contains(&key_type.bits());
            }
        };
        self.has_ecc() && self.curves.contains(&curve.id()) && self.has_hash(curve.hash())
    }

    /// The types of key that the chip can make, the default first.
    #[must_use]
    pub fn key_types(&self) -> Vec<KeyType> {
        let all = KeyType::ALL.into_iter();
        all.filter(|&key_type| self.has_key_type(key_type))
            .collect()
    }

    /// Whether RSA keys need the TPM's attribute `decrypt`. With it, this crate pads a digest in
    /// software and uses the chip's raw private operation, for hashes that the chip lacks. OpenSSH
    /// prefers SHA-512, which most chips lack.
    #[must_use]
    pub fn pads_outside(&self) -> bool {
        ![Hash::Sha256, Hash::Sha384, Hash::Sha512]
            .into_iter()
            .all(|hash| self.has_hash(hash))
    }

    /// The bytes to store, big-endian: a version, the numbers in the order of the fields, then the
    /// lists, each after its 16-bit length.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for number in self.numbers() {
            bytes.put_u32(number);
        }
        for list in [&self.algorithms, &self.curves, &self.rsa_bits] {
            let list: Vec<u8> = list.iter().flat_map(|id| id.to_be_bytes()).collect();
            bytes.put_sized(&list);
        }
        bytes
    }

    /// Capabilities as [`Capabilities::to_bytes`] wrote them.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for anything that is not exactly that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "capabilities");
        if reader.u8()? != VERSION {
            return Err(Error::Malformed("capabilities"));
        }
        let mut number = || reader.u32();
        let found = Self {
            manufacturer: number()?,
            firmware: (number()?, number()?),
            spec_revision: number()?,
            max_digest: number()?,
            max_command: number()?,
            max_response: number()?,
            nv_index_max: number()?,
            nv_buffer_max: number()?,
            objects: number()?,
            sessions: number()?,
            context_gap: number()?,
            algorithms: ids(&mut reader)?,
            curves: ids(&mut reader)?,
            rsa_bits: ids(&mut reader)?,
        };
        reader.finish()?;
        Ok(found)
    }

    fn numbers(&self) -> [u32; 12] {
        [
            self.manufacturer,
            self.firmware.0,
            self.firmware.1,
            self.spec_revision,
            self.max_digest,
            self.max_command,
            self.max_response,
            self.nv_index_max,
            self.nv_buffer_max,
            self.objects,
            self.sessions,
            self.context_gap,
        ]
    }
}

/// The version of the format of [`Capabilities::to_bytes`].
const VERSION: u8 = 1;

fn ids(reader: &mut Reader<'_>) -> Result<Vec<u16>> {
    let bytes = reader.sized()?;
    if !bytes.len().is_multiple_of(2) {
        return Err(Error::Malformed("capabilities"));
    }
    let pairs = bytes.chunks_exact(2);
    Ok(pairs
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect())
}

/// `TPM2_TestParms` with an RSA signing key of this size.
fn takes_rsa(op: &Operation<'_>, asker: Asker<'_>, bits: u16) -> Result<bool> {
    // TPMT_PUBLIC_PARMS: RSA; no symmetric algorithm, no scheme, size, default exponent.
    let command = Command::new(CommandCode::TestParms)
        .param_u16(algorithm::RSA)
        .param_u16(algorithm::NULL)
        .param_u16(algorithm::NULL)
        .param_u16(bits)
        .param_u32(0);
    let refusals = [
        rc::VALUE,
        rc::KEY_SIZE,
        rc::SIZE,
        rc::RANGE,
        rc::TYPE,
        rc::ASYMMETRIC,
    ];
    match asker.run(op, command) {
        Ok(_) => Ok(true),
        Err(err) if err.refuses_parameter(1, &refusals) => Ok(false),
        // The oldest chips lack `TPM2_TestParms`. Every chip has RSA keys of 2048 bits.
        Err(Error::NotSupported(_)) => Ok(bits == 2048),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An AMD fTPM 3.x: it has P-384 and no SHA-384.
    fn amd() -> Capabilities {
        Capabilities {
            manufacturer: 0x414d_4400,
            firmware: (0x0003_0057, 5),
            spec_revision: 138,
            algorithms: vec![1, 4, 11, 0x14, 0x16, 0x18, 0x23],
            curves: vec![3, 4],
            rsa_bits: vec![1024, 2048],
            max_digest: 32,
            max_command: 4096,
            max_response: 4096,
            nv_index_max: 2048,
            nv_buffer_max: 1024,
            objects: 6,
            sessions: 3,
            context_gap: 255,
        }
    }

    #[test]
    fn a_curve_without_its_hash_is_not_offered() {
        assert_eq!(amd().key_types(), [KeyType::EccP256, KeyType::Rsa2048]);
        let with_hash = Capabilities {
            algorithms: vec![1, 11, 12, 0x23],
            max_digest: 48,
            ..amd()
        };
        assert!(with_hash.has_key_type(KeyType::EccP384));
        let listed_only = Capabilities {
            max_digest: 32,
            ..with_hash
        };
        assert!(!listed_only.has_key_type(KeyType::EccP384));
    }

    #[test]
    fn chips_without_a_long_hash_pad_outside() {
        assert!(amd().pads_outside());
        let all = Capabilities {
            algorithms: vec![1, 11, 12, 13],
            max_digest: 64,
            ..amd()
        };
        assert!(!all.pads_outside());
    }

    #[test]
    fn pin_indexes_came_with_revision_1_38() {
        assert!(amd().has_pin_indexes());
        let older = Capabilities {
            spec_revision: 116,
            ..amd()
        };
        assert!(!older.has_pin_indexes());
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let bytes = amd().to_bytes();
        assert_eq!(Capabilities::from_bytes(&bytes).unwrap(), amd());
        for cut in 0..bytes.len() {
            assert!(Capabilities::from_bytes(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(Capabilities::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(found) = Capabilities::from_bytes(&bytes) {
                prop_assert_eq!(found.to_bytes(), bytes);
            }
        }
    }
}
