//! The names of hosts, by the files in which ssh keeps them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ssh_format::AnyKey;
use ssh_format::text::shown;
use token_store::home_dir;

/// The most that is read of a file, in bytes.
const MAX: usize = 4 << 20;

/// The names that `known_hosts` files give to keys.
#[derive(Debug, Default)]
pub(crate) struct KnownHosts {
    /// The first name and the rest of the names, by the fingerprint.
    names: HashMap<String, String>,
}

impl KnownHosts {
    /// Reads the files at the places where ssh has them by default. Files and lines that cannot
    /// be read name nobody.
    pub(crate) fn read() -> Self {
        let mut known = Self::default();
        let mut files = vec![
            PathBuf::from("/etc/ssh/ssh_known_hosts"),
            PathBuf::from("/etc/ssh/ssh_known_hosts2"),
        ];
        if let Ok(home) = home_dir() {
            files.push(home.join(".ssh/known_hosts"));
            files.push(home.join(".ssh/known_hosts2"));
        }
        for file in files {
            known.add(&text(&file).unwrap_or_default());
        }
        known
    }

    /// The names of the host whose key has this fingerprint, separated by commas.
    pub(crate) fn name(&self, fingerprint: &str) -> Option<String> {
        self.names.get(fingerprint).cloned()
    }

    /// Adds the names in a file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). Hashed names cannot be
    /// read back; patterns, authorities and revoked keys name no host.
    fn add(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '@', '|']) {
                continue;
            }
            let Some((names, key)) = line.split_once([' ', '\t']) else {
                continue;
            };
            let is_name = |name: &&str| !name.contains(['*', '?', '!']);
            let names: Vec<_> = names.split(',').filter(is_name).map(shown).collect();
            let Ok((key, _)) = AnyKey::from_line(key.trim()) else {
                continue;
            };
            if names.is_empty() {
                continue;
            }
            let known = self.names.entry(key.fingerprint().to_string()).or_default();
            for name in names {
                if !known.split(',').any(|other| other == name) {
                    if !known.is_empty() {
                        known.push(',');
                    }
                    known.push_str(&name);
                }
            }
        }
    }
}

fn text(path: &Path) -> Option<String> {
    let bytes = crate::files::output_file::existing(path, MAX).ok()??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJLkvxeSeb8WhAOmPGvVTxtH0WsRNq+U3jPaOTWa0x7H";

    #[test]
    fn a_key_has_the_names_of_all_its_lines() {
        let fingerprint = AnyKey::from_line(KEY).unwrap().0.fingerprint().to_string();
        let name = |text: &str| {
            let mut known = KnownHosts::default();
            known.add(text);
            known.name(&fingerprint)
        };
        let two = format!("server,192.0.2.1 {KEY} comment\n# x\n[server]:2222\t{KEY}\n");
        assert_eq!(
            name(&two).as_deref(),
            Some("server,192.0.2.1,[server]:2222")
        );
        for nobody in [
            format!("|1|JfKTdBh7rNbXkVAQCRp4OQoPfmI=|USECr3SWf1JUPsms5AqfD5QfxkM= {KEY}\n"),
            format!("@cert-authority * {KEY}\n"),
            format!("*.example.org,!a.example.org {KEY}\n"),
            "server ssh-ed25519 nonsense\nserver\n".to_owned(),
        ] {
            assert_eq!(name(&nobody), None, "{nobody}");
        }
    }
}
