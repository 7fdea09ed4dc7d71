//! The text of the configuration file.

use super::{Agent, Config};

impl Config {
    /// Reads the text of a file; the error says the line, if it is known, and the reason.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
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

/// The reason, with the line if it is known.
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::WallKind;

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

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(bytes: Vec<u8>) {
            let _ = Config::parse(&bytes);
        }
    }
}
