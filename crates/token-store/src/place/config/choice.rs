//! The choice of the TPM.

use std::fmt;

use tpm_core::Tcti;

use super::Config;
use crate::{Error, Result, place::env};

/// The TPM to use, and the source of this choice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// The connection.
    pub tcti: Tcti,
    /// Whether it is a simulator, which protects nothing.
    pub simulated: bool,
    /// The source of the choice.
    pub source: Source,
}

/// The sources of a choice of TPM, the one with precedence first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment variable `TPMSSH_TCTI`.
    Environment,
    /// The configuration file.
    File,
    /// No choice was made, and the kernel has a resource manager.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "--tcti",
            Self::Environment => "TPMSSH_TCTI",
            Self::File => "configuration file",
            Self::Default => "default",
        })
    }
}

impl Config {
    /// The TPM to use: `flag` if given, else `$TPMSSH_TCTI`, else this file's, else
    /// the kernel's resource manager ([`Tcti::Kernel`]) if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`] for a connection string that is not allowed,
    /// [`Error::NoTpmConfigured`].
    pub fn tcti(&self, flag: Option<&str>) -> Result<Choice> {
        let given = env::text("TPMSSH_TCTI").map(|text| text.to_string_lossy().into_owned());
        self.choose(flag, given.as_deref(), Tcti::default_device())
    }

    fn choose(
        &self,
        flag: Option<&str>,
        environment: Option<&str>,
        device: Option<Tcti>,
    ) -> Result<Choice> {
        let configured = self.tcti.as_deref();
        let (text, source) = match (flag, environment, configured) {
            (Some(text), _, _) => (text, Source::Flag),
            (None, Some(text), _) => (text, Source::Environment),
            (None, None, Some(text)) => (text, Source::File),
            (None, None, None) => {
                let tcti = device.ok_or(Error::NoTpmConfigured)?;
                return Ok(Choice {
                    tcti,
                    simulated: false,
                    source: Source::Default,
                });
            }
        };
        let tcti: Tcti = text.parse()?;
        // A simulator is one also if it is named by another source.
        let is_configured = configured.and_then(|text| text.parse().ok()).as_ref() == Some(&tcti);
        Ok(Choice {
            tcti,
            simulated: self.simulated && is_configured,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use testing::assert_matches;

    use super::*;

    #[test]
    fn the_flag_is_stronger_than_the_environment_and_that_than_the_file() {
        let file = Config::parse(b"tcti = 'swtpm:port=3'\nsimulated = true").unwrap();
        let device = Some(Tcti::Kernel);
        let chosen = |config: &Config, flag, environment| {
            let choice = config.choose(flag, environment, device.clone()).unwrap();
            (choice.tcti.to_string(), choice.simulated, choice.source)
        };
        let at = |port| format!("swtpm:host=127.0.0.1,port={port}");
        let (one, two) = (Some("swtpm:port=1"), Some("swtpm:port=2"));
        assert_eq!(chosen(&file, one, two), (at(1), false, Source::Flag));
        assert_eq!(
            chosen(&file, None, two),
            (at(2), false, Source::Environment)
        );
        assert_eq!(chosen(&file, None, None), (at(3), true, Source::File));
        let same = at(3);
        assert_eq!(
            chosen(&file, Some(&same), None),
            (at(3), true, Source::Flag)
        );
        let none = Config::default();
        assert_eq!(
            chosen(&none, None, None),
            ("device".into(), false, Source::Default)
        );
        assert_matches!(none.choose(None, None, None), Err(Error::NoTpmConfigured));
        assert_matches!(none.choose(Some("cmd:x"), None, None), Err(Error::Tpm(_)));
    }
}
