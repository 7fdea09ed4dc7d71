//! Reading and writing files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use key_proof::Anchors;
use zeroize::Zeroizing;

/// How much of a file with makers' certificates is read, in bytes.
const MAX_ROOTS: u64 = 4 * 1024 * 1024;

/// The longest other file that a policy names, in bytes.
const MAX_NAMED: u64 = 16 * 1024 * 1024;

/// Reads the files that a policy names. An error is a sentence that names the file.
pub trait Files {
    /// Adds the makers' certificates in a file, or in the files of a directory.
    ///
    /// # Errors
    ///
    /// If there is no certificate, or one cannot be read.
    fn roots(&mut self, path: &Path, anchors: &mut Anchors) -> Result<(), String>;

    /// The contents of another file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String>;
}

/// The path from the root on.
///
/// # Errors
///
/// If the working directory is gone.
pub(crate) fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}

/// Reads a text file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> anyhow::Result<String> {
    let mut text = String::new();
    read_into(&mut text, open(path)?, path, max)?;
    Ok(text)
}

/// Reads a text file of at most `max` bytes. Refuses a file that other users can read.
pub(crate) fn read_secret(path: &Path, max: u64) -> anyhow::Result<Zeroizing<String>> {
    let file = open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        bail!("others can read {}: chmod 600", path.display());
    }
    read_secret_from(file, path, max)
}

/// Reads a secret text file of at most `max` bytes from a directory that others cannot read. The mode of the file is not checked.
pub(crate) fn read_private(path: &Path, max: u64) -> anyhow::Result<Zeroizing<String>> {
    read_secret_from(open(path)?, path, max)
}

fn read_secret_from(file: File, path: &Path, max: u64) -> anyhow::Result<Zeroizing<String>> {
    // Allocated at full size, because a string that grows leaves copies that are not wiped.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(max)? + 1));
    read_into(&mut text, file, path, max)?;
    Ok(text)
}

fn open(path: &Path) -> anyhow::Result<File> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    if !file.metadata()?.is_file() {
        bail!("{shown} is not a file");
    }
    Ok(file)
}

fn read_into(text: &mut String, file: File, path: &Path, max: u64) -> anyhow::Result<()> {
    let shown = path.display();
    file.take(max + 1)
        .read_to_string(text)
        .with_context(|| format!("cannot read {shown}"))?;
    if u64::try_from(text.len())? > max {
        bail!("{shown} is longer than {max} bytes");
    }
    Ok(())
}

/// Writes a new file and syncs it to the disk. An existing file is not replaced.
pub(crate) fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
    let mut open = OpenOptions::new();
    open.write(true).create_new(true).mode(mode);
    let written = open.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} is there already", path.display())
        }
        other => other.with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Writes a new file, completely or not at all. An existing file is not replaced.
pub(crate) fn place_new(path: &Path, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
    let beside = beside(path);
    let _ = fs::remove_file(&beside);
    write_new(&beside, mode, bytes)?;
    let placed = fs::hard_link(&beside, path);
    let _ = fs::remove_file(&beside);
    match placed {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} is there already", path.display())
        }
        other => other.with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Reads the files that a policy names from the disk.
pub(crate) struct Disk;

impl Files for Disk {
    fn roots(&mut self, path: &Path, anchors: &mut Anchors) -> Result<(), String> {
        add_roots(path, anchors)
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        read(path, MAX_NAMED)
            .map(String::into_bytes)
            .map_err(|err| format!("{err:#}"))
    }
}

/// Adds the certificates in a file, or in the files of a directory.
fn add_roots(path: &Path, anchors: &mut Anchors) -> Result<(), String> {
    let unreadable = |err: &dyn std::fmt::Display| format!("{}: {err}", path.display());
    let meta = fs::metadata(path).map_err(|err| unreadable(&err))?;
    let mut files = vec![path.to_owned()];
    if meta.is_dir() {
        let entries = fs::read_dir(path).map_err(|err| unreadable(&err))?;
        files = entries
            .map(|entry| entry.map(|it| it.path()))
            .collect::<Result<_, _>>()
            .map_err(|err| unreadable(&err))?;
        files.sort();
    }
    for file in files {
        let unreadable = |err: &dyn std::fmt::Display| format!("{}: {err}", file.display());
        let mut bytes = Vec::new();
        File::open(&file)
            .and_then(|file| file.take(MAX_ROOTS).read_to_end(&mut bytes))
            .map_err(|err| unreadable(&err))?;
        anchors.add_file(&bytes).map_err(|err| unreadable(&err))?;
    }
    if anchors.is_empty() {
        return Err(format!("{}: there is no certificate", path.display()));
    }
    Ok(())
}

/// Replaces a file in one step: readers see the old contents or the new ones.
pub(crate) fn replace(path: &Path, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
    let beside = beside(path);
    let _ = fs::remove_file(&beside);
    write_new(&beside, mode, bytes)?;
    fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Where the next content of a file is written.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".new");
    PathBuf::from(beside)
}
