//! The simulator, which `tpmssh simulator` writes into the configuration file.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
};

use rand_core::{OsRng, RngCore};
use tpm_core::Tcti;

use super::{Config, MAX_LEN};
use crate::{Error, Result, place::env};

impl Config {
    /// Changes the file so that it names the simulator at `tcti`, or none if `tcti` is `None`.
    /// Other keys and comments stay.
    ///
    /// Returns `false` and changes nothing if it names a TPM that is not a simulator.
    ///
    /// # Errors
    ///
    /// Those of [`Config::load`], and [`Error::Disk`]; the old file is then as it was.
    pub fn set_simulator(tcti: Option<&Tcti>) -> Result<bool> {
        let path = Self::path()?;
        let old = env::read_file(&path, MAX_LEN)?.unwrap_or_default();
        let refuse = |why| Error::Config {
            path: path.clone(),
            why,
        };
        let config = Self::parse(&old).map_err(refuse)?;
        if config.tcti.is_some() && !config.simulated {
            return Ok(false);
        }
        let new = with_simulator(&String::from_utf8_lossy(&old), tcti);
        let wanted = Self {
            tcti: tcti.map(ToString::to_string),
            simulated: tcti.is_some(),
            token: config.token,
            pin_wall: config.pin_wall,
            agent: config.agent,
        };
        // The lines are edited as text, to keep comments. So the result is parsed and compared.
        if Self::parse(new.as_bytes()) != Ok(wanted) {
            return Err(refuse(
                "tcti and simulated must each be on a line of its own".to_owned(),
            ));
        }
        replace(&path, &new).map_err(Error::Disk)?;
        Ok(true)
    }
}

/// `text` with its `tcti` and `simulated` lines replaced.
fn with_simulator(text: &str, tcti: Option<&Tcti>) -> String {
    let is_ours = |line: &&str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        matches!(key, "tcti" | "simulated")
    };
    let mut out = String::new();
    if let Some(tcti) = tcti {
        let tcti = toml::Value::String(tcti.to_string());
        out = format!("tcti = {tcti}\nsimulated = true\n");
    }
    for line in text.lines().filter(|line| !is_ours(line)) {
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Replaces a file by a rename, so that other programs read either the old text or the new one.
fn replace(path: &std::path::Path, text: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    let new = path.with_extension(format!("toml.{:016x}", OsRng.next_u64()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written
        .and_then(|()| fs::rename(&new, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SWTPM: &str = "swtpm:host=127.0.0.1,port=2321";

    #[test]
    fn a_simulator_is_noted_and_struck_out_and_the_rest_stays() {
        let tcti: Tcti = SWTPM.parse().unwrap();
        let old = "# mine\ntoken = \"work\"  # the one\n";
        let with = with_simulator(old, Some(&tcti));
        assert_eq!(with, format!("tcti = \"{SWTPM}\"\nsimulated = true\n{old}"));
        assert_eq!(with_simulator(&with, Some(&tcti)), with);
        assert_eq!(with_simulator(&with, None), old);
    }

    #[test]
    fn a_file_is_replaced_and_private() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.toml");
        replace(&path, "a").unwrap();
        replace(&path, "b").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn editing_never_changes_what_else_is_said(token in "[ -~]{0,40}") {
            let tcti: Tcti = SWTPM.parse().unwrap();
            let old = format!("token = {}\n", toml::Value::String(token.clone()));
            let new = Config::parse(with_simulator(&old, Some(&tcti)).as_bytes()).unwrap();
            prop_assert_eq!(new.token, Some(token));
            prop_assert!(new.simulated);
        }
    }
}
