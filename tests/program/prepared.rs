//! A program, its home and its TPM as they are after some commands, made once for all tests.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use testing::{Home, Snapshot, Swtpm};

use super::Program;

/// What [`copy`](Self::copy) copies. It is made by the first test that needs it.
pub(crate) struct Prepared(OnceLock<State>);

struct State {
    chip: Snapshot,
    /// Each directory comes before what is in it.
    home: Vec<Entry>,
}

struct Entry {
    /// Relative to the home.
    path: PathBuf,
    mode: u32,
    /// `None` for a directory.
    content: Option<Vec<u8>>,
}

impl Prepared {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// A program that is as `make` leaves it, with a home and a running TPM of its own.
    ///
    /// All copies have the same TPM: a test of two machines makes the second one without this.
    pub(crate) fn copy(&self, make: impl FnOnce() -> Program) -> Program {
        let state = self.0.get_or_init(|| {
            let program = make();
            let mut home = Vec::new();
            read(program.home.path(), Path::new(""), &mut home);
            let chip = program.swtpm.snapshot();
            State { chip, home }
        });
        let swtpm = Swtpm::copy_of(&state.chip);
        let home = Home::with_tcti(swtpm.tcti());
        for entry in &state.home {
            entry.write(home.path());
        }
        Program::in_home(home, swtpm)
    }
}

impl Entry {
    fn write(&self, home: &Path) {
        let path = home.join(&self.path);
        let Some(content) = &self.content else {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(self.mode);
            return builder.create(path).unwrap();
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(self.mode);
        options.open(&path).unwrap().write_all(content).unwrap();
        fs::set_permissions(path, Permissions::from_mode(self.mode)).unwrap();
    }
}

/// Adds what is in the directory `dir` of `home`.
fn read(home: &Path, dir: &Path, found: &mut Vec<Entry>) {
    for entry in fs::read_dir(home.join(dir)).unwrap() {
        let entry = entry.unwrap();
        let path = dir.join(entry.file_name());
        let metadata = entry.metadata().unwrap();
        let is_dir = metadata.is_dir();
        assert!(
            is_dir || metadata.is_file(),
            "neither a file nor a directory: {path:?}"
        );
        found.push(Entry {
            content: (!is_dir).then(|| fs::read(home.join(&path)).unwrap()),
            mode: metadata.permissions().mode() & 0o7777,
            path: path.clone(),
        });
        if is_dir {
            read(home, &path, found);
        }
    }
}
