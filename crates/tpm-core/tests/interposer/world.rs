//! A token on a chip, and all that its owner and its store know.

use p256::elliptic_curve::sec1::ToEncodedPoint;
use testing::{Snapshot, Swtpm};
use tpm_core::{
    ArrivalKey, AuthValue, Blob, ChangeGuard, Curve, EndorsementAuth, KeyBlob, KeyType, OpenSrk,
    OwnerAuth, PinAuth, PinCounter, Result, SoObject, SoftwareKey, Srk, TokenKey, Tpm, Usage,
    ownership::{self, Hierarchy},
};

use crate::{attestation::Attestation, chip};

/// The three walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Lockout,
    None,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Counter, Self::Lockout, Self::None];

    /// The PIN value `value`, for a token key behind this wall.
    pub(crate) fn pin(self, value: &[u8]) -> PinAuth {
        match self {
            Self::Counter | Self::Lockout => auth(value),
            Self::None => PinAuth::empty(),
        }
    }

    /// A new token key behind this wall.
    pub(crate) fn token_key(
        self,
        root: &OpenSrk<'_>,
        so: &SoObject,
        counter: &PinCounter,
    ) -> Result<TokenKey> {
        match self {
            Self::Counter => TokenKey::behind_counter(root, counter.clone()),
            Self::Lockout => TokenKey::behind_lockout(root, so, &auth(PIN)),
            Self::None => TokenKey::without_pin(root),
        }
    }
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

pub(crate) fn auth<A: From<AuthValue>>(bytes: &[u8]) -> A {
    AuthValue::new(bytes).expect("at most 32 bytes").into()
}

/// The private half of [`software`].
pub(crate) const SCALAR: [u8; 32] = *b"the private half that came along";

/// A key that was made outside of the chip.
pub(crate) fn software() -> SoftwareKey {
    let secret = p256::SecretKey::from_slice(&SCALAR).expect("a scalar");
    let point = secret.public_key().to_encoded_point(false);
    let (x, y) = (point.x().expect("x"), point.y().expect("y"));
    SoftwareKey::ecdsa(Curve::P256, &SCALAR, x, y).expect("a sound key")
}

pub(crate) fn tpm(tcti: &str) -> Tpm {
    Tpm::new(tcti.parse().expect("a TCTI of the test crate"))
}

/// A chip with a token.
pub(crate) struct World {
    /// The authorization value of the owner hierarchy.
    pub(crate) owner: OwnerAuth,
    pub(crate) kind: Kind,
    pub(crate) srk: Srk,
    pub(crate) so: SoObject,
    pub(crate) guard: ChangeGuard,
    /// Made behind every wall; the token key uses it only behind [`Kind::Counter`].
    pub(crate) counter: PinCounter,
    pub(crate) token_key: TokenKey,
    /// The guard's secret, sealed below the token key.
    pub(crate) sealed: Blob,
    /// For signing alone.
    pub(crate) key: KeyBlob,
    /// Another key of the token, which signs and agrees on secrets.
    pub(crate) other: KeyBlob,
    /// The arrival key, below which keys are imported.
    pub(crate) arrival: ArrivalKey,
    /// A key that was made outside, and is still there.
    pub(crate) software: SoftwareKey,
    /// The same key, brought in.
    pub(crate) imported: KeyBlob,
    /// An RSA key that signs and decrypts, if it was asked for.
    rsa: Option<KeyBlob>,
    /// The attestation key and credentials for it, if they were asked for.
    attestation: Option<Attestation>,
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
        let pin = auth(PIN);
        if owned {
            let op = tpm.begin()?;
            let srk = Srk::find_or_create(&op, &auth(b""))?;
            for (hierarchy, value) in [
                (Hierarchy::Owner, OWNER),
                (Hierarchy::Endorsement, ENDORSEMENT),
                (Hierarchy::Lockout, LOCKOUT),
            ] {
                ownership::change_auth(&srk.open(&op)?, hierarchy, &auth(b""), &auth(value))?;
            }
        }
        let owner = if owned {
            auth(OWNER)
        } else {
            OwnerAuth::empty()
        };
        if owned {
            chip::evict_srk(&swtpm, OWNER);
        }
        let blank = swtpm.snapshot();
        let op = tpm.begin()?;
        let srk = Srk::find_or_create(&op, &owner)?;
        let so = SoObject::create(&srk.open(&op)?, &auth(SO_PIN), &auth(SECRET))?;
        let guard = ChangeGuard::create(&srk.open(&op)?, &auth(SECRET))?;
        let handle = PinCounter::pick_handle(&op)?;
        let counter = PinCounter::from_parts(handle, so.name(), guard.name());
        counter.define(&srk.open(&op)?, &owner, &so, &auth(SO_PIN), &pin, LIMIT)?;
        let token_key = kind.token_key(&srk.open(&op)?, &so, &counter)?;
        let pin = kind.pin(PIN);
        let sealed = token_key.seal(&srk.open(&op)?, &pin, &auth(SECRET))?;
        let make = |usage| {
            let made = token_key.create_key(&srk.open(&op)?, &pin, KeyType::EccP256, usage)?;
            KeyBlob::parse(made)
        };
        let (key, other) = (make(Usage::SIGN)?, make(Usage::SIGN_DECRYPT)?);
        let arrival = token_key.create_arrival_key(&srk.open(&op)?, &pin)?;
        let software = software();
        let root = srk.open(&op)?;
        let imported = token_key.import(&root, &pin, &arrival, &software, Usage::SIGN)?;
        drop(root);
        drop(op);
        let full = swtpm.snapshot();
        Ok(Self {
            owner,
            kind,
            srk,
            so,
            guard,
            counter,
            token_key,
            sealed,
            key,
            other,
            arrival,
            software,
            imported,
            rsa: None,
            attestation: None,
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
            .create_key(&self.srk.open(&op)?, &self.pin(), key_type, usage)?;
        self.rsa = Some(KeyBlob::parse(made)?);
        drop(op);
        Ok(self)
    }

    /// With an attestation key and credentials for it.
    pub(crate) fn with_attestation(mut self) -> Result<Self> {
        let tpm = self.direct();
        let op = tpm.begin()?;
        self.attestation = Some(Attestation::new(&self, &op)?);
        drop(op);
        self.full = self.swtpm.snapshot();
        Ok(self)
    }

    pub(crate) fn attestation(&self) -> &Attestation {
        self.attestation
            .as_ref()
            .expect("with_attestation() was called")
    }

    /// The authorization value of the endorsement hierarchy of a chip that nobody owns.
    pub(crate) fn endorsement(&self) -> EndorsementAuth {
        EndorsementAuth::empty()
    }

    pub(crate) fn rsa(&self) -> &KeyBlob {
        self.rsa.as_ref().expect("with_rsa() was called")
    }

    /// The PIN that opens the token key.
    pub(crate) fn pin(&self) -> PinAuth {
        self.kind.pin(PIN)
    }

    /// The chip itself, with nobody in between.
    pub(crate) fn direct(&self) -> Tpm {
        tpm(&self.swtpm.tcti())
    }
}
