//! The states in which Windows, systemd, a factory or an owner leave a chip.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    str::FromStr,
    time::Duration,
};

use super::{
    Chip, capability,
    constants::{
        AES, CC_CREATE_PRIMARY, CC_DA_PARAMETERS, CC_EVICT_CONTROL, CC_FLUSH_CONTEXT,
        CC_HIERARCHY_CHANGE_AUTH, CC_HIERARCHY_CONTROL, CC_NV_DEFINE_SPACE, CFB, ECC, NULL, RSA,
        SHA256, SHA384,
    },
    wire::{ask, authorized, response_code, sized},
};

const OWNER: u32 = 0x4000_0001;
const LOCKOUT: u32 = 0x4000_000a;
const ENDORSEMENT: u32 = 0x4000_000b;
const PLATFORM: u32 = 0x4000_000c;
/// The TCG's handles of the storage root key and the endorsement key.
const SRK: u32 = 0x8100_0001;
const EK: u32 = 0x8101_0001;

/// The owner password of [`State::OwnerPassword`].
const OWNER_PASSWORD: &[u8] = b"owner-secret";

/// What was done to a chip before the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was done: 32 tries, and one wrong try is forgiven after two hours.
    Factory,
    /// RSA-2048 storage root key and endorsement key, and an unknown lockout password.
    Windows,
    /// The storage root key of systemd: P-256, or RSA-2048 without elliptic curves.
    Systemd,
    /// A storage root key on P-384 with AES-256 and SHA-384, as `swtpm_setup --create-spk` makes.
    SrkP384,
    /// A storage root key of RSA-3072.
    SrkRsa3072,
    /// A storage root key with an unknown password.
    SrkPassword,
    /// A storage root key that the chip's lockout protects.
    SrkCounted,
    /// A storage root key to which no session can be salted.
    SrkUnsaltable,
    /// A signing key at the handle of the storage root key.
    Foreign,
    /// No room for another persistent key.
    PersistentFull,
    /// No room for another NV index.
    NvFull,
    /// An owner password, `owner-secret`.
    OwnerPassword,
    /// The owner hierarchy is switched off, and the endorsement hierarchy too.
    OwnerOff,
    /// Three tries until the chip locks, as some factories set.
    ThreeTries,
    /// An NV index for the endorsement key's certificate that was never written.
    CertificateUnwritten,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Factory,
        Self::Windows,
        Self::Systemd,
        Self::SrkP384,
        Self::SrkRsa3072,
        Self::SrkPassword,
        Self::SrkCounted,
        Self::SrkUnsaltable,
        Self::Foreign,
        Self::PersistentFull,
        Self::NvFull,
        Self::OwnerPassword,
        Self::OwnerOff,
        Self::ThreeTries,
        Self::CertificateUnwritten,
    ];

    /// The name, as [`State::from_str`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Factory => "factory",
            Self::Windows => "windows",
            Self::Systemd => "systemd",
            Self::SrkP384 => "srk-p384",
            Self::SrkRsa3072 => "srk-rsa3072",
            Self::SrkPassword => "srk-password",
            Self::SrkCounted => "srk-counted",
            Self::SrkUnsaltable => "srk-unsaltable",
            Self::Foreign => "foreign",
            Self::PersistentFull => "persistent-full",
            Self::NvFull => "nv-full",
            Self::OwnerPassword => "owner-password",
            Self::OwnerOff => "owner-off",
            Self::ThreeTries => "three-tries",
            Self::CertificateUnwritten => "certificate-unwritten",
        }
    }

    /// Brings a chip into this state.
    pub(crate) fn set(self, chip: &mut Chip, tpm: &mut Direct) {
        const TWO_HOURS: u32 = 7200;
        let common = if chip.has_ecc() {
            storage(Kind::P256, STORAGE)
        } else {
            storage(Kind::Rsa(2048), STORAGE)
        };
        let rsa = storage(Kind::Rsa(2048), STORAGE);
        match self {
            Self::Factory => tpm.set_lockout(32, TWO_HOURS),
            Self::Windows => {
                tpm.keep(OWNER, &rsa, b"", SRK);
                tpm.keep(ENDORSEMENT, &rsa, b"", EK);
                tpm.set_lockout(32, TWO_HOURS);
                tpm.set_password(LOCKOUT, b"nobody knows this password");
            }
            Self::Systemd => {
                tpm.keep(OWNER, &common, b"", SRK);
                tpm.set_lockout(32, TWO_HOURS);
            }
            Self::SrkP384 => tpm.keep(OWNER, &storage(Kind::P384, STORAGE), b"", SRK),
            Self::SrkRsa3072 => {
                tpm.keep(OWNER, &storage(Kind::Rsa(3072), STORAGE), b"", SRK);
            }
            Self::SrkPassword => tpm.keep(OWNER, &common, b"secret", SRK),
            Self::SrkCounted => {
                tpm.keep(OWNER, &storage(Kind::Rsa(2048), STORAGE & !NO_DA), b"", SRK);
            }
            Self::SrkUnsaltable => {
                tpm.keep(OWNER, &rsa, b"", SRK);
                chip.quirks.unsaltable.push(SRK);
            }
            Self::Foreign => tpm.keep(OWNER, &signing(), b"", SRK),
            Self::PersistentFull => {
                let slots = chip.persistent_slots.unwrap_or(4).min(4);
                chip.persistent_slots = Some(slots);
                for handle in (0x8100_1000..).take(slots) {
                    tpm.keep(OWNER, &signing(), b"", handle);
                }
            }
            Self::NvFull => chip.nv_indexes = Some(tpm.handles(0x0100_0000).len()),
            Self::OwnerPassword => tpm.set_password(OWNER, OWNER_PASSWORD),
            Self::OwnerOff => {
                tpm.switch_off(OWNER);
                tpm.switch_off(ENDORSEMENT);
            }
            Self::ThreeTries => tpm.set_lockout(3, 1000),
            Self::CertificateUnwritten => tpm.define(0x01c0_0002, 1000),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.name() == name)
            .ok_or_else(|| format!("no state \"{name}\""))
    }
}

/// The contents of a chip, by handle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held(Vec<u32>);

impl Held {
    /// The contents that are not in `before`.
    pub(crate) fn beyond(&self, before: &Self) -> Vec<u32> {
        let new = |handle: &&u32| !before.0.contains(handle);
        self.0.iter().filter(new).copied().collect()
    }
}

/// A connection that sends commands with passwords, to set a state and to read it.
#[derive(Debug)]
pub(crate) struct Direct(TcpStream);

impl Direct {
    /// Connects to the data port of a `swtpm`.
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("swtpm listens");
        let patience = Duration::from_secs(60);
        stream.set_read_timeout(Some(patience)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        let patience = Some(crate::PATIENCE);
        stream
            .set_read_timeout(patience)
            .expect("the time is not 0");
        Self(stream)
    }

    /// The contents of the chip: objects, loaded and saved sessions, persistent keys, NV indexes.
    pub(crate) fn held(&mut self) -> Held {
        let kinds = [
            0x8000_0000,
            0x0200_0000,
            0x0300_0000,
            0x8100_0000,
            0x0100_0000,
        ];
        Held(kinds.iter().flat_map(|kind| self.handles(*kind)).collect())
    }

    fn handles(&mut self, first: u32) -> Vec<u32> {
        let mut send = |command: &[u8]| self.exchange(command);
        capability::handles(&mut send, first).expect("swtpm lists handles")
    }

    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut response = vec![0; 10];
        self.0.read_exact(&mut response)?;
        let size = response[2..6]
            .iter()
            .fold(0, |n, byte| n << 8 | usize::from(*byte));
        response.resize(size, 0);
        self.0.read_exact(&mut response[10..])?;
        Ok(response)
    }

    fn run(&mut self, command: &[u8]) -> Vec<u8> {
        let response = self.exchange(command).expect("swtpm answers");
        let code = response_code(&response);
        assert_eq!(code, 0, "{:02x?}: {code:#x}", &command[..10]);
        response
    }

    /// Makes a primary key and gives it a persistent handle.
    fn keep(&mut self, hierarchy: u32, template: &[u8], auth: &[u8], handle: u32) {
        let sensitive = sized(&[sized(auth), sized(b"")].concat());
        // No outside info, no PCRs.
        let params = [&sensitive, &sized(template)[..], &[0; 6]].concat();
        let made = self.run(&authorized(
            CC_CREATE_PRIMARY,
            &[hierarchy],
            &[b""],
            &params,
        ));
        let object = u32::from_be_bytes(made[10..14].try_into().expect("four bytes"));
        let persistent = handle.to_be_bytes();
        self.run(&authorized(
            CC_EVICT_CONTROL,
            &[OWNER, object],
            &[b""],
            &persistent,
        ));
        self.run(&ask(CC_FLUSH_CONTEXT, &object.to_be_bytes()));
    }

    fn set_lockout(&mut self, tries: u32, interval: u32) {
        let params: Vec<u8> = [tries, interval, 86_400]
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect();
        self.run(&authorized(CC_DA_PARAMETERS, &[LOCKOUT], &[b""], &params));
    }

    fn set_password(&mut self, hierarchy: u32, password: &[u8]) {
        let params = sized(password);
        self.run(&authorized(
            CC_HIERARCHY_CHANGE_AUTH,
            &[hierarchy],
            &[b""],
            &params,
        ));
    }

    fn switch_off(&mut self, hierarchy: u32) {
        let params = [&hierarchy.to_be_bytes()[..], &[0]].concat();
        self.run(&authorized(
            CC_HIERARCHY_CONTROL,
            &[PLATFORM],
            &[b""],
            &params,
        ));
    }

    /// Defines an index that can be read and written with its empty password.
    fn define(&mut self, index: u32, size: u16) {
        let public = [
            &index.to_be_bytes()[..],
            &SHA256.to_be_bytes(),
            &0x0006_0006_u32.to_be_bytes(),
            &sized(b""),
            &size.to_be_bytes(),
        ]
        .concat();
        let params = [sized(b""), sized(&public)].concat();
        self.run(&authorized(CC_NV_DEFINE_SPACE, &[OWNER], &[b""], &params));
    }
}

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt.
const STORAGE: u32 = 0x0003_0472;
const NO_DA: u32 = 0x400;

enum Kind {
    Rsa(u16),
    P256,
    P384,
}

/// The template of a storage key.
fn storage(kind: Kind, attributes: u32) -> Vec<u8> {
    let (algorithm, name, aes, rest) = match kind {
        Kind::Rsa(bits) => (RSA, SHA256, 128, rsa(bits)),
        Kind::P256 => (ECC, SHA256, 128, ecc(3)),
        Kind::P384 => (ECC, SHA384, 256, ecc(4)),
    };
    let symmetric = [AES, aes, CFB, NULL].map(u16::to_be_bytes).concat();
    [head(algorithm, name, attributes), symmetric, rest].concat()
}

/// The template of a signing key: RSA-2048, which every chip has.
fn signing() -> Vec<u8> {
    let symmetric = [NULL, NULL].map(u16::to_be_bytes).concat();
    [head(RSA, SHA256, 0x0004_0472), symmetric, rsa(2048)].concat()
}

fn head(algorithm: u16, name: u16, attributes: u32) -> Vec<u8> {
    [
        &algorithm.to_be_bytes()[..],
        &name.to_be_bytes(),
        &attributes.to_be_bytes(),
        &sized(b""),
    ]
    .concat()
}

/// Size, default exponent, empty modulus.
fn rsa(bits: u16) -> Vec<u8> {
    [&bits.to_be_bytes()[..], &[0; 4], &sized(b"")].concat()
}

/// Curve, no key derivation, empty point.
fn ecc(curve: u16) -> Vec<u8> {
    [&curve.to_be_bytes()[..], &NULL.to_be_bytes(), &[0; 4]].concat()
}
