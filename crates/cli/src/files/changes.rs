//! The changes that a command makes beside store and TPM: shown as it makes them, or as JSON.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::fail::error::Result;
use crate::show::output::{self, Output, tell};

/// The files that a command writes and removes and the commands that it runs, in their order.
///
/// As text each change is shown before it is made. With `--json` all of them are one object, which
/// [`Changes::end`] prints.
#[derive(Debug, Serialize)]
pub(crate) struct Changes {
    #[serde(skip)]
    shown: Shown,
    /// Whether nothing is changed in fact.
    pub(crate) dry_run: bool,
    written: Vec<Lines>,
    /// Lines added to a file that belongs to the user.
    added: Vec<Lines>,
    removed: Vec<PathBuf>,
    /// Files of the user from which the added lines were taken out.
    cleaned: Vec<PathBuf>,
    /// Files that somebody else wrote, where one of ours would be.
    left: Vec<PathBuf>,
    /// Commands that were run, as one types them.
    commands: Vec<String>,
}

/// Who sees the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    AsText,
    AsJson,
    /// The command says by itself what it did.
    ByCaller,
}

#[derive(Debug, Serialize)]
struct Lines {
    path: PathBuf,
    contents: String,
}

impl Changes {
    /// None yet, to be shown on stdout as `out` says.
    pub(crate) fn new(out: Output, dry_run: bool) -> Self {
        let shown = match out.is_json() {
            true => Shown::AsJson,
            false => Shown::AsText,
        };
        Self::shown(shown, dry_run)
    }

    /// None yet; they are not shown.
    pub(crate) fn unseen() -> Self {
        Self::shown(Shown::ByCaller, false)
    }

    fn shown(shown: Shown, dry_run: bool) -> Self {
        Self {
            shown,
            dry_run,
            written: Vec::new(),
            added: Vec::new(),
            removed: Vec::new(),
            cleaned: Vec::new(),
            left: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// A file is to be written.
    ///
    /// # Errors
    ///
    /// If stdout cannot be written, so that the person would not see the change.
    pub(crate) fn write(&mut self, path: &Path, contents: &str) -> Result<()> {
        self.text(&format!("# {}\n{contents}\n", path.display()))?;
        self.written.push(Lines::new(path, contents));
        Ok(())
    }

    /// Lines are to be added to a file of the user.
    ///
    /// # Errors
    ///
    /// As for [`Changes::write`].
    pub(crate) fn add(&mut self, path: &Path, lines: &str) -> Result<()> {
        self.text(&format!("# {}\n{lines}\n", path.display()))?;
        self.added.push(Lines::new(path, lines));
        Ok(())
    }

    /// A file is to be removed.
    ///
    /// # Errors
    ///
    /// As for [`Changes::write`].
    pub(crate) fn remove(&mut self, path: &Path) -> Result<()> {
        self.text(&format!("rm {}\n", path.display()))?;
        self.removed.push(path.to_owned());
        Ok(())
    }

    /// The added lines are to be taken out of a file of the user.
    ///
    /// # Errors
    ///
    /// As for [`Changes::write`].
    pub(crate) fn clean(&mut self, path: &Path) -> Result<()> {
        self.text(&format!("# its line in {}\n", path.display()))?;
        self.cleaned.push(path.to_owned());
        Ok(())
    }

    /// A file of somebody else stays.
    pub(crate) fn leave(&mut self, path: &Path) {
        if self.shown == Shown::AsText {
            let path = path.display();
            tell(&format!("tpmssh: left: {path} was not written by tpmssh"));
        }
        self.left.push(path.to_owned());
    }

    /// A command was run.
    pub(crate) fn command(&mut self, line: String) {
        if self.shown == Shown::AsText {
            tell(&format!("tpmssh: {line}"));
        }
        self.commands.push(line);
    }

    /// Says something on stderr that the JSON does not have.
    pub(crate) fn tell(&self, text: &str) {
        if self.shown == Shown::AsText {
            tell(text);
        }
    }

    /// A line on stdout that is no change; not in the JSON.
    ///
    /// # Errors
    ///
    /// As for [`Changes::write`].
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        match self.shown {
            Shown::AsText => output::write(text),
            Shown::AsJson | Shown::ByCaller => Ok(()),
        }
    }

    /// Whether no file is written or removed.
    pub(crate) fn is_empty(&self) -> bool {
        let files = self.written.len() + self.added.len();
        files + self.removed.len() + self.cleaned.len() == 0
    }

    /// Prints the JSON. `done` says what is done, as a sentence.
    ///
    /// # Errors
    ///
    /// [`DoneUnseen`](crate::fail::error::Error::DoneUnseen) if stdout cannot be written.
    pub(crate) fn end(self, out: Output, done: &str) -> anyhow::Result<()> {
        match self.shown {
            Shown::AsJson => out.print_done(&self, done, "it need not be done again"),
            Shown::AsText | Shown::ByCaller => Ok(()),
        }
    }
}

/// As text nothing is left to be said at the end.
impl fmt::Display for Changes {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl Lines {
    fn new(path: &Path, contents: &str) -> Self {
        Self {
            path: path.to_owned(),
            contents: contents.to_owned(),
        }
    }
}
