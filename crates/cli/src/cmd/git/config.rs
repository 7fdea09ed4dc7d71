//! git's settings, of one repository or of the user.

use std::io;
use std::process::Command;

use anyhow::Context;

use crate::fail::error::Error;

pub(super) struct Git {
    /// `--global` or `--local`.
    pub(super) scope: &'static str,
}

impl Git {
    pub(super) fn new(global: bool) -> Self {
        Self {
            scope: if global { "--global" } else { "--local" },
        }
    }

    /// Refuses to go on outside of a repository.
    pub(super) fn check_repository(&self) -> anyhow::Result<()> {
        let output = self.run(&["rev-parse", "--git-dir"])?;
        output.map(drop).ok_or_else(|| Error::NoRepository.into())
    }

    /// Where the settings are: the directory of the repository, or `global`.
    pub(super) fn place(&self) -> anyhow::Result<String> {
        if self.scope == "--global" {
            return Ok("global".to_owned());
        }
        let dir = self.run(&["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
        dir.ok_or_else(|| Error::NoRepository.into())
    }

    /// The present value of a setting, from any of git's files.
    pub(super) fn get(&self, name: &str) -> anyhow::Result<Option<String>> {
        self.run(&["config", "--get", name])
    }

    /// A setting of this scope alone.
    pub(super) fn own(&self, name: &str) -> anyhow::Result<Option<String>> {
        self.run(&["config", self.scope, "--get", name])
    }

    pub(super) fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        self.run(&["config", self.scope, name, value])?
            .map(drop)
            .with_context(|| format!("git does not let {name} be set"))
    }

    pub(super) fn unset(&self, name: &str) -> anyhow::Result<()> {
        self.run(&["config", self.scope, "--unset", name])?
            .map(drop)
            .with_context(|| format!("git does not let {name} be unset"))
    }

    /// Removes a section. Succeeds if the section does not exist.
    pub(super) fn forget(&self, section: &str) -> anyhow::Result<()> {
        self.run(&["config", self.scope, "--remove-section", section])
            .map(drop)
    }

    /// What git prints without the line feed, if it succeeds.
    fn run(&self, arguments: &[&str]) -> anyhow::Result<Option<String>> {
        let output = match Command::new("git").args(arguments).output() {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Err(Error::NoGit.into()),
            output => output.context("cannot run git")?,
        };
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(output.status.success().then(|| text.trim_end().to_owned()))
    }
}
