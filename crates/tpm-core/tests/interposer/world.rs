//! A token on a chip, and all that its owner and its store know.

use testing::{Snapshot, Swtpm};
use tpm_core::{
    AuthValue, Blob, ChangeGuard, KeyBlob, KeyType, PinCounter, Result, SoObject, Srk, TokenKey,
    Tpm, Usage, Wall,
    ownership::{self, Hierarchy},
};

use crate::chip;

/// The three walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Lockout,
    None,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Counter, Self::Lockout, Self::None];
}

/// How many wrong PINs the counters of these tests allow.
pub(crate) const LIMIT: u32 = 20;

/// An NV handle at which these tests define and undefine.
pub(crate) const PROBE: u32 = 0x0180_0777;

/// What the people involved know.
pub(crate) const PIN: &[u8] = b"the PIN's value, all of it: 1234";
pub(crate) const NEW_PIN: &[u8] = b"the new PIN's value: 5678 - 5678";
pub(crate) const SO_PIN: &[u8] = b"what the security officer knows!";
pub(crate) const NEW_SO_PIN: &[u8] = b"what the next officer will know?";
pub(crate) const SECRET: &[u8] = b"the secret of the change guard..";
pub(crate) const OWNER: &[u8] = b"owner password";
pub(crate) const ENDORSEMENT: &[u8] = b"endorsement password";
pub(crate) const LOCKOUT: &[u8] = b"lockout password";

pub(crate) fn auth(bytes: &[u8]) -> AuthValue {
    AuthValue::new(bytes).expect("at most 32 bytes")
}

pub(crate) fn tpm(tcti: &str) -> Tpm {
    Tpm::new(tcti.parse().expect("a TCTI of the test crate"))
}

/// A chip with a token.
pub(crate) struct World {
    /// The authorization value of the owner hierarchy.
    pub(crate) owner: AuthValue,
    pub(crate) srk: Srk,
    pub(crate) so: SoObject,
    pub(crate) guard: ChangeGuard,
    /// There on every wall, and what opens the token key on one of them.
    pub(crate) counter: PinCounter,
    pub(crate) token_key: TokenKey,
    /// The guard's secret, sealed below the token key.
    pub(crate) sealed: Blob,
    /// For signing alone.
    pub(crate) key: KeyBlob,
    /// Another key of the token, which signs and agrees on secrets.
    pub(crate) other: KeyBlob,
    /// An RSA key that signs and decrypts, if it was asked for.
    rsa: Option<KeyBlob>,
    /// The chip with all this.
    pub(crate) full: Snapshot,
    /// The chip before it had any of it, even a storage root key.
    pub(crate) blank: Snapshot,
    // Last, so that it is dropped last.
    pub(crate) swtpm: Swtpm,
}

impl World {
    /// A token behind `kind`, on a chip whose owner has set no authorization values.
    pub(crate) fn new(kind: Kind) -> Result<Self> {
        Self::make(kind, false)
    }

    /// The same with authorization values for all hierarchies.
    pub(crate) fn owned(kind: Kind) -> Result<Self> {
        Self::make(kind, true)
    }

    fn make(kind: Kind, owned: bool) -> Result<Self> {
        let swtpm = Swtpm::start();
        let tpm = tpm(&swtpm.tcti());
        let none = AuthValue::empty();
        let pin = auth(PIN);
        if owned {
            let op = tpm.begin()?;
            let srk = Srk::find_or_create(&op, &none)?;
            for (hierarchy, value) in [
                (Hierarchy::Owner, OWNER),
                (Hierarchy::Endorsement, ENDORSEMENT),
                (Hierarchy::Lockout, LOCKOUT),
            ] {
                ownership::change_auth(&op, &srk, hierarchy, &none, &auth(value))?;
            }
        }
        let owner = if owned { auth(OWNER) } else { none };
        if owned {
            chip::evict_srk(&swtpm, OWNER);
        }
        let blank = swtpm.snapshot();
        let op = tpm.begin()?;
        let srk = Srk::find_or_create(&op, &owner)?;
        let so = SoObject::create(&op, &srk, &auth(SO_PIN), &auth(SECRET))?;
        let guard = ChangeGuard::create(&op, &srk, &auth(SECRET))?;
        let handle = PinCounter::pick_handle(&op)?;
        let counter = PinCounter::from_parts(handle, so.name(), guard.name());
        counter.define(&op, &srk, &owner, &so, &auth(SO_PIN), &pin, LIMIT)?;
        let wall = match kind {
            Kind::Counter => Wall::Counter(counter.clone()),
            Kind::Lockout => Wall::Lockout {
                so: so.name().clone(),
            },
            Kind::None => Wall::None,
        };
        let token_key = TokenKey::create(&op, &srk, wall, &pin)?;
        let sealed = token_key.seal(&op, &srk, &pin, &auth(SECRET))?;
        let make = |usage| {
            let made = token_key.create_key(&op, &srk, &pin, KeyType::EccP256, usage)?;
            KeyBlob::parse(made)
        };
        let (key, other) = (make(Usage::SIGN)?, make(Usage::SIGN_DECRYPT)?);
        drop(op);
        let full = swtpm.snapshot();
        Ok(Self {
            owner,
            srk,
            so,
            guard,
            counter,
            token_key,
            sealed,
            key,
            other,
            rsa: None,
            full,
            blank,
            swtpm,
        })
    }

    /// With an RSA key, which takes long to make.
    pub(crate) fn with_rsa(mut self) -> Result<Self> {
        let tpm = self.direct();
        let op = tpm.begin()?;
        let (key_type, usage) = (KeyType::Rsa2048, Usage::SIGN_DECRYPT);
        let made = self
            .token_key
            .create_key(&op, &self.srk, &auth(PIN), key_type, usage)?;
        self.rsa = Some(KeyBlob::parse(made)?);
        drop(op);
        Ok(self)
    }

    pub(crate) fn rsa(&self) -> &KeyBlob {
        self.rsa.as_ref().expect("with_rsa() was called")
    }

    /// The chip itself, with nobody in between.
    pub(crate) fn direct(&self) -> Tpm {
        tpm(&self.swtpm.tcti())
    }
}
