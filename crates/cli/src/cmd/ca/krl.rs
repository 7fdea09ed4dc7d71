//! `tpmssh ca krl` and `read-krl`: lists of what was revoked.

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use ssh_format::{Krl, MAX_KRL_LEN};
use token_store::Revoked;

use crate::app::App;
use crate::certificates::{authorities, revocations};
use crate::fail::error::{AuthorityError, Error};
use crate::files::input_file;
use crate::files::key_file::{self, Entry};
use crate::files::output_file;
use crate::options::AuthorityArgs;
use crate::show::date;
use crate::show::output::{Facts, escape, tell};
use crate::show::path;
use crate::show::words::count;

/// Write an authority's revocation list, for sshd's RevokedKeys
///
/// The file is replaced at once: an sshd that finds half a list lets nobody in. A list that
/// revokes what this store does not know is not replaced: the store may be an old copy.
#[derive(Debug, clap::Args)]
pub(crate) struct WriteArgs {
    /// The file to write; - is standard output
    file: PathBuf,

    /// Replace a list that revokes more, has a higher number, or is not understood
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    authority: AuthorityArgs,
}

/// Read a revocation list of any authority
///
/// With FILEs of keys or certificates it says whether each of them is revoked.
#[derive(Debug, clap::Args)]
pub(crate) struct ReadArgs {
    /// The list
    file: PathBuf,

    /// Files with one public key or certificate each; the exit code is 8 if any is revoked
    keys: Vec<PathBuf>,
}

pub(crate) fn write(app: &App, args: &WriteArgs) -> anyhow::Result<()> {
    if args.file == Path::new("-") && io::stdout().is_terminal() {
        let why = "a revocation list is not text: name a file instead of -";
        return Err(Error::Usage(why.into()).into());
    }
    let store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    let list = revocations::list(&store, &authority)?;
    if !args.force {
        let known = revocations::known(&store, &authority)?;
        check_replaced(&args.file, &list, &known)?;
    }
    output_file::write(&args.file, 0o644, &list.to_bytes())?;
    let revocations = store.revocations(authority.object)?.revoked;
    let keys = revocations
        .iter()
        .filter(|it| matches!(it, Revoked::Key(_)))
        .count();
    let written = Written {
        file: args.file.display().to_string(),
        number: list.number(),
        certificates: revocations.len() - keys,
        keys,
    };
    // The list may be what goes to stdout.
    if app.out.is_json() && args.file != Path::new("-") {
        return app.out.print(&written);
    }
    tell(&format!("tpmssh: {written}"));
    Ok(())
}

/// What a list that was written has.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    number: u64,
    /// Revocations by serial number or key id.
    certificates: usize,
    keys: usize,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "list number {}: {} by serial number or key id, {} revoked",
            self.number,
            count(self.certificates, "revocation"),
            count(self.keys, "key"),
        )
    }
}

/// Refuses to replace a list that has revocations which are not `known` here, or a newer one.
fn check_replaced(path: &Path, list: &Krl, known: &Krl) -> Result<(), Error> {
    let Some(bytes) = output_file::existing(path, MAX_KRL_LEN)?.filter(|it| !it.is_empty()) else {
        return Ok(());
    };
    let path = || path.to_owned();
    let old = Krl::from_bytes(&bytes).map_err(|source| AuthorityError::NotAKrl {
        path: path(),
        source,
    })?;
    if !old.is_within(known) {
        return Err(AuthorityError::KrlForgets { path: path() }.into());
    }
    if old.number() > list.number() {
        return Err(AuthorityError::KrlGoesBack {
            path: path(),
            old: old.number(),
            new: list.number(),
        }
        .into());
    }
    Ok(())
}

pub(crate) fn read(app: &App, args: &ReadArgs) -> anyhow::Result<()> {
    let bytes = input_file::read(&args.file, MAX_KRL_LEN)?;
    let krl = Krl::from_bytes(&bytes).with_context(|| path::name(&args.file))?;
    if krl.is_empty() {
        tell("tpmssh: the list revokes nothing");
    }
    let mut report = Report {
        number: krl.number(),
        generated: krl.generated(),
        comment: krl.comment().to_owned(),
        revokes: Revokes::of(&krl),
        asked: Vec::new(),
    };
    for file in &args.keys {
        report.asked.push(Asked {
            file: file.display().to_string(),
            revoked: is_revoked(&krl, file)?,
        });
    }
    app.out.print(&report)?;
    let revoked = report.asked.iter().filter(|it| it.revoked).count();
    match revoked {
        0 => Ok(()),
        _ => Err(AuthorityError::Revoked {
            revoked,
            asked: report.asked.len(),
        }
        .into()),
    }
}

/// Whether the key or certificate in a file is revoked.
fn is_revoked(krl: &Krl, file: &Path) -> anyhow::Result<bool> {
    match key_file::read(file)? {
        Entry::Key(key) => Ok(krl.revokes_key(&key)),
        Entry::Certificate(certificate) => {
            // OpenSSH reads no certificate that its authority did not sign.
            certificate.verify().with_context(|| path::name(file))?;
            Ok(krl.revokes_certificate(&certificate))
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    number: u64,
    /// Seconds since 1970.
    generated: u64,
    comment: String,
    revokes: Revokes,
    asked: Vec<Asked>,
}

/// How much a list revokes. Several lists of serial numbers may overlap, so that one counts twice.
#[derive(Debug, Clone, Copy, Serialize)]
struct Revokes {
    serials: usize,
    key_ids: usize,
    /// By themselves or by their hash.
    keys: usize,
}

impl Revokes {
    fn of(krl: &Krl) -> Self {
        Self {
            serials: usize::try_from(krl.serials()).unwrap_or(usize::MAX),
            key_ids: krl.key_ids(),
            keys: krl.keys(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Asked {
    file: String,
    revoked: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("number", self.number);
        facts.add("generated", date::in_words(self.generated));
        facts.add("comment", &self.comment);
        let Revokes {
            serials,
            key_ids,
            keys,
        } = self.revokes;
        facts.add(
            "revokes",
            format!(
                "{}, {}, {}",
                count(serials, "serial number"),
                count(key_ids, "key id"),
                count(keys, "key")
            ),
        );
        facts.fmt(f)?;
        for asked in &self.asked {
            let state = if asked.revoked {
                "revoked"
            } else {
                "not revoked"
            };
            writeln!(f, "{}: {state}", escape(&asked.file))?;
        }
        Ok(())
    }
}
