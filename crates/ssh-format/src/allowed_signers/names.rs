//! The identities of a signer, for a caller that expects none in particular.

use super::{AllowedSigners, Line};
use crate::sshsig::Signer;

impl AllowedSigners {
    /// The identities of `signer` for this purpose at `now`, from all lines, each once. For a key: the principals of its lines without
    /// patterns. For a certificate: those of its own principals that a line allows.
    ///
    /// [`allow`](Self::allow) allows each of them. It allows other identities only by a pattern.
    #[must_use]
    pub fn identities(&self, namespace: &str, signer: &Signer, now: u64) -> Vec<String> {
        let fitting = self
            .lines
            .iter()
            .filter(|line| line.fits(Some(namespace), signer, now));
        let mut all: Vec<String> = fitting
            .flat_map(|line| match signer {
                Signer::Key(_) => line.names(),
                Signer::Certificate(_) => line.principals_of(signer),
            })
            .filter(|name| self.allow(name, namespace, signer, now))
            .collect();
        let mut seen = std::collections::HashSet::new();
        all.retain(|it| seen.insert(it.clone()));
        all
    }

    /// The numbers of the lines that allow a key (not an authority) and have a pattern among their principals: the holder of the key may sign
    /// as every identity that matches the pattern.
    #[must_use]
    pub fn with_patterns(&self) -> Vec<usize> {
        let has_pattern = |line: &&Line| !line.options.authority && line.has_pattern();
        let lines = self.lines.iter().filter(has_pattern);
        lines.map(|line| line.number).collect()
    }
}

impl Line {
    /// The principals without patterns.
    fn names(&self) -> Vec<String> {
        let all = self.principals.split(',').take_while(|it| !it.is_empty());
        let is_name = |it: &&str| !it.starts_with('!') && !it.contains(['*', '?']);
        all.filter(is_name).map(str::to_owned).collect()
    }

    fn has_pattern(&self) -> bool {
        self.principals.contains(['*', '?'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyKey, time};

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
    /// The base point of Ed25519 (RFC 8032 section 5.1).
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZm";

    #[test]
    fn who_a_key_may_be_is_said_by_names_and_not_by_patterns() {
        let key = |line| Signer::Key(AnyKey::from_line(line).unwrap().0);
        let signer = key(KEY);
        let file = format!(
            "anna,a*,!agnes,agnes namespaces=\"git\" {KEY}\n* cert-authority {OTHER}\nanna,berta {KEY}\n?era {KEY}\n\
             late valid-after=\"20280101Z\" {KEY}\ncarl {OTHER}\n"
        );
        let allowed = AllowedSigners::parse(file);
        assert_eq!(allowed.skipped(), []);
        assert_eq!(allowed.identities("git", &signer, 0), ["anna", "berta"]);
        assert_eq!(allowed.identities("file", &signer, 0), ["anna", "berta"]);
        assert!(!allowed.allow("agnes", "git", &signer, 0));
        assert_eq!(allowed.with_patterns(), [1, 4]);
        let later = time::parse("20280101").unwrap();
        let all = allowed.identities("file", &signer, later);
        assert_eq!(all, ["anna", "berta", "late"]);
        assert_eq!(allowed.identities("file", &key(OTHER), 0), ["carl"]);
    }
}
