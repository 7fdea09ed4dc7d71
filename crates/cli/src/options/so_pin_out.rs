//! Where a recovery code (SO PIN) goes that was made up: to the person, or into a file.

use std::io::{self, Write};
use std::path::PathBuf;

use token_store::{SoPin, SoPinFile};
use zeroize::Zeroizing;

use crate::fail::error::{Error, Result};

/// Where an SO PIN goes that was made up.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct SoPinOutArgs {
    /// Write the recovery code (SO PIN) that is made up to FILE (new, mode 0600); it is not shown
    #[arg(long, value_name = "FILE")]
    so_pin_out: Option<PathBuf>,
}

impl SoPinOutArgs {
    /// Makes the file, if one is named.
    ///
    /// # Errors
    ///
    /// [`Error::Unwritable`] if it cannot be made, or exists.
    pub(crate) fn open(&self) -> Result<SoPinOut> {
        let Some(path) = self.so_pin_out.clone() else {
            return Ok(SoPinOut(None));
        };
        match SoPinFile::create(&path) {
            Ok(file) => Ok(SoPinOut(Some(file))),
            Err(source) => Err(Error::Unwritable { path, source }),
        }
    }
}

/// An open file for an SO PIN, or the person at stderr.
#[derive(Debug)]
pub(crate) struct SoPinOut(Option<SoPinFile>);

impl SoPinOut {
    /// Shows an SO PIN, which is in no other file; `unseen` is what is done if that fails.
    ///
    /// # Errors
    ///
    /// [`Error::DoneUnseen`]: then nobody knows it.
    pub(crate) fn show(self, so: &SoPin, unseen: String) -> Result<()> {
        const HINT: &str =
            "a forgotten PIN is now lost with its keys; make another token: tpmssh token init";
        let (to, written) = match self.0 {
            None => {
                let text = Zeroizing::new(format!(
                    "Recovery code (SO PIN): {}\nWrite it down now: it is shown only this once. It sets a new PIN when yours is locked or lost.\n",
                    so.reveal()
                ));
                ("stderr", io::stderr().lock().write_all(text.as_bytes()))
            }
            Some(file) => ("its file", file.write(so)),
        };
        written.map_err(|source| Error::DoneUnseen {
            done: unseen,
            to,
            hint: HINT,
            source,
        })
    }
}
