//! An authority whose key `ssh-keygen` made.

use std::fs;
use std::path::PathBuf;

use testing::Home;

use crate::program::{Outcome, text};

/// An authority with an Ed25519 key in files of a [`Home`].
pub(crate) struct Keygen<'a> {
    home: &'a Home,
    key: PathBuf,
}

impl<'a> Keygen<'a> {
    pub(crate) fn new(home: &'a Home) -> Self {
        let key = home.path().join("authority");
        let made = Self { home, key };
        let path = text(made.key.clone());
        made.run(&[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "authority",
            "-f",
            &path,
        ]);
        made
    }

    /// The line of its public key.
    pub(crate) fn public(&self) -> String {
        fs::read_to_string(self.key.with_extension("pub")).unwrap()
    }

    /// Certifies `public`, the line of a key, with further options of `ssh-keygen -s`; the file.
    pub(crate) fn sign(&self, name: &str, public: &str, options: &[&str]) -> String {
        let key = self.home.path().join(format!("{name}.pub"));
        fs::write(&key, public).unwrap();
        let authority = text(self.key.clone());
        let path = text(key);
        let mut args = vec!["-q", "-s", &authority, "-I", name];
        args.extend(options);
        args.push(&path);
        self.run(&args);
        path.replace(".pub", "-cert.pub")
    }

    fn run(&self, args: &[&str]) -> String {
        Outcome::of(self.home.command("ssh-keygen").args(args)).ok()
    }
}
