//! A new file for a recovery code (SO PIN) that was made up.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::SoPin;

/// A file (mode 0600) for a recovery code. It is removed when dropped, unless the code was written.
///
/// Make it before the token: if that failed afterwards, the code would be lost.
#[derive(Debug)]
pub struct SoPinFile {
    file: File,
    path: PathBuf,
    done: bool,
}

impl SoPinFile {
    /// Makes the file.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or exists.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        Ok(Self {
            file: options.open(path)?,
            path: path.to_owned(),
            done: false,
        })
    }

    /// Writes the code, and has it on the disk.
    ///
    /// # Errors
    ///
    /// If that fails: then the file is removed.
    pub fn write(mut self, so: &SoPin) -> io::Result<()> {
        let line = Zeroizing::new(format!("{}\n", so.reveal()));
        self.file.write_all(line.as_bytes())?;
        self.file.sync_all()?;
        self.done = true;
        Ok(())
    }
}

impl Drop for SoPinFile {
    fn drop(&mut self) {
        if !self.done
            && let Err(err) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove {}: {err}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_code_is_in_a_file_of_its_user_alone_or_there_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("code");
        drop(SoPinFile::create(&path).unwrap());
        assert!(!path.exists());
        let so = SoPin::generate();
        SoPinFile::create(&path).unwrap().write(&so).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", so.reveal())
        );
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let err = SoPinFile::create(&path).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AlreadyExists);
    }
}
