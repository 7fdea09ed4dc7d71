//! The file of an authority's keys that are sealed to a TPM.

use anyhow::{Context, bail};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use ssh_format::AnyKey;
use tpm_core::{Blob, SealedData, Srk};

/// The comment at the beginning of the file.
const HEAD: &str = "# The keys of an SSH authority, sealed to the TPM of one machine (tpmssh-ca ca seal). No other machine can open them.\n";

/// The contents of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyFile {
    /// The storage root key under which the keys are sealed.
    pub(super) srk: Srk,
    pub(super) user: SealedKey,
    pub(super) host: SealedKey,
}

/// A sealed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealedKey {
    pub(super) public: AnyKey,
    /// The scalar of the private half, 32 bytes.
    pub(super) sealed: SealedData,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    srk: String,
    user: KeyText,
    host: KeyText,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    key: String,
    sealed_public: String,
    sealed_private: String,
}

impl KeyFile {
    /// Reads the text of a file, without a TPM.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let text: Text = toml::from_str(text).map_err(|err| {
            // Only the message: the rest of the error quotes the file.
            let why = err.message().lines().next().unwrap_or("it is not TOML");
            anyhow::anyhow!("{why}")
        })?;
        if text.version != 1 {
            bail!("only version 1 is known");
        }
        let file = Self {
            srk: Srk::from_bytes(&bytes("srk", &text.srk)?).context("srk")?,
            user: text.user.read().context("user")?,
            host: text.host.read().context("host")?,
        };
        if file.user.public == file.host.public {
            bail!("users and hosts need two different keys");
        }
        Ok(file)
    }

    /// The text of the file.
    pub(super) fn to_text(&self) -> anyhow::Result<String> {
        let text = Text {
            version: 1,
            srk: Base64::encode_string(&self.srk.to_bytes()),
            user: KeyText::of(&self.user),
            host: KeyText::of(&self.host),
        };
        Ok(format!("{HEAD}{}", toml::to_string(&text)?))
    }
}

impl KeyText {
    fn of(key: &SealedKey) -> Self {
        let blob = key.sealed.blob();
        Self {
            key: key.public.line(""),
            sealed_public: Base64::encode_string(&blob.public),
            sealed_private: Base64::encode_string(&blob.private),
        }
    }

    fn read(&self) -> anyhow::Result<SealedKey> {
        let (public, _) = AnyKey::from_line(self.key.trim()).context("key")?;
        if public.algorithm() != "ecdsa-sha2-nistp256" {
            bail!("key: it is not one of ecdsa-sha2-nistp256");
        }
        let blob = Blob {
            public: bytes("sealed_public", &self.sealed_public)?,
            private: bytes("sealed_private", &self.sealed_private)?,
        };
        let sealed = SealedData::from_blob(blob)?;
        Ok(SealedKey { public, sealed })
    }
}

fn bytes(name: &str, text: &str) -> anyhow::Result<Vec<u8>> {
    match Base64::decode_vec(text) {
        Ok(bytes) => Ok(bytes),
        Err(_) => bail!("{name}: it is not Base64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `tpmssh-ca ca seal` with a simulated TPM that no longer exists.
    const GOOD: &str = include_str!("good.toml");

    fn why(text: &str) -> String {
        format!("{:#}", KeyFile::parse(text).unwrap_err())
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let file = KeyFile::parse(GOOD).unwrap();
        assert_eq!(file.to_text().unwrap(), GOOD);
        assert_ne!(file.user, file.host);
    }

    #[test]
    fn a_broken_file_is_refused_with_a_reason() {
        let line = |name: &str, nth: usize| {
            let mut lines = GOOD.lines().filter(|line| line.starts_with(name));
            lines.nth(nth).unwrap()
        };
        let other = "key = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\"";
        let short = "sealed_private = \"AAAA\"";
        for (from, to, says) in [
            ("version = 1", "version = 2", "only version 1 is known"),
            ("version = 1\n", "", "missing field `version`"),
            (
                "version = 1",
                "version = 1\nmore = 2",
                "unknown field `more`, expected one of `version`, `srk`, `user`, `host`",
            ),
            (line("srk", 0), "srk = \"?\"", "srk: it is not Base64"),
            (
                line("srk", 0),
                "srk = \"AAAA\"",
                "srk: malformed pinned storage root key",
            ),
            (
                line("key", 1),
                line("key", 0),
                "users and hosts need two different keys",
            ),
            (
                line("key", 0),
                other,
                "user: key: it is not one of ecdsa-sha2-nistp256",
            ),
            (
                line("sealed_private", 1),
                short,
                "host: malformed private part of a key",
            ),
            (
                line("sealed_public", 0),
                "sealed_public = \"AAAA\"",
                "user: key refused: it is not the sealed object that it stands for",
            ),
        ] {
            let broken = GOOD.replacen(from, to, 1);
            assert_ne!(broken, GOOD, "{says}");
            assert_eq!(why(&broken), says);
        }
        // A file that is cut at any place is refused, without a panic.
        let last = GOOD.trim_end().len() - 1;
        for len in (0..last).filter(|&len| GOOD.is_char_boundary(len)) {
            why(&GOOD[..len]);
        }
    }
}
