//! The configuration file, and the choice of the TPM.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use rand_core::{OsRng, RngCore};
use tpm_core::Tcti;

use super::{env, paths::config_dir};
use crate::{Error, Result, WallKind};

/// The longest configuration file that is read, in bytes.
const MAX_LEN: usize = 64 * 1024;

/// The configuration file of a user: `~/.config/tpmssh/config.toml`.
///
/// ```toml
/// tcti = "swtpm:host=127.0.0.1,port=2321" # which TPM; default: device:/dev/tpmrm0
/// simulated = true                        # that TPM protects nothing, and says so
/// token = "work laptop"                   # which token is meant where none is named
/// pin-wall = "lockout"                    # of new tokens where none is named; default: counter
///
/// [agent]
/// pin = "8h"                              # how long a PIN is good for; see `tpmssh agent --help`
/// proxy = ["/run/user/1000/ssh-agent"]    # other agents, which get what this one does not hold
/// notify = true                           # show on the desktop when a key is used
/// log = true                              # keep a log of what keys were used for
/// sha1 = true                             # also sign with SHA-1, for old programs with RSA keys
///
/// [agent.pins]
/// "work laptop" = "never"                 # the same as `pin`, for one token
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Which TPM to use.
    pub tcti: Option<String>,
    /// Whether that TPM is a simulator.
    pub simulated: bool,
    /// The label or serial number of the default token.
    pub token: Option<String>,
    /// The default PIN wall of new tokens.
    pub pin_wall: Option<WallKind>,
    /// The section of the agent.
    pub agent: Agent,
}

/// The section `[agent]`. The agent interprets the values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agent {
    /// How long the agent keeps a PIN.
    pub pin: Option<String>,
    /// The same for one token, by label or serial number.
    pub pins: BTreeMap<String, String>,
    /// The sockets of other agents.
    pub proxy: Vec<PathBuf>,
    /// Whether the desktop shows when a key is used.
    pub notify: Option<bool>,
    /// Whether the agent keeps a log of the uses of keys.
    pub log: Option<bool>,
    /// Whether RSA keys also make signatures with SHA-1.
    pub sha1: Option<bool>,
}

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
    /// No choice was made, and `/dev/tpmrm0` exists.
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
    /// Where the file is: `$XDG_CONFIG_HOME/tpmssh/config.toml`, else
    /// `~/.config/tpmssh/config.toml`.
    ///
    /// # Errors
    ///
    /// [`Error::UnsafePath`] if a variable is not an absolute path; [`Error::NoHome`].
    pub fn path() -> Result<PathBuf> {
        Ok(config_dir()?.join("tpmssh/config.toml"))
    }

    /// Reads the file. If there is none, all values are defaults.
    ///
    /// # Errors
    ///
    /// [`Error::UnsafePath`] if other users can write the file; [`Error::Config`] if it is not TOML
    /// or has unknown keys or values.
    pub fn load() -> Result<Self> {
        let path = match Self::path() {
            // A system service has no home directory, and so no configuration file.
            Err(Error::NoHome) => return Ok(Self::default()),
            path => path?,
        };
        match env::read_file(&path, MAX_LEN)? {
            Some(bytes) => Self::parse(&bytes).map_err(|why| Error::Config { path, why }),
            None => Ok(Self::default()),
        }
    }

    /// The only token that a PKCS#11 program or a client of the agent sees: `$TPMSSH_TOKEN`, otherwise
    /// this file's `token`; `None` for all.
    #[must_use]
    pub fn shown_token(&self) -> Option<String> {
        let given = env::text("TPMSSH_TOKEN").map(|text| text.to_string_lossy().into_owned());
        given.or_else(|| self.token.clone())
    }

    /// The TPM to use: `flag` if given, else `$TPMSSH_TCTI`, else this file's, else
    /// `/dev/tpmrm0` if it exists.
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

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let table: toml::Table = text.parse().map_err(|err: toml::de::Error| {
            // The first line of the message is enough; the others quote the file.
            let why = err.message().lines().next().unwrap_or("it is not TOML");
            let line = err.span().map(|span| {
                let before = text.as_bytes().iter().take(span.start);
                before.filter(|&&byte| byte == b'\n').count() + 1
            });
            at_line(line, why)
        })?;
        Self::read(table).map_err(|why| at_line(line_of(text, &why), &why))
    }

    fn read(table: toml::Table) -> Result<Self, String> {
        let mut config = Self::default();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("tcti", toml::Value::String(tcti)) => config.tcti = Some(tcti),
                ("simulated", toml::Value::Boolean(simulated)) => config.simulated = simulated,
                ("token", toml::Value::String(token)) => config.token = Some(token),
                ("pin-wall", toml::Value::String(wall)) => {
                    config.pin_wall = Some(wall.parse().map_err(|_| bad_wall())?);
                }
                ("agent", toml::Value::Table(table)) => config.agent = Agent::parse(table)?,
                ("tcti" | "token", _) => return Err(format!("{key} must be a string")),
                ("pin-wall", _) => return Err(bad_wall()),
                ("simulated", _) => return Err("simulated must be true or false".to_owned()),
                ("agent", _) => return Err("agent must be a section".to_owned()),
                _ => return Err(unknown(&key)),
            }
        }
        Ok(config)
    }
}

impl Agent {
    fn parse(table: toml::Table) -> Result<Self, String> {
        use toml::Value::{Array, Boolean, String, Table};
        let mut agent = Self::default();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("pin", String(pin)) => agent.pin = Some(pin),
                ("pins", Table(pins)) => {
                    for (token, pin) in pins {
                        let String(pin) = pin else {
                            return Err(format!(
                                "agent.pins.\"{}\" must be a string",
                                token.escape_debug()
                            ));
                        };
                        agent.pins.insert(token, pin);
                    }
                }
                ("proxy", Array(sockets)) => {
                    for socket in sockets {
                        match socket {
                            String(socket) => agent.proxy.push(socket.into()),
                            _ => return Err("agent.proxy must be a list of paths".to_owned()),
                        }
                    }
                }
                ("notify", Boolean(notify)) => agent.notify = Some(notify),
                ("log", Boolean(log)) => agent.log = Some(log),
                ("sha1", Boolean(sha1)) => agent.sha1 = Some(sha1),
                ("pin", _) => return Err("agent.pin must be a string".to_owned()),
                ("pins", _) => return Err("agent.pins must be a section".to_owned()),
                ("proxy", _) => return Err("agent.proxy must be a list of paths".to_owned()),
                ("notify" | "log" | "sha1", _) => {
                    return Err(format!("agent.{key} must be true or false"));
                }
                _ => return Err(unknown(&format!("agent.{key}"))),
            }
        }
        Ok(agent)
    }
}

/// What is wrong, and where.
fn at_line(line: Option<usize>, why: &str) -> String {
    match line {
        Some(line) => format!("line {line}: {why}"),
        None => why.to_owned(),
    }
}

/// The number of the line with the key that `why` begins with, or names after `unknown key`.
fn line_of(text: &str, why: &str) -> Option<usize> {
    let bare = |text: &str| text.replace(['"', '\''], "");
    let why = bare(why);
    let why = why.strip_prefix("unknown key ").unwrap_or(&why);
    let names = |key: &str| {
        let rest = why.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let mut section = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.split(']').next())
        {
            section = bare(name.trim());
            if names(&section) {
                return Some(number);
            }
        } else if let Some((key, _)) = line.split_once('=') {
            let key = bare(key.trim());
            let full = match section.as_str() {
                "" => key,
                section => format!("{section}.{key}"),
            };
            if names(&full) {
                return Some(number);
            }
        }
    }
    None
}

fn bad_wall() -> String {
    "pin-wall must be counter, lockout or none".to_owned()
}

fn unknown(key: &str) -> String {
    format!("unknown key \"{}\"", key.escape_debug())
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

    use testing::assert_matches;

    use super::*;

    const SWTPM: &str = "swtpm:host=127.0.0.1,port=2321";

    fn config(text: &str) -> Config {
        Config::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_file_says_which_tpm_and_token() {
        let config =
            config("# mine\ntcti = \"swtpm:port=2321\"\nsimulated = true\ntoken = 'work'\n");
        assert_eq!(config.tcti.as_deref(), Some("swtpm:port=2321"));
        assert_eq!(config.token.as_deref(), Some("work"));
        assert_eq!(config.pin_wall, None);
        let walled = self::config("pin-wall = 'lockout'");
        assert_eq!(walled.pin_wall, Some(WallKind::Lockout));
        assert!(config.simulated);
    }

    #[test]
    fn a_file_says_what_the_agent_does() {
        let config = config(
            "[agent]\npin = '8h'\nproxy = ['/run/a']\nnotify = true\nlog = false\nsha1 = true\n\
             [agent.pins]\n'work laptop' = 'never'\n",
        );
        let agent = config.agent;
        assert_eq!(agent.pin.as_deref(), Some("8h"));
        assert_eq!(agent.pins["work laptop"], "never");
        assert_eq!(agent.proxy, [PathBuf::from("/run/a")]);
        assert_eq!((agent.notify, agent.log), (Some(true), Some(false)));
        assert_eq!(agent.sha1, Some(true));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let refusal = |text: &str| Config::parse(text.as_bytes()).expect_err("it was taken");
        assert_eq!(refusal("tpm = 1"), "line 1: unknown key \"tpm\"");
        assert_eq!(refusal("tcti = 1"), "line 1: tcti must be a string");
        for text in ["pin-wall = 1", "pin-wall = 'moat'"] {
            assert_eq!(
                refusal(text),
                "line 1: pin-wall must be counter, lockout or none"
            );
        }
        assert_eq!(
            refusal("simulated = 'yes'"),
            "line 1: simulated must be true or false"
        );
        for (text, expected) in [
            ("agent = 1", "line 1: agent must be a section"),
            ("[agent]\npin = 5", "line 2: agent.pin must be a string"),
            ("[agent]\npins = 5", "line 2: agent.pins must be a section"),
            (
                "[agent.pins]\na = 5",
                "line 2: agent.pins.\"a\" must be a string",
            ),
            (
                "[agent]\nproxy = [5]",
                "line 2: agent.proxy must be a list of paths",
            ),
            (
                "[agent]\nproxy = ''",
                "line 2: agent.proxy must be a list of paths",
            ),
            (
                "[agent]\nnotify = 1",
                "line 2: agent.notify must be true or false",
            ),
            (
                "[agent]\nsha1 = 'yes'",
                "line 2: agent.sha1 must be true or false",
            ),
            (
                "[agent]\nsocket = ''",
                "line 2: unknown key \"agent.socket\"",
            ),
        ] {
            assert_eq!(refusal(text), expected, "{text}");
        }
        let cut = refusal("# mine\ntcti = ");
        assert!(cut.starts_with("line 2: "), "{cut}");
        assert_eq!(
            Config::parse(b"\xff").expect_err("it was taken"),
            "it is not UTF-8"
        );
    }

    #[test]
    fn the_flag_is_stronger_than_the_environment_and_that_than_the_file() {
        let file = config("tcti = 'swtpm:port=3'\nsimulated = true");
        let device = Some("device:/dev/tpmrm0".parse().unwrap());
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
            ("device:/dev/tpmrm0".into(), false, Source::Default)
        );
        assert_matches!(none.choose(None, None, None), Err(Error::NoTpmConfigured));
        assert_matches!(none.choose(Some("cmd:x"), None, None), Err(Error::Tpm(_)));
    }

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
        fn any_file_is_read_or_refused(bytes: Vec<u8>) {
            let _ = Config::parse(&bytes);
        }

        #[test]
        fn editing_never_changes_what_else_is_said(token in "[ -~]{0,40}") {
            let tcti: Tcti = SWTPM.parse().unwrap();
            let old = format!("token = {}\n", toml::Value::String(token.clone()));
            let new = config(&with_simulator(&old, Some(&tcti)));
            prop_assert_eq!(new.token, Some(token));
            prop_assert!(new.simulated);
        }
    }
}
