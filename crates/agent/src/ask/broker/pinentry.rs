//! PINs and confirmations from `pinentry`, over the Assuan protocol.
//!
//! # Source
//!
//! The GnuPG project's documents on Assuan and on Pinentry: lines of at most 1000 bytes,
//! `%XX` for what a line cannot hold.

use std::env;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use zeroize::Zeroizing;

use super::child;
use super::{NoAnswer, Secret};

/// The longest line of the protocol.
const MAX_LINE: usize = 1002;

/// Asks for a PIN.
pub(super) async fn pin(program: &Path, text: &str) -> Result<Secret, NoAnswer> {
    let mut dialog = Dialog::start(program, text).await?;
    dialog.command("SETPROMPT PIN:").await?;
    dialog.command("GETPIN").await
}

/// Asks for a yes.
pub(super) async fn confirm(program: &Path, text: &str) -> Result<bool, NoAnswer> {
    let mut dialog = Dialog::start(program, text).await?;
    Ok(dialog.command("CONFIRM").await.is_ok())
}

struct Dialog {
    _child: tokio::process::Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Dialog {
    async fn start(program: &Path, text: &str) -> Result<Self, NoAnswer> {
        let mut child = child::start(program, &[], &[], Stdio::piped())?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(NoAnswer::Declined);
        };
        let mut dialog = Self {
            _child: child,
            stdin,
            stdout,
        };
        dialog.answer().await?;
        for (option, var) in [
            ("ttyname", "GPG_TTY"),
            ("ttytype", "TERM"),
            ("lc-ctype", "LC_ALL"),
        ] {
            if let Ok(value) = env::var(var) {
                // An old pinentry may not know it.
                let _ = dialog
                    .command(&format!("OPTION {option}={}", escape(&value)))
                    .await;
            }
        }
        dialog.command("SETTITLE tpmssh").await?;
        dialog.command(&format!("SETDESC {}", escape(text))).await?;
        Ok(dialog)
    }

    /// Sends a line; returns the data that come back before `OK`.
    async fn command(&mut self, line: &str) -> Result<Secret, NoAnswer> {
        let line = format!("{line}\n");
        let sent = self.stdin.write_all(line.as_bytes()).await;
        sent.map_err(|_| NoAnswer::Declined)?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Secret, NoAnswer> {
        let mut data = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        loop {
            let line = self.line().await?;
            if line.starts_with(b"OK") {
                return Ok(data);
            } else if line.starts_with(b"ERR") {
                return Err(NoAnswer::Declined);
            } else if let Some(escaped) = line.strip_prefix(b"D ") {
                if data.len() + escaped.len() > MAX_LINE {
                    return Err(NoAnswer::TooLong);
                }
                unescape(escaped, &mut data);
            }
        }
    }

    /// Reads a line byte by byte: a buffered reader would keep bytes of the PIN that are not wiped.
    async fn line(&mut self) -> Result<Secret, NoAnswer> {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        loop {
            match self.stdout.read_u8().await {
                Ok(b'\n') => return Ok(line),
                Ok(_) if line.len() == MAX_LINE => return Err(NoAnswer::TooLong),
                Ok(byte) => line.push(byte),
                Err(_) => return Err(NoAnswer::Declined),
            }
        }
    }
}

/// `text` as the rest of a line, cut if the line would be too long.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_control() || c == '%' {
            // Writing to a string does not fail.
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
        if out.len() > 900 {
            break;
        }
    }
    out
}

fn unescape(mut line: &[u8], out: &mut Vec<u8>) {
    while let Some((&byte, rest)) = line.split_first() {
        line = rest;
        let code = match (byte, rest.get(..2)) {
            (b'%', Some(digits)) => std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        match code {
            Some(code) => {
                out.push(code);
                line = &rest[2..];
            }
            None => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_cannot_hold_is_escaped() {
        assert_eq!(escape("a\n100%\r"), "a%0A100%25%0D");
        let mut out = Vec::new();
        unescape(b"a%0A100%25%zz%2", &mut out);
        assert_eq!(out, b"a\n100%%zz%2");
    }

    const TWIN: &str = r#"echo OK hello
while read -r command rest; do case $command in
GETPIN) echo 'S status'; echo 'D 12%2534'; echo OK;;
CONFIRM) echo "ERR 83886179 cancelled";;
SETDESC) [ "$rest" = 'whose?%0Ahere' ] && echo OK || echo ERR 1;;
OPTION) echo ERR 1 unknown;;
*) echo OK;; esac; done"#;

    #[tokio::test]
    async fn a_pin_and_a_no_from_a_program_that_speaks_assuan() {
        let dir = tempfile::tempdir().unwrap();
        let program = child::tests::program(&dir, TWIN);
        let answer = pin(&program, "whose?\nhere").await.unwrap();
        assert_eq!(answer.as_slice(), b"12%34");
        assert!(!confirm(&program, "whose?\nhere").await.unwrap());
        assert!(pin(&program, "another").await.is_err());
    }

    #[tokio::test]
    async fn a_program_that_speaks_something_else_gives_no_answer() {
        for script in ["exit 0", "echo ERR 1", "exec head -c 5000 /dev/zero"] {
            let dir = tempfile::tempdir().unwrap();
            let program = child::tests::program(&dir, script);
            assert!(pin(&program, "?").await.is_err(), "{script}");
        }
    }
}
