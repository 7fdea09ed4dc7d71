//! The floor: the recorded bytes of a `TPM2_Sign`, sent again and again.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use testing::Tap;
use token_store::{OpenToken, Pin, Store, StoreDir};
use tpm_core::Tpm;

use super::{library, raw::Connection};

const CONTEXT_LOAD: u32 = 0x161;
const SIGN: u32 = 0x15d;
const FLUSH_CONTEXT: [u8; 10] = [0x80, 0x01, 0, 0, 0, 14, 0, 0, 0x01, 0x65];

/// The offset of the first handle, in a command and in a response.
const HANDLE: std::ops::Range<usize> = 10..14;

/// A key that is loaded, and the command that signs with it.
pub(super) struct Floor {
    tcti: String,
    context: Vec<u8>,
    sign: Vec<u8>,
    /// Kept between orders if other programs can use the TPM meanwhile.
    kept: Option<Connection>,
}

impl Floor {
    pub(super) fn open(tcti: &str, context: &Path, sign: &Path) -> Result<Self> {
        let mut floor = Self {
            tcti: tcti.to_owned(),
            context: fs::read(context)?,
            sign: fs::read(sign)?,
            kept: None,
        };
        if !tcti.starts_with("swtpm:") {
            floor.kept = Some(floor.load()?);
        }
        Ok(floor)
    }

    /// Signs; connecting and loading the key are not in the time. A simulator serves one
    /// connection at a time, so a bare connection is closed after each order.
    pub(super) fn time(&mut self, count: u32) -> Result<Duration> {
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => self.load()?,
        };
        let start = Instant::now();
        for _ in 0..count {
            succeeded(&connection.transact(&self.sign)?)?;
        }
        let time = start.elapsed();
        if self.tcti.starts_with("swtpm:") {
            let flush = [&FLUSH_CONTEXT, &self.sign[HANDLE]].concat();
            succeeded(&connection.transact(&flush)?)?;
        } else {
            self.kept = Some(connection);
        }
        Ok(time)
    }

    fn load(&mut self) -> Result<Connection> {
        let mut connection = Connection::open(&self.tcti)?;
        let loaded = connection.transact(&self.context)?;
        succeeded(&loaded)?;
        let handle = loaded.get(HANDLE).context("no handle came back")?;
        self.sign
            .get_mut(HANDLE)
            .context("the recorded command is cut short")?
            .copy_from_slice(handle);
        Ok(connection)
    }
}

fn succeeded(response: &[u8]) -> Result<()> {
    let code = response.get(6..10);
    ensure!(code == Some(&[0; 4]), "the TPM answers {code:x?}");
    Ok(())
}

/// Has the library sign with the key `label` through `tap`, and stores the commands with which it
/// loads the key's saved context and signs.
///
/// # Errors
///
/// If that fails.
pub(crate) fn record(
    tap: &Tap,
    store: &Path,
    pin_file: &Path,
    label: &str,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let tpm = std::sync::Arc::new(Tpm::new(tap.tcti().parse()?));
    let store = Store::open(&StoreDir::at(store.to_owned())?)?;
    let (token, key) = library::find(&store, label)?;
    let pin = Pin::new(&fs::read(pin_file)?)?;
    let open = OpenToken::open(&store, &tpm, &token, Some(&pin))?;
    let (scheme, digest) = library::work(&key)?;
    // The first signature loads the key; the second one uses its saved context.
    open.sign(&key, scheme, &digest)?;
    tap.reset();
    open.sign(&key, scheme, &digest)?;
    let commands = tap.exchanges();
    let command = |code| {
        let found = commands.iter().find(|exchange| exchange.code() == code);
        found
            .map(|exchange| exchange.command.clone())
            .context("the library did not send what was expected")
    };
    Ok((command(CONTEXT_LOAD)?, command(SIGN)?))
}
