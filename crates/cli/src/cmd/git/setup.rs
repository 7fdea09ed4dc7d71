//! `tpmssh git setup`: the settings by which git signs with a key of the TPM.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use ssh_format::AllowedSigners;
use token_store::config_dir;

use super::config::Git;
use super::record::Record;
use super::unset::{self, MARK};
use crate::app::App;
use crate::fail::error::Error;
use crate::files::input_file;
use crate::files::output_file;
use crate::keys::signing::{self, SigningKey};
use crate::show::output::tell;
use crate::show::path::quote;

/// Have git sign commits and tags with a key of the TPM
///
/// git commit -S and git tag -s then sign with it. It prints what it sets: gpg.format, user.signingkey, gpg.ssh.program and, unless there is one,
/// gpg.ssh.allowedSignersFile with a line for you. --unset undoes all of it. Needs git 2.35 or newer.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The key to sign with, by label, id or fingerprint (the only key)
    #[arg(long, short, value_name = "KEY")]
    key: Option<String>,

    /// Set it for all repositories of this user, not only for this one
    #[arg(long)]
    global: bool,

    /// Let ssh-keygen sign through the agent (SSH_AUTH_SOCK) instead of asking for the PIN each time
    #[arg(long)]
    agent: bool,

    /// Sign all commits and tags, without -S and -s
    #[arg(long)]
    always: bool,

    /// Your address in the allowed signers file (git's user.email)
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,

    /// Restore the former value of each setting, and remove the files that were written
    #[arg(long, conflicts_with_all = ["key", "agent", "always", "email"])]
    unset: bool,

    /// Only print what would be set
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let git = Git::new(args.global);
    if !args.global {
        git.check_repository()?;
    }
    if args.unset {
        return unset::run(app.out, &git, args.dry_run);
    }
    let report = set_up(app, &git, args)?;
    if args.dry_run {
        return app.out.print(&report);
    }
    let hint = "see it with: git config --list --show-origin";
    app.out.print_done(&report, "git is set up", hint)
}

/// The key with which git signs in all repositories of this user.
pub(crate) enum Signing {
    /// git is not installed.
    NoGit,
    /// No key is set.
    Nothing,
    /// A key of tpmssh.
    Ours,
    /// Something else, such as a key of GnuPG.
    Other,
}

/// The key with which git signs in all repositories of this user.
pub(crate) fn signing_of_user() -> Signing {
    let git = Git::new(true);
    let (Ok(format), Ok(key)) = (git.own("gpg.format"), git.own("user.signingkey")) else {
        return Signing::NoGit;
    };
    let written = git.own(&unset::written("user.signingkey")).ok().flatten();
    match (format, key) {
        (None, None) => Signing::Nothing,
        (_, key @ Some(_)) if key == written => Signing::Ours,
        _ => Signing::Other,
    }
}

/// Has git sign with the key of this fingerprint in all repositories of this user.
///
/// # Errors
///
/// As for `tpmssh git setup`.
pub(crate) fn set_up_for_user(app: &App, fingerprint: &str) -> anyhow::Result<()> {
    let args = Args {
        key: Some(fingerprint.to_owned()),
        global: true,
        ..Args::default()
    };
    set_up(app, &Git::new(true), &args).map(drop)
}

/// Makes the settings and the files, unless it is a dry run.
fn set_up(app: &App, git: &Git, args: &Args) -> anyhow::Result<Report> {
    let store = app.store()?;
    let key = signing::find(signing::all(app, &store)?, args.key.as_deref())?;
    let mut report = Report {
        scope: git.scope,
        settings: Vec::new(),
        files: Vec::new(),
        signer: None,
    };
    report.set("gpg.format", "ssh");
    report.set("user.signingkey", format!("key::{}", key.line()));
    if args.agent {
        report.set("gpg.ssh.program", "ssh-keygen");
    } else {
        let program = config_dir()?.join("tpmssh/git-sign");
        report.set("gpg.ssh.program", text(&program)?);
        report.write(program, 0o755, script()?);
    }
    report.allow(git, &key, args)?;
    if args.always {
        report.set("commit.gpgsign", "true");
        report.set("tag.gpgsign", "true");
    }
    if !args.dry_run {
        report.carry_out(git)?;
    }
    Ok(report)
}

/// The program that git calls in the place of `ssh-keygen`. It is a script, because git's setting
/// takes a file without arguments.
fn script() -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot tell where tpmssh is")?;
    let program = quote(&program);
    Ok(format!(
        "#!/bin/sh\n{MARK}\
         exec {program} git program \"$@\"\n"
    ))
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(skip)]
    scope: &'static str,
    settings: Vec<Setting>,
    files: Vec<Written>,
    /// The line that is added to the allowed signers.
    #[serde(skip)]
    signer: Option<String>,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct Written {
    path: PathBuf,
    #[serde(skip)]
    mode: u32,
    contents: String,
}

impl Report {
    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        self.settings.push(Setting { name, value });
    }

    fn write(&mut self, path: PathBuf, mode: u32, contents: String) {
        self.files.push(Written {
            path,
            mode,
            contents,
        });
    }

    /// Adds the key to the file of allowed signers, so that git can say whose signatures they are.
    fn allow(&mut self, git: &Git, key: &SigningKey, args: &Args) -> anyhow::Result<()> {
        const FILE: &str = "gpg.ssh.allowedSignersFile";
        let email = match &args.email {
            Some(email) => Some(email.clone()),
            None => git.get("user.email")?,
        };
        let Some(email) = email else {
            tell("tpmssh: git knows no user.email: no allowed signer was added");
            return Ok(());
        };
        if let Some(file) = git.get(FILE)? {
            tell(&format!(
                "tpmssh: {FILE} is {file} already; for the line that it needs: \
                 tpmssh export --allowed-signer {email} {}",
                key.shown.fingerprint
            ));
            return Ok(());
        }
        let path = config_dir()?.join("tpmssh/allowed_signers");
        let line = AllowedSigners::line(&email, Some("git"), &key.public, &key.label)?;
        let mut contents = match path.exists() {
            true => input_file::read_text(&path, 1 << 20)?,
            false => String::new(),
        };
        if !contents.lines().any(|known| known == line) {
            if !contents.is_empty() && !contents.ends_with('\n') {
                contents.push('\n');
            }
            contents.push_str(&line);
            contents.push('\n');
            self.signer = Some(line);
        }
        self.set(FILE, text(&path)?);
        self.write(path, 0o644, contents);
        Ok(())
    }

    fn carry_out(&self, git: &Git) -> anyhow::Result<()> {
        for file in &self.files {
            let dir = file.path.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(dir).map_err(|source| Error::Unwritable {
                path: dir.to_owned(),
                source,
            })?;
            output_file::write(&file.path, file.mode, file.contents.as_bytes())?;
        }
        let mut record = Record::read()?;
        record.add_place(&git.place()?);
        if let Some(line) = &self.signer {
            record.add_signer(line);
        }
        record.write()?;
        for setting in &self.settings {
            keep_previous(git, setting)?;
            git.set(setting.name, &setting.value)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Setting { name, value } in &self.settings {
            let value = quote(Path::new(value));
            writeln!(f, "git config {} {name} {value}", self.scope)?;
        }
        for file in &self.files {
            writeln!(f, "file {}", quote(&file.path))?;
        }
        Ok(())
    }
}

/// Keeps the value that a setting has now, unless an earlier call wrote it, for `--unset`.
fn keep_previous(git: &Git, setting: &Setting) -> anyhow::Result<()> {
    let written = unset::written(setting.name);
    let current = git.own(setting.name)?;
    if current.is_none() || current != git.own(&written)? {
        match current.filter(|value| *value != setting.value) {
            Some(value) => git.set(&unset::previous(setting.name), &value)?,
            None => git.forget(&format!("tpmssh.{}", setting.name))?,
        }
    }
    git.set(&written, &setting.value)
}

/// A path as git's configuration takes it.
fn text(path: &Path) -> Result<String, Error> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::Usage(format!("the path {} is not text", path.display())))
}
