//! Files with one public key or certificate, as `ssh-keygen` writes them and as people edit them.

use std::path::Path;

use anyhow::{Context, Result};
use ssh_format::{AnyKey, Certificate, MAX_LINE_LEN};

use crate::fail::error::Error;
use crate::files::input_file;
use crate::show::path;

/// The public key in a file or on standard input (`-`), and its comment.
///
/// # Errors
///
/// If the file cannot be read, has not exactly one key, or has something else, which the error
/// names if it is known.
pub(crate) fn read_key(path: &Path) -> Result<(AnyKey, String)> {
    let line = read_line(path)?;
    let (key, comment) = AnyKey::from_line(&line).with_context(|| path::name(path))?;
    Ok((key, comment.to_owned()))
}

/// The certificate in a file or on standard input (`-`), and its comment.
///
/// # Errors
///
/// As for [`read_key`].
pub(crate) fn read_certificate(path: &Path) -> Result<(Certificate, String)> {
    let line = read_line(path)?;
    let read = Certificate::from_line(&line).with_context(|| path::name(path));
    read.map(|(certificate, comment)| (certificate, comment.to_owned()))
}

/// A key or a certificate.
#[derive(Debug)]
pub(crate) enum Entry {
    Key(AnyKey),
    Certificate(Box<Certificate>),
}

/// What is in a file or on standard input (`-`), key or certificate.
///
/// # Errors
///
/// As for [`read_key`].
pub(crate) fn read(path: &Path) -> Result<Entry> {
    let line = read_line(path)?;
    let entry = match AnyKey::from_line(&line) {
        Ok((key, _)) => Ok(Entry::Key(key)),
        Err(ssh_format::Error::NotAKey) => Certificate::from_line(&line)
            .map(|(certificate, _)| Entry::Certificate(Box::new(certificate))),
        Err(err) => Err(err),
    };
    entry.with_context(|| path::name(path))
}

fn read_line(path: &Path) -> Result<String> {
    let text = input_file::read_text(path, MAX_LINE_LEN + 2)?;
    let line = only_line(&text).map_err(|why| Error::NotAKeyFile {
        from: path::name(path),
        why,
    })?;
    Ok(line.to_owned())
}

/// The only line of `text` that is neither empty nor a comment.
///
/// ssh-keygen takes the first such line that is a key, whatever follows. A second one is refused
/// here, because it is unclear which of the two should be certified or revoked.
///
/// # Source
///
/// `sshkey_try_load_public` of OpenSSH.
fn only_line(text: &str) -> Result<&str, &'static str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_key = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let mut lines = text.lines().filter(is_key);
    let line = lines
        .next()
        .ok_or("it has neither a key nor a certificate")?;
    if let Some(why) = known(line) {
        return Err(why);
    }
    match lines.next() {
        None => Ok(line.trim_start()),
        Some(_) => Err("it has more than one key"),
    }
}

/// The description of a file that begins with `line`, if it is known and not a public key of OpenSSH.
fn known(line: &str) -> Option<&'static str> {
    let line = line.trim();
    if line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY") {
        return Some("it is a private key; the public one is in the file that ends in .pub");
    }
    if line.starts_with("---- BEGIN SSH2 PUBLIC KEY") {
        return Some("it has the form of RFC 4716; ssh-keygen -i -f FILE prints OpenSSH's");
    }
    if line.starts_with("-----BEGIN PUBLIC KEY") {
        return Some("it has the form of PEM; ssh-keygen -i -m PKCS8 -f FILE prints OpenSSH's");
    }
    if line.starts_with("-----BEGIN RSA PUBLIC KEY") {
        return Some("it has the form of PEM; ssh-keygen -i -m PEM -f FILE prints OpenSSH's");
    }
    if line.starts_with("-----BEGIN ") && line.contains("CERTIFICATE") {
        return Some("it is an X.509 certificate and not one of SSH");
    }
    if line.starts_with("PuTTY-User-Key-File-") {
        return Some("it is a private key of PuTTY; puttygen -L FILE prints the public one");
    }
    // A key's line begins with its type; anything before it are options of authorized_keys.
    let first = line.split([' ', '\t']).next().unwrap_or_default();
    let is_type = |word: &str| {
        ["ssh-", "ecdsa-", "sk-"]
            .iter()
            .any(|it| word.starts_with(it))
    };
    let later = |word: &str| is_type(word) && !word.contains(['"', ',', '=']);
    if !is_type(first) && line.contains(" AAAA") && line.split([' ', '\t']).any(later) {
        return Some("options stand before its key, as in authorized_keys; leave them out");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

    #[test]
    fn comments_and_empty_lines_are_passed_over() {
        for text in [
            format!("# anna's key\n\n{KEY} anna\n"),
            format!("{KEY} anna\r\n# the end\r\n\r\n"),
            format!("\u{feff}{KEY} anna"),
            format!("  {KEY} anna\n"),
        ] {
            assert_eq!(only_line(&text), Ok(&*format!("{KEY} anna")), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_has_something_else_is_called_what_it_is() {
        for (text, why) in [
            (String::new(), "it has neither a key nor a certificate"),
            (
                "# nothing\n\n".into(),
                "it has neither a key nor a certificate",
            ),
            (format!("{KEY}\n{KEY}\n"), "it has more than one key"),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n".into(),
                "it is a private key; the public one is in the file that ends in .pub",
            ),
            (
                "-----BEGIN EC PRIVATE KEY-----\nAAAA\n".into(),
                "it is a private key; the public one is in the file that ends in .pub",
            ),
            (
                "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n".into(),
                "it has the form of RFC 4716; ssh-keygen -i -f FILE prints OpenSSH's",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n".into(),
                "it is an X.509 certificate and not one of SSH",
            ),
            (
                format!("restrict,command=\"echo ssh-x\" {KEY} anna\n"),
                "options stand before its key, as in authorized_keys; leave them out",
            ),
        ] {
            assert_eq!(only_line(&text), Err(why), "{text:?}");
        }
    }
}
