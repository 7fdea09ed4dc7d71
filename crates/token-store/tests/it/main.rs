//! Tokens against a simulated TPM, and the store against whatever may happen to its files.

mod anew;
mod attesting;
mod believed;
mod certificates;
mod chips;
mod damage;
mod health;
mod kill;
mod life_cycle;
mod moving_in;
mod objects;
mod pins;
mod places;
mod refusals;
mod sweep;
mod thieves;
mod versions;
mod walls;

use std::{path::PathBuf, sync::Arc};

use tempfile::TempDir;
use testing::{Swtpm, memory_dir};
use token_store::{
    Error, Key, KeySpec, OpenToken, Pin, SoPin, SoToken, Store, StoreDir, Token, WallKind,
    token::{self, InitOptions},
};
use tpm_core::{KeyType, OwnerAuth, PinCounter, Scheme, Srk, Tpm, info};

/// What a test returns, so that it can use `?`.
type TestResult = Result<(), Box<dyn std::error::Error>>;

const PIN: &str = "1234";
const SO_PIN: &str = "12345678";

/// A store and a TPM of a test's own.
struct Bench {
    store: Store,
    tpm: Arc<Tpm>,
    dir: TempDir,
    // Last, so that it ends last.
    swtpm: Swtpm,
}

impl Bench {
    fn new() -> Self {
        let swtpm = Swtpm::start();
        let dir = memory_dir();
        let store = Store::open_or_create(&store_dir(&dir)).expect("a new store");
        Self {
            store,
            tpm: tpm_at(&swtpm.tcti()),
            dir,
            swtpm,
        }
    }

    /// A token behind `wall` with the PINs of these tests; three tries.
    fn token(&mut self, label: &str, wall: WallKind) -> Token {
        let options = InitOptions {
            wall: Some(wall),
            ..InitOptions::new(label)
        };
        let pin = (wall != WallKind::None).then(|| pin(PIN));
        let so = so_pin(SO_PIN);
        let owner = OwnerAuth::empty();
        token::init(
            &mut self.store,
            &self.tpm,
            &options,
            Some(&so),
            pin.as_ref(),
            &owner,
        )
        .expect("a token")
        .token
    }

    fn login(&self, token: &Token, text: &str) -> Result<OpenToken, Error> {
        OpenToken::open(&self.store, &self.tpm, token, Some(&pin(text)))
    }

    fn so_login(&self, token: &Token, text: &str) -> Result<SoToken, Error> {
        SoToken::open(&self.store, &self.tpm, token, &so_pin(text))
    }

    /// Makes a key in an open token.
    fn key(&mut self, open: &OpenToken) -> Arc<Key> {
        let spec = KeySpec::new(KeyType::EccP256, "me@host");
        let pair = open.generate(&mut self.store, &spec).expect("a key");
        Arc::clone(pair.private.key().expect("a private key has a key"))
    }

    /// A second look at the same store, as another program has it.
    fn reopen(&self) -> Result<Store, Error> {
        Store::open(&store_dir(&self.dir))
    }

    /// The database file.
    fn file(&self) -> PathBuf {
        self.dir.path().join("store/store.db")
    }

    /// Changes the database behind the store's back, as somebody with an editor can.
    fn tamper(&self, sql: &str) {
        let conn = rusqlite::Connection::open(self.file()).expect("a database");
        conn.execute_batch(&format!("PRAGMA ignore_check_constraints = on; {sql}"))
            .unwrap_or_else(|err| panic!("{sql}: {err}"));
    }

    /// The chip's own count of failures.
    fn lockout_count(&self) -> u32 {
        let op = self.tpm.begin().expect("a TPM");
        info::read(&op).expect("an answer").lockout.count
    }

    /// Removes the only PIN counter from the chip, as whoever has the owner's authorization can.
    fn remove_counter(&self) {
        let remove = || {
            let op = self.tpm.begin()?;
            let srk = Srk::find(&op)?.ok_or(tpm_core::Error::NoSrk)?;
            let handle = PinCounter::list(&op)?[0];
            // It is removed by its handle: whose it is plays no part.
            PinCounter::from_parts(handle, srk.name(), srk.name())
                .undefine(&srk.open(&op)?, &OwnerAuth::empty())
        };
        remove().expect("there is one");
    }

    /// How many NV indexes of the owner there are.
    fn nv_indexes(&self) -> usize {
        let op = self.tpm.begin().expect("a TPM");
        info::handles(&op, 0x0180_0000, 0x01bf_ffff)
            .expect("an answer")
            .len()
    }
}

fn store_dir(dir: &TempDir) -> StoreDir {
    StoreDir::at(dir.path().join("store")).expect("an absolute path")
}

fn tpm_at(tcti: &str) -> Arc<Tpm> {
    Arc::new(Tpm::new(tcti.parse().expect("a TCTI of the test crate")))
}

fn pin(text: &str) -> Pin {
    Pin::new(text.as_bytes()).expect("a PIN")
}

fn so_pin(text: &str) -> SoPin {
    SoPin::new(text.as_bytes()).expect("an SO PIN")
}

/// Whether an open token signs with `key` what the key then verifies.
fn signs(open: &OpenToken, key: &Key) -> bool {
    let digest = [0x5a; 32];
    open.sign(key, Scheme::Ecdsa, &digest)
        .is_ok_and(|signature| key.public().verify(Scheme::Ecdsa, &digest, &signature))
}

/// The failure of something that must fail.
fn failure<T>(result: Result<T, Error>) -> Error {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(err) => err,
    }
}
