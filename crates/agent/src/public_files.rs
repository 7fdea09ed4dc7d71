//! Files with the public keys of the store, in `~/.ssh/tpmssh`, for programs that want the name of a file:
//! ssh's `IdentityFile`, Ansible, development environments.
//!
//! A file is called `LABEL-HASH.pub`, where HASH is the beginning of the key's SHA-256 in hexadecimal. A file
//! whose name fits the key in it was written here. Any other file is somebody else's, and is never
//! replaced or removed. Beside it, `LABEL-HASH-cert.pub` has the newest
//! certificate of the key.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use ssh_format::{AnyKey, Certificate, text};
use token_store::{Store, StoreDir, home_dir};

/// How many characters of a label are in a name.
const MAX_LABEL: usize = 40;
/// How many digits of the hash are in a name.
const HASH_DIGITS: usize = 10;
/// The longest file that is read, in bytes: a certificate with many principals.
const MAX_LEN: u64 = 256 * 1024;

/// Why a file is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of somebody else has the name of one of ours.
    #[error("{} was not written by tpmssh and stays as it is", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file, or the directory, cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] token_store::Error),
}

/// The directory of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicFiles {
    dir: PathBuf,
}

impl PublicFiles {
    /// `~/.ssh/tpmssh`.
    ///
    /// # Errors
    ///
    /// [`token_store::Error::NoHome`], [`token_store::Error::UnsafePath`].
    pub fn for_user() -> token_store::Result<Self> {
        Ok(Self::at(home_dir()?.join(".ssh/tpmssh")))
    }

    /// The same for keys in the store at `store`; `None` unless it is the user's usual one. Files
    /// of another store would be removed as those of deleted keys.
    ///
    /// # Errors
    ///
    /// As for [`PublicFiles::for_user`].
    pub fn of_store(store: &Path) -> token_store::Result<Option<Self>> {
        let usual = StoreDir::usual()?;
        let real = |path: &Path| fs::canonicalize(path).ok();
        let is_usual = store == usual.path()
            || real(store).is_some_and(|store| Some(store) == real(usual.path()));
        is_usual.then(Self::for_user).transpose()
    }

    /// Files in the directory `dir`.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of the key with this label and blob. It need not exist.
    #[must_use]
    pub fn path(&self, label: &str, blob: &[u8]) -> PathBuf {
        self.dir.join(format!("{}.pub", stem(label, blob)))
    }

    /// The file of the key's certificate. It exists if the store has one.
    #[must_use]
    pub fn certificate_path(&self, label: &str, blob: &[u8]) -> PathBuf {
        self.dir.join(format!("{}-cert.pub", stem(label, blob)))
    }

    /// Whether the file of this key is there and was written here.
    #[must_use]
    pub fn has(&self, label: &str, blob: &[u8]) -> bool {
        matches!(state(&self.path(label, blob)), State::Ours(_))
    }

    /// Writes the files of the keys in the store, and removes those of other keys. Returns the failures;
    /// after one the other files are still written.
    ///
    /// Programs that do this at the same time take turns, and each looks at the store in its turn:
    /// none removes a file of which it has not heard yet.
    pub fn update(&self, store: &Store) -> Vec<Error> {
        let has_some = self.dir.exists();
        let _turn = has_some.then(|| self.turn());
        match wanted(store) {
            Ok(wanted) if has_some || wanted.is_empty() => self.put(&wanted),
            Ok(_) => match self.make_dir() {
                Ok(()) => self.update(store),
                Err(source) => vec![self.unusable(source)],
            },
            Err(err) => vec![err.into()],
        }
    }

    /// Waits until no other program writes files here; for two seconds at most, as it may be
    /// stopped. On a file system without locks nothing is waited for.
    fn turn(&self) -> Option<File> {
        const TRIES: u32 = 40;
        let dir = File::open(&self.dir).ok()?;
        for _ in 0..TRIES {
            match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => thread::sleep(Duration::from_millis(50)),
                locked => return locked.ok().map(|()| dir),
            }
        }
        None
    }

    fn unusable(&self, source: io::Error) -> Error {
        let path = self.dir.clone();
        Error::Write { path, source }
    }

    fn put(&self, wanted: &BTreeMap<String, String>) -> Vec<Error> {
        if wanted.is_empty() && !self.dir.exists() {
            return Vec::new();
        }
        if let Err(source) = self.make_dir() {
            return vec![self.unusable(source)];
        }
        let mut errors = Vec::new();
        for (name, line) in wanted {
            let path = self.dir.join(name);
            let done = match state(&path) {
                State::Ours(text) if text == *line => continue,
                State::Foreign => {
                    errors.push(Error::Foreign { path });
                    continue;
                }
                State::Ours(_) | State::None => write(&path, line),
            };
            errors.extend(done.err().map(|source| Error::Write { path, source }));
        }
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let is_wanted = |name: &str| wanted.contains_key(name);
            if entry.file_name().to_str().is_none_or(is_wanted) {
                continue;
            }
            let path = entry.path();
            if let State::Ours(_) = state(&path)
                && let Err(source) = fs::remove_file(&path)
            {
                errors.push(Error::Write { path, source });
            }
        }
        errors
    }

    /// Makes the directory; a link in its place is not followed, which could lead anywhere.
    fn make_dir(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)?;
        match fs::symlink_metadata(&self.dir)?.is_dir() {
            true => Ok(()),
            false => Err(io::Error::other("it is a symbolic link")),
        }
    }
}

/// The names of the files that there should be, and their lines.
fn wanted(store: &Store) -> token_store::Result<BTreeMap<String, String>> {
    let mut wanted = BTreeMap::new();
    for token in store.tokens()? {
        let certificates = store.ssh_certificates(token.id)?;
        store.each_private_key(token.id, |object| {
            let signing = object.key().filter(|key| ssh_keys::can_sign(key));
            let Some(Ok(key)) = signing.map(|key| ssh_keys::public_key(key.public())) else {
                return;
            };
            let stem = stem(&object.label, key.blob());
            let line = key.authorized_keys_line(&text::one_line(&object.label));
            wanted.insert(format!("{stem}.pub"), format!("{line}\n"));
            let its = certificates.iter().rev();
            let newest = its
                .filter(|kept| kept.object == object.id)
                .find_map(|kept| Certificate::from_blob(&kept.certificate).ok());
            if let Some(certificate) = newest {
                let line = certificate.line(&text::one_line(&object.label));
                wanted.insert(format!("{stem}-cert.pub"), format!("{line}\n"));
            }
        })?;
    }
    Ok(wanted)
}

/// The name of a file without its ending. Characters of the label that a shell or ssh_config(5) would
/// take for more than a letter become `_`.
fn stem(label: &str, blob: &[u8]) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "._@+".contains(c) => c,
        '-' => '-',
        _ => '_',
    };
    let label: String = label.chars().take(MAX_LABEL).map(letter).collect();
    let label = label.trim_start_matches(['.', '-']);
    let label = if label.is_empty() { "key" } else { label };
    format!("{label}-{}", hash(blob))
}

fn hash(blob: &[u8]) -> String {
    let mut digits = base16ct::lower::encode_string(&Sha256::digest(blob));
    digits.truncate(HASH_DIGITS);
    digits
}

/// Whose a file is.
enum State {
    None,
    /// Ours, with this text.
    Ours(String),
    Foreign,
}

fn state(path: &Path) -> State {
    match fs::symlink_metadata(path) {
        Err(err) if err.kind() == ErrorKind::NotFound => return State::None,
        Ok(meta) if meta.is_file() && meta.len() <= MAX_LEN => {}
        _ => return State::Foreign,
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let stem = name.and_then(|name| name.strip_suffix(".pub"));
    match (stem, fs::read_to_string(path)) {
        (Some(stem), Ok(text)) if is_ours(stem, &text) => State::Ours(text),
        _ => State::Foreign,
    }
}

/// Whether a name without its ending fits the one line of a file.
fn is_ours(stem: &str, text: &str) -> bool {
    let Some(line) = text.strip_suffix('\n').filter(|line| !line.contains('\n')) else {
        return false;
    };
    let key = match stem.strip_suffix("-cert") {
        Some(_) => Certificate::from_line(line).map(|(certificate, _)| certificate.key().clone()),
        None => AnyKey::from_line(line).map(|(key, _)| key),
    };
    let stem = stem.strip_suffix("-cert").unwrap_or(stem);
    let given = stem.rsplit_once('-').map(|(_, hash)| hash);
    key.is_ok_and(|key| given == Some(&hash(key.blob())))
}

/// Replaces a file at once. A program that was killed leaves a file that the next one replaces:
/// programs take turns.
fn write(path: &Path, line: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let _ = fs::remove_file(&new);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&new)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use testing::assert_matches;

    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJLkvxeSeb8WhAOmPGvVTxtH0WsRNq+U3jPaOTWa0x7H";

    fn blob() -> Vec<u8> {
        AnyKey::from_line(KEY).unwrap().0.blob().to_vec()
    }

    fn one(label: &str) -> BTreeMap<String, String> {
        let name = format!("{}.pub", stem(label, &blob()));
        BTreeMap::from([(name, format!("{KEY} {label}\n"))])
    }

    #[test]
    fn a_name_is_one_word_whatever_the_label_is() {
        let hash = hash(&blob());
        for (label, name) in [
            ("anna@laptop key", "anna@laptop_key"),
            ("../../authorized_keys", "_.._authorized_keys"),
            ("-oProxyCommand=x", "oProxyCommand_x"),
            ("é%h\"$", "__h__"),
            ("", "key"),
            ("..", "key"),
        ] {
            assert_eq!(stem(label, &blob()), format!("{name}-{hash}"));
        }
        assert_eq!(stem(&"x".repeat(200), &blob()).len(), 40 + 1 + hash.len());
    }

    #[test]
    fn files_come_change_and_go_with_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        let files = PublicFiles::at(dir.path().join("ssh/tpmssh"));
        assert!(files.put(&BTreeMap::new()).is_empty());
        assert!(!files.dir().exists(), "nothing is made for no keys");
        assert!(files.put(&one("a")).is_empty());
        let path = files.path("a", &blob());
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{KEY} a\n"));
        // Another comment, as somebody may have written it.
        fs::write(&path, format!("{KEY} b\n")).unwrap();
        assert!(files.put(&one("a")).is_empty());
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{KEY} a\n"));
        assert!(files.put(&one("renamed")).is_empty());
        assert!(!path.exists() && files.path("renamed", &blob()).exists());
        assert!(files.put(&BTreeMap::new()).is_empty());
        assert_eq!(fs::read_dir(files.dir()).unwrap().count(), 0);
    }

    #[test]
    fn files_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let files = PublicFiles::at(dir.path().join("tpmssh"));
        assert!(files.put(&one("a")).is_empty());
        let path = files.path("a", &blob());
        let at = |name: &str| files.dir().join(name);
        fs::write(at("id.pub"), format!("{KEY}\n")).unwrap();
        fs::write(at("config"), "Host *\n").unwrap();
        for text in [
            "",
            "mine\n",
            &format!("{KEY} a\n{KEY} b\n"),
            &format!("# mine\n{KEY}\n"),
        ] {
            fs::write(&path, text).unwrap();
            let errors = files.put(&one("a"));
            assert_matches!(&errors[..], [Error::Foreign { .. }], "{errors:?}");
            assert!(files.put(&BTreeMap::new()).is_empty());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        fs::write(at("target"), format!("{KEY} x\n")).unwrap();
        symlink(at("target"), &path).unwrap();
        let errors = files.put(&one("a"));
        let said = errors[0].to_string();
        assert!(
            said.ends_with(" was not written by tpmssh and stays as it is"),
            "{said}"
        );
        assert!(at("id.pub").exists() && at("config").exists() && at("target").exists());
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_one_error() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("tpmssh");
        fs::write(&place, "").unwrap();
        let said = |files: &PublicFiles| files.put(&one("a"))[0].to_string();
        let files = PublicFiles::at(&place);
        assert_eq!(said(&files), format!("cannot write {}", place.display()));
        fs::remove_file(&place).unwrap();
        symlink(dir.path(), &place).unwrap();
        assert_eq!(files.put(&one("a")).len(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
