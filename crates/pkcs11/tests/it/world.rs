//! A TPM, a home, and the tokens in it.

use std::{env, ffi::OsString, sync::Arc};

use testing::{Abrmd, Fault, Home, Swtpm, Tap, When};
use token_store::{
    KeySpec, OpenToken, Pin, SoPin, Store, StoreDir, WallKind,
    token::{self, InitOptions},
};
use tpm_core::{AuthValue, Curve, KeyType, OwnerAuth, SoftwareKey, Tpm, Usage};

/// The user PIN of every token that has one.
pub(crate) const PIN: &str = "correct horse";
/// The SO PIN of every token.
pub(crate) const SO_PIN: &str = "battery staple";
/// The token without a PIN.
pub(crate) const OPEN: &str = "open";
/// The token with a PIN counter.
pub(crate) const LOCKED: &str = "locked";

/// What an isolated test lives in.
pub(crate) struct World {
    pub(crate) home: Home,
    manager: Option<Abrmd>,
    tap: Tap,
    tpm: Arc<Tpm>,
    budget: Option<usize>,
    variables: Vec<(&'static str, OsString)>,
    _swtpm: Swtpm,
}

impl World {
    /// A TPM and a home without tokens.
    pub(crate) fn new() -> Self {
        let swtpm = Swtpm::start();
        let tap = Tap::start(&swtpm);
        Self {
            home: Home::with_tcti(tap.tcti()),
            tpm: Arc::new(Tpm::new(tap.tcti().parse().expect("a tcti"))),
            manager: None,
            tap,
            budget: None,
            variables: Vec::new(),
            _swtpm: swtpm,
        }
    }

    /// With a token, and keys of these kinds in it. Each is called as its kind is, and its id
    /// is the number of its kind's bits.
    pub(crate) fn token(self, label: &str, keys: &[(KeyType, Usage)]) -> Self {
        let mut store = self.store();
        let so = SoPin::new(SO_PIN.as_bytes()).expect("a PIN");
        let pin = Pin::new(PIN.as_bytes()).expect("a PIN");
        let pin = (label == LOCKED).then_some(&pin);
        let wall = if pin.is_some() {
            WallKind::Counter
        } else {
            WallKind::None
        };
        let options = InitOptions {
            wall: Some(wall),
            ..InitOptions::new(label)
        };
        let owner = OwnerAuth::empty();
        let made = token::init(&mut store, &self.tpm, &options, Some(&so), pin, &owner);
        let token = made.expect("a token is made").token;
        let open = OpenToken::open(&store, &self.tpm, &token, pin).expect("the PIN is right");
        for &(key_type, usage) in keys {
            let spec = KeySpec {
                usage,
                id: Some(key_type.bits().to_be_bytes().to_vec()),
                ..KeySpec::new(key_type, key_type.name())
            };
            open.generate(&mut store, &spec).expect("a key is made");
        }
        self
    }

    /// With a P-256 key in the open token that was made outside of the chip: "imported", for signing
    /// and agreeing on secrets.
    pub(crate) fn importing(self) -> Self {
        use p256::elliptic_curve::sec1::ToEncodedPoint;
        let secret = p256::SecretKey::random(&mut rand_core::OsRng);
        let point = secret.public_key().to_encoded_point(false);
        let (x, y) = (point.x().expect("x"), point.y().expect("y"));
        let software = SoftwareKey::ecdsa(Curve::P256, &secret.to_bytes(), x, y);
        let spec = KeySpec {
            usage: Usage::SIGN_DECRYPT,
            ..KeySpec::new(KeyType::EccP256, "imported")
        };
        let mut store = self.store();
        let token = store.find_token(OPEN).expect("a token");
        let open = OpenToken::open(&store, &self.tpm, &token, None).expect("no PIN");
        open.import(&mut store, &software.expect("sound"), &spec)
            .expect("it is imported");
        self
    }

    /// The open token with a P-256 key for signing.
    pub(crate) fn with_key() -> Self {
        Self::new().token(OPEN, &[(KeyType::EccP256, Usage::SIGN)])
    }

    /// Processes in it are told that `variable` is `value`.
    pub(crate) fn telling(mut self, variable: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }

    /// Processes in it are told what this variable says here, if anything.
    pub(crate) fn passing(self, variable: &'static str) -> Self {
        match env::var_os(variable) {
            Some(value) => self.telling(variable, value),
            None => self,
        }
    }

    /// What processes in it are told.
    pub(crate) fn variables(&self) -> &[(&'static str, OsString)] {
        &self.variables
    }

    /// Processes in it use the TPM through a resource manager.
    pub(crate) fn managed(mut self) -> Self {
        let abrmd = Abrmd::behind(&self.tap);
        self.home.set_tcti(abrmd.tcti());
        let bus = abrmd.bus_address();
        self.manager = Some(abrmd);
        self.telling("DBUS_SESSION_BUS_ADDRESS", bus)
    }

    /// From here on the owner hierarchy has a password.
    pub(crate) fn set_owner_password(&self) {
        use tpm_core::{
            Srk,
            ownership::{Hierarchy, change_auth},
        };
        let op = self.tpm.begin().expect("a TPM");
        let srk = Srk::find(&op).expect("an answer").expect("an SRK");
        let password = AuthValue::new(b"owner").expect("a password");
        change_auth(
            &srk.open(&op).expect("the key of this chip"),
            Hierarchy::Owner,
            &AuthValue::empty(),
            &password,
        )
        .expect("it had none");
    }

    /// From here on the TPM gives no answer to this command.
    pub(crate) fn silent_to(self, command: u32) -> Self {
        self.tap.inject(When::Command(command), Fault::Silence);
        self
    }

    /// The test may cost so many TPM commands from here on, FlushContext aside.
    pub(crate) fn costing(mut self, budget: usize) -> Self {
        self.tap.reset();
        self.budget = Some(budget);
        self
    }

    /// What is in the home.
    pub(crate) fn store(&self) -> Store {
        let dir = StoreDir::at(self.home.store()).expect("a path");
        Store::open_or_create(&dir).expect("the store opens")
    }

    /// Fails the test if it cost more than it may.
    pub(crate) fn check(&self) {
        if let Some(budget) = self.budget {
            let commands = self.tap.commands();
            assert!(self.tap.count() <= budget, "{commands:x?}");
        }
    }
}
