//! Files of allowed signers, as `ssh-keygen -Y verify` and git read them.

use std::fmt;

use crate::sshsig::Signer;
use crate::{AnyKey, CertificateKind, CertificateState, Error, Result, pattern};

mod line;
mod names;

use line::Line;

/// A file of allowed signers.
///
/// It gives the same answers as `ssh-keygen -Y verify` and `-Y find-principals`. As there, a line
/// that cannot be parsed allows nothing, and the other lines count; [`skipped`](Self::skipped)
/// lists such lines.
///
/// # Source
///
/// ssh-keygen(1), "ALLOWED SIGNERS".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedSigners {
    lines: Vec<Line>,
    skipped: Vec<SkippedLine>,
}

/// A line that cannot be parsed, and so allows nothing.
///
/// Displayed as a sentence with the number of the line and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedLine {
    number: usize,
    why: String,
}

impl SkippedLine {
    /// Its number in the file, from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }
}

impl fmt::Display for SkippedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, why } = self;
        write!(f, "line {number} of the allowed signers is skipped: {why}")
    }
}

impl AllowedSigners {
    /// Parses a file. Comments may be in any encoding. Times without `Z` are local times.
    #[must_use]
    pub fn parse(file: impl AsRef<[u8]>) -> Self {
        let mut all = Self::default();
        for (line, number) in file.as_ref().split(|&byte| byte == b'\n').zip(1..) {
            match Line::parse(line, number) {
                Ok(Some(line)) => all.lines.push(line),
                Ok(None) => {}
                Err(why) => all.skipped.push(SkippedLine { number, why }),
            }
        }
        all
    }

    /// The lines that cannot be parsed, in the order of the file.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedLine] {
        &self.skipped
    }

    /// Whether `identity` may sign with `signer` for this purpose at `now`, in seconds since
    /// 1970.
    #[must_use]
    pub fn allow(&self, identity: &str, namespace: &str, signer: &Signer, now: u64) -> bool {
        self.lines.iter().any(|line| {
            pattern::matches_list(line.principals.as_bytes(), identity.as_bytes())
                && line.fits(Some(namespace), signer, now)
                && line.certifies(identity, signer)
        })
    }

    /// The principals of the first line that allows `signer` at `now`, one by one, as they stand in
    /// the line. For a certificate: those of its own principals that this line allows.
    ///
    /// With a `namespace` only lines that allow it count. Without one, the result is that of
    /// `ssh-keygen -Y find-principals`, which does not look at namespaces.
    #[must_use]
    pub fn principals(&self, namespace: Option<&str>, signer: &Signer, now: u64) -> Vec<String> {
        let mut lines = self.lines.iter();
        let found = lines.find_map(|line| {
            let principals = line
                .fits(namespace, signer, now)
                .then(|| line.principals_of(signer))?;
            // As in OpenSSH, a line does not match a certificate if it allows none of its
            // principals.
            let is_match = matches!(signer, Signer::Key(_)) || !principals.is_empty();
            is_match.then_some(principals)
        });
        found.unwrap_or_default()
    }

    /// The line that allows `identity` to sign with `key`, for one namespace or for all.
    ///
    /// # Errors
    ///
    /// [`Error::NotAWord`] if `identity` or `namespace` cannot be written as one word.
    pub fn line(
        identity: &str,
        namespace: Option<&str>,
        key: &AnyKey,
        comment: &str,
    ) -> Result<String> {
        let is_word = |text: &str| {
            let special = |c: char| c.is_whitespace() || c.is_control() || "\",#!*?".contains(c);
            !text.is_empty() && !text.contains(special)
        };
        // A backslash would escape the quotation mark that ends the namespaces.
        let is_namespace = |text: &str| is_word(text) && !text.ends_with('\\');
        if !is_word(identity) || !namespace.is_none_or(is_namespace) {
            return Err(Error::NotAWord);
        }
        let key = key.line(comment);
        Ok(match namespace {
            None => format!("{identity} {key}"),
            Some(namespace) => format!("{identity} namespaces=\"{namespace}\" {key}"),
        })
    }
}

impl Line {
    /// Whether this line allows `signer` at `now`, for this namespace, or for any if it is `None`.
    fn fits(&self, namespace: Option<&str>, signer: &Signer, now: u64) -> bool {
        let options = &self.options;
        let is_for = |list: &Vec<u8>| {
            namespace.is_none_or(|wanted| pattern::matches_list(list, wanted.as_bytes()))
        };
        options.namespaces.as_ref().is_none_or(is_for)
            && options.valid_after.is_none_or(|after| now >= after)
            && options.valid_before.is_none_or(|before| now <= before)
            && match signer {
                Signer::Key(key) => !options.authority && *key == self.key,
                Signer::Certificate(certificate) => {
                    options.authority
                        && *certificate.authority() == self.key
                        && certificate.kind() == CertificateKind::User
                        && certificate.state(now) == CertificateState::Valid
                        && certificate.verify().is_ok()
                        && certificate.check_critical_options().is_ok()
                }
            }
    }

    /// Whether a certificate is for `identity`. Always true for a plain key, which names no
    /// identity.
    fn certifies(&self, identity: &str, signer: &Signer) -> bool {
        match signer {
            Signer::Key(_) => true,
            Signer::Certificate(certificate) => {
                certificate.principals().iter().any(|own| own == identity)
            }
        }
    }

    /// The principals of this line, up to the first empty one, where OpenSSH stops reading. For a
    /// certificate: those of its own principals that the line allows.
    fn principals_of(&self, signer: &Signer) -> Vec<String> {
        let list = self.principals.split(',').take_while(|it| !it.is_empty());
        let mut all: Vec<String> = match signer {
            Signer::Key(_) => list.map(str::to_owned).collect(),
            Signer::Certificate(certificate) => {
                let patterns: Vec<&str> = list.collect();
                let is_allowed = |own: &&String| {
                    let own = own.as_bytes();
                    pattern::matches_list(self.principals.as_bytes(), own)
                        && patterns
                            .iter()
                            .any(|pattern| pattern::matches(pattern.as_bytes(), own))
                };
                let own = certificate.principals().iter();
                // A principal with a comma cannot stand in a list with commas.
                own.filter(is_allowed)
                    .filter(|own| !own.contains(','))
                    .cloned()
                    .collect()
            }
        };
        let mut seen = std::collections::HashSet::new();
        all.retain(|it| seen.insert(it.clone()));
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
    /// The base point of Ed25519 (RFC 8032 section 5.1).
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZm";

    fn signer() -> Signer {
        Signer::Key(AnyKey::from_line(KEY).unwrap().0)
    }

    #[test]
    fn lines_say_who_for_what_and_when() {
        let file = format!(
            "# a comment\n\n\
             anna@example.org,a*@example.net {KEY} Anna\n\
             \"two words\" namespaces=\"git,f*\",valid-after=\"20270101Z\",VALID-BEFORE=\"20280101Z\" {KEY}\r\n"
        );
        let allowed = AllowedSigners::parse(&file);
        assert_eq!(allowed.skipped(), []);
        let signer = signer();
        let allow = |who, what, now| allowed.allow(who, what, &signer, now);
        assert!(allow("anna@example.org", "anything", 0));
        assert!(allow("agnes@example.net", "anything", 0));
        assert!(!allow("bert@example.net", "anything", 0));
        let year = time::parse("20270101").unwrap();
        assert!(allow("two words", "git", year) && allow("two words", "file", year));
        assert!(!allow("two words", "mail", year));
        assert!(!allow("two words", "git", year - 1));
        assert!(allow("two words", "git", year + 365 * 86_400));
        assert!(!allow("two words", "git", year + 365 * 86_400 + 1));
        let first = ["anna@example.org", "a*@example.net"];
        assert_eq!(allowed.principals(Some("git"), &signer, year), first);
        let other = Signer::Key(AnyKey::from_line(OTHER).unwrap().0);
        assert!(!allowed.allow("anna@example.org", "git", &other, 0));
        assert!(allowed.principals(None, &other, 0).is_empty());
        // The key of an authority is not allowed itself.
        let authority = AllowedSigners::parse(format!("* cert-authority {KEY}"));
        assert!(!authority.allow("anna", "git", &signer, 0));
    }

    #[test]
    fn the_principals_are_those_of_the_first_line_that_counts() {
        let signer = signer();
        let file = format!("anna {OTHER}\nanna,,agnes namespaces=\"git\" {KEY}\nbert,bert {KEY}\n");
        let allowed = AllowedSigners::parse(file);
        assert_eq!(allowed.principals(None, &signer, 0), ["anna"]);
        assert_eq!(allowed.principals(Some("git"), &signer, 0), ["anna"]);
        assert_eq!(allowed.principals(Some("file"), &signer, 0), ["bert"]);
        let none = AllowedSigners::parse(format!("\"\" {KEY}\nbert {KEY}"));
        assert!(none.principals(None, &signer, 0).is_empty());
    }

    #[test]
    fn a_line_of_ours_reads_back() {
        let key = AnyKey::from_line(KEY).unwrap().0;
        let line = AllowedSigners::line("anna@example.org", Some("git"), &key, "Anna").unwrap();
        assert_eq!(
            line,
            format!("anna@example.org namespaces=\"git\" {KEY} Anna")
        );
        let allowed = AllowedSigners::parse(&line);
        assert!(allowed.allow("anna@example.org", "git", &signer(), 0));
        assert!(!allowed.allow("anna@example.org", "file", &signer(), 0));
        for wrong in ["", "a b", "a,b", "*", "#a", "a\"b"] {
            assert_eq!(
                AllowedSigners::line(wrong, None, &key, "")
                    .unwrap_err()
                    .to_string(),
                "a principal or namespace is one word without wildcards"
            );
        }
        assert!(AllowedSigners::line("a\\b", Some("git"), &key, "").is_ok());
        assert!(AllowedSigners::line("anna", Some("a\\"), &key, "").is_err());
    }

    #[test]
    fn a_line_that_is_not_understood_is_skipped_with_its_number() {
        for (line, why) in [
            ("anna", "it has no public key"),
            (
                "anna ",
                "the public key is malformed: its line has no base64 part",
            ),
            ("anna sometimes KEY", "the option sometimes is not known"),
            (
                "anna cert-authority=yes KEY",
                "the option cert-authority=yes is not known",
            ),
            ("anna valid-after=\"soon\" KEY", "soon is no time"),
            ("anna valid-after=\"19700101Z\" KEY", "19700101Z is no time"),
            (
                "anna valid-after=20270101 KEY",
                "the value of an option is not quoted",
            ),
            (
                "anna namespaces=\"git\",namespaces=\"file\" KEY",
                "it has namespaces twice",
            ),
            (
                "anna valid-after=\"20280101Z\",valid-before=\"20270101Z\" KEY",
                "its valid-before is not after its valid-after",
            ),
            ("anna cert-authority, KEY", "a comma ends its options"),
            ("\"anna KEY", "a quotation mark is missing"),
            ("anna namespaces=\"git KEY", "a quotation mark is missing"),
            (
                "anna ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAQE=",
                "the public key is malformed: it has 1 bytes and not 32",
            ),
        ] {
            let file = format!("# first\n{}\nbert {KEY}", line.replace("KEY", KEY));
            let allowed = AllowedSigners::parse(file);
            let [skipped] = allowed.skipped() else {
                panic!("{line}: {allowed:?}");
            };
            assert_eq!(
                skipped.to_string(),
                format!("line 2 of the allowed signers is skipped: {why}")
            );
            assert_eq!(skipped.number(), 2);
            assert!(allowed.allow("bert", "git", &signer(), 0), "{line}");
            assert!(!allowed.allow("anna", "git", &signer(), 0), "{line}");
        }
    }

    #[test]
    fn the_encoding_of_a_comment_does_not_matter() {
        let file = [b"anna ", KEY.as_bytes(), b" Ren\xe9\n"].concat();
        assert!(AllowedSigners::parse(&file).allow("anna", "git", &signer(), 0));
        let file = [b"Ren\xe9 ", KEY.as_bytes()].concat();
        assert_eq!(
            AllowedSigners::parse(&file).skipped()[0].to_string(),
            "line 1 of the allowed signers is skipped: its principals are not UTF-8"
        );
    }

    proptest! {
        #[test]
        fn any_file_is_read(file: Vec<u8>, options: String) {
            let _ = AllowedSigners::parse(&file);
            let _ = AllowedSigners::parse(format!("anna {options} {KEY}"));
        }
    }
}
