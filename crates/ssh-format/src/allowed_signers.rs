//! Files that say whose signatures count, as `ssh-keygen -Y verify` and git read them.

use crate::any_key::blob_of_line;
use crate::sshsig::Signer;
use crate::{AnyKey, CertificateKind, CertificateState, Error, Result, time};

/// The lines of such a file.
///
/// # Source
///
/// ssh-keygen(1), "ALLOWED SIGNERS".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedSigners(Vec<AllowedSigner>);

/// One line: who may sign with which key, for what and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedSigner {
    principals: String,
    authority: bool,
    namespaces: Option<String>,
    valid_after: Option<u64>,
    valid_before: Option<u64>,
    key: AnyKey,
}

impl AllowedSigners {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`Error::AllowedSigners`] for the first line that is not understood: a condition that is
    /// overlooked would let somebody sign.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().zip(1..);
        let meant = lines.filter(|(line, _)| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        });
        meant
            .map(|(line, number)| {
                AllowedSigner::parse(line.trim())
                    .map_err(|why| Error::AllowedSigners { line: number, why })
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Whether `identity` may sign with `signer` for this purpose at `now`, in seconds since
    /// 1970.
    #[must_use]
    pub fn allow(&self, identity: &str, namespace: &str, signer: &Signer, now: u64) -> bool {
        self.0.iter().any(|line| {
            matches_list(&line.principals, identity)
                && line.fits(namespace, signer, now)
                && line.certifies(identity, signer)
        })
    }

    /// The principals of the lines by which `signer` may sign for this purpose at `now`, as they
    /// are written there; for a certificate, those of its own that such a line allows.
    #[must_use]
    pub fn principals(&self, namespace: &str, signer: &Signer, now: u64) -> Vec<String> {
        let mut all = Vec::new();
        for line in self
            .0
            .iter()
            .filter(|line| line.fits(namespace, signer, now))
        {
            match signer {
                Signer::Key(_) => all.push(line.principals.clone()),
                Signer::Certificate(certificate) => {
                    let own = certificate.principals().iter();
                    all.extend(
                        own.filter(|own| matches_list(&line.principals, own))
                            .cloned(),
                    );
                }
            }
        }
        all
    }
}

impl AllowedSigner {
    /// The line by which `identity` may sign with `key`, for one purpose or for any.
    ///
    /// # Errors
    ///
    /// [`Error::NotAWord`] for what cannot be written as one word.
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
        if !is_word(identity) || !namespace.is_none_or(is_word) {
            return Err(Error::NotAWord);
        }
        let key = key.line(comment);
        Ok(match namespace {
            None => format!("{identity} {key}"),
            Some(namespace) => format!("{identity} namespaces=\"{namespace}\" {key}"),
        })
    }

    fn parse(line: &str) -> Result<Self, String> {
        let (principals, rest) = word(line)?;
        if principals.is_empty() {
            return Err("it has no principals".into());
        }
        // A key begins with its type; anything else there is a list of options.
        let (options, key) = match (blob_of_line(rest, "public key"), word(rest)?) {
            (Ok(_), _) | (_, (_, "")) => ("", rest),
            (Err(_), (options, key)) => (options, key),
        };
        let mut parsed = Self {
            principals: principals.replace('"', ""),
            authority: false,
            namespaces: None,
            valid_after: None,
            valid_before: None,
            key: AnyKey::from_line(key).map_err(|err| err.to_string())?.0,
        };
        for option in split_options(options).filter(|_| !options.is_empty()) {
            parsed.set(option)?;
        }
        Ok(parsed)
    }

    fn set(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.trim_matches('"'))),
            None => (option, None),
        };
        let point = |value: &str| time::parse(value).ok_or_else(|| format!("{value} is no time"));
        match (name.to_ascii_lowercase().as_str(), value) {
            ("cert-authority", None) => self.authority = true,
            ("namespaces", Some(list)) => self.namespaces = Some(list.to_owned()),
            ("valid-after", Some(value)) => self.valid_after = Some(point(value)?),
            ("valid-before", Some(value)) => self.valid_before = Some(point(value)?),
            _ => return Err(format!("the option {} is not known", option.escape_debug())),
        }
        Ok(())
    }

    /// Whether `signer` may sign for this purpose at `now` by this line.
    fn fits(&self, namespace: &str, signer: &Signer, now: u64) -> bool {
        let namespaces = self.namespaces.as_deref();
        namespaces.is_none_or(|list| matches_list(list, namespace))
            && self.valid_after.is_none_or(|after| now >= after)
            && self.valid_before.is_none_or(|before| now < before)
            && match signer {
                Signer::Key(key) => !self.authority && *key == self.key,
                Signer::Certificate(certificate) => {
                    self.authority
                        && *certificate.authority() == self.key
                        && certificate.kind() == CertificateKind::User
                        && certificate.state(now) == CertificateState::Valid
                        && certificate.verify().is_ok()
                        && certificate.check_critical_options().is_ok()
                }
            }
    }

    /// Whether a certificate is for `identity`; a plain key has none that could say otherwise.
    fn certifies(&self, identity: &str, signer: &Signer) -> bool {
        match signer {
            Signer::Key(_) => true,
            Signer::Certificate(certificate) => {
                certificate.principals().iter().any(|own| own == identity)
            }
        }
    }
}

/// The first word of a line, in which white space may be quoted, and what follows it.
fn word(line: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => return Ok((&line[..at], line[at..].trim_start())),
            _ => {}
        }
    }
    if quoted {
        return Err("a quotation mark is missing".into());
    }
    Ok((line, ""))
}

/// The options between commas that are not quoted.
fn split_options(options: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    options.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

/// Whether `text` matches a list of patterns between commas; one with a `!` in front excludes.
///
/// # Source
///
/// ssh_config(5), "PATTERNS".
fn matches_list(list: &str, text: &str) -> bool {
    let mut found = false;
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern, text) => return false,
            Some(_) => {}
            None => found |= matches(pattern, text),
        }
    }
    found
}

/// Whether `text` matches a pattern in which `*` stands for any text and `?` for a character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and how far it reaches: going back there is all that is needed.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, reach)) => {
                    star = Some((at, reach + 1));
                    p = at + 1;
                    t = reach + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

    fn signer() -> Signer {
        Signer::Key(AnyKey::from_line(KEY).unwrap().0)
    }

    #[test]
    fn lines_say_who_for_what_and_when() {
        let file = format!(
            "# a comment\n\n\
             anna@example.org,a*@example.net {KEY} Anna\n\
             \"two words\" namespaces=\"git,f*\",valid-after=\"20270101\",valid-before=20280101Z {KEY}\n"
        );
        let allowed = AllowedSigners::parse(&file).unwrap();
        let signer = signer();
        let allow = |who, what, now| allowed.allow(who, what, &signer, now);
        assert!(allow("anna@example.org", "anything", 0));
        assert!(allow("agnes@example.net", "anything", 0));
        assert!(!allow("bert@example.net", "anything", 0));
        let year = 1_798_761_600;
        assert!(allow("two words", "git", year) && allow("two words", "file", year));
        assert!(!allow("two words", "mail", year));
        assert!(!allow("two words", "git", year - 1));
        assert!(!allow("two words", "git", year + 365 * 86_400));
        assert_eq!(
            allowed.principals("git", &signer, year),
            ["anna@example.org,a*@example.net", "two words"]
        );
        let other = Signer::Key(AnyKey::from_blob(b"\0\0\0\x03one").unwrap());
        assert!(!allowed.allow("anna@example.org", "git", &other, 0));
        // An authority's own key is not one that it certifies.
        let authority = format!("* cert-authority {KEY}");
        let authority = AllowedSigners::parse(&authority).unwrap();
        assert!(!authority.allow("anna", "git", &signer, 0));
    }

    #[test]
    fn a_line_of_ours_reads_back() {
        let key = AnyKey::from_line(KEY).unwrap().0;
        let line = AllowedSigner::line("anna@example.org", Some("git"), &key, "Anna").unwrap();
        assert_eq!(
            line,
            format!("anna@example.org namespaces=\"git\" {KEY} Anna")
        );
        let allowed = AllowedSigners::parse(&line).unwrap();
        assert!(allowed.allow("anna@example.org", "git", &signer(), 0));
        assert!(!allowed.allow("anna@example.org", "file", &signer(), 0));
        for wrong in ["", "a b", "a,b", "*", "#a", "a\"b"] {
            assert_eq!(
                AllowedSigner::line(wrong, None, &key, "")
                    .unwrap_err()
                    .to_string(),
                "a principal or namespace is one word without wildcards"
            );
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_refused_with_its_number() {
        for (line, why) in [
            (
                "anna",
                "the public key is malformed: its line has no base64 part",
            ),
            ("anna sometimes KEY", "the option sometimes is not known"),
            ("anna valid-after=soon KEY", "soon is no time"),
            ("\"anna KEY", "a quotation mark is missing"),
        ] {
            let text = AllowedSigners::parse(&format!("# first\n{}", line.replace("KEY", KEY)))
                .unwrap_err()
                .to_string();
            assert_eq!(
                text,
                format!("line 2 of the allowed signers is malformed: {why}")
            );
        }
    }

    #[test]
    fn patterns_have_stars_question_marks_and_exceptions() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("a?c", "abc", true),
            ("*@example.org,!bert@example.org", "anna@example.org", true),
            ("*@example.org,!bert@example.org", "bert@example.org", false),
            ("!bert", "anna", false),
        ] {
            assert_eq!(matches_list(pattern, text), expected, "{pattern} {text}");
        }
        // Going back at each star would take longer than anybody waits.
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)));
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(text: String, options: String) {
            let _ = AllowedSigners::parse(&text);
            let _ = AllowedSigners::parse(&format!("anna {options} {KEY}"));
        }

        #[test]
        fn a_text_matches_itself_and_a_star(text in "[a-z@.]{0,20}") {
            prop_assert!(matches(&text, &text) && matches("*", &text));
        }
    }
}
