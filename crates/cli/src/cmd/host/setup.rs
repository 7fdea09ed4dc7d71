//! `tpmssh host setup`: have sshd use host keys that are in the TPM.

use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use ssh_format::{Certificate, CertificateKind};
use token_store::token::{self, InitOptions};
use token_store::{Error as StoreError, KeySpec, Store, StoreDir, Token, WallKind};
use tpm_core::{KeyType, info};

use super::check::{self, ServerArgs};
use super::drop_in::{DropIn, check_included};
use super::enrol::{self, EnrolArgs};
use super::host_units;
use super::place::{MachineArgs, TOKEN, algorithm};
use super::renew;
use super::server_keys::{self, FileKey};
use crate::app::App;
use crate::ask::hierarchy_auth::read_owner_auth;
use crate::fail::error::{CertificateError, Error, HostError};
use crate::files::changes::Changes;
use crate::files::key_file;
use crate::files::output_file;
use crate::files::units;
use crate::keys::Key;
use crate::keys::make;
use crate::keys::signing::{self, SigningKey};
use crate::options::{KeyTypeArgs, OwnerAuthArgs};
use crate::show::path;

/// Make a host key in the TPM, and have sshd and systemd use it
///
/// Writes the public key, a service that is sshd's agent for it, and a drop-in for sshd, and shows
/// them. The key has no PIN, because sshd starts without a person to type it. sshd itself is not touched: reload
/// it when you have read what was written.
///
/// Host keys in files stay in use, for the clients that know them; --only leaves them out. sshd
/// takes one key of each type and curve. Without -t and -b, the TPM's key is of a curve that no
/// file has. A file with a key of the same type and curve is left out, and tpmssh says so.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,

    #[command(flatten)]
    kind: KeyTypeArgs,

    /// A certificate for the key, as tpmssh ca sign-host makes it; - is standard input
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,

    #[command(flatten)]
    enrol: EnrolArgs,

    /// Do not use the host keys that are in files
    #[arg(long)]
    only: bool,

    /// Show what would be written, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// The same as tpmssh host check
    #[arg(long, hide = true, conflicts_with_all = ["dry_run", "only", "certificate"])]
    check: bool,

    #[command(flatten)]
    server: CheckArgs,

    #[command(flatten)]
    owner: OwnerAuthArgs,
}

/// The server of `--check`.
#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The server's address, for --check
    #[arg(long, hide = true, default_value = "127.0.0.1", requires = "check")]
    address: String,

    /// The server's port, for --check
    #[arg(long, short, hide = true, default_value_t = 22, requires = "check")]
    port: u16,
}

const COMMANDS: [&[&str]; 2] = [
    &["daemon-reload"],
    &["enable", "--now", "tpmssh-host.socket"],
];
const START_TIMER: &[&str] = &["enable", "--now", host_units::TIMER_UNIT];

pub(super) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    if args.check {
        let server = ServerArgs::new(&args.server.address, args.server.port);
        return check::check(app, &args.machine, &server);
    }
    // Checks everything that can be refused before anything is made.
    if args.enrol.enroll.is_none() && args.enrol.authority.is_given() {
        let why = "--join-token, --identity-key, --identity-command, --old-key, --role, --audience, --user-ca, --host-ca, --tls-ca, --tls-ca-sha256 and --ek-type need --enroll";
        return Err(Error::Usage(why.to_owned()).into());
    }
    args.machine.check_user()?;
    if !args.dry_run {
        units::need_systemd(
            "this command is for systemd; what its service runs, and what sshd needs, shows: \
             tpmssh host setup --dry-run",
        )?;
    }
    host_units::any(&args.machine).check()?;
    if args.enrol.enroll.is_some() {
        enrol::check_settings(&args.machine, &args.enrol)?;
    }
    let files = server_keys::in_use(&args.machine);
    let kind = kind(app, args, &files)?;
    check_named(args, kind, &files)?;
    let certificate = args
        .certificate
        .as_deref()
        .map(read_certificate)
        .transpose()?;
    let key = if args.dry_run {
        existing(app, args, kind)?
    } else {
        Some(key(app, args, kind)?)
    };
    let renews = args.enrol.enroll.is_some() || is_enrolled(app, args)?;
    let certificate = match (&args.enrol.enroll, &key) {
        (Some(url), Some(key)) if !args.dry_run => {
            Some(enrol::enrol(app, &args.machine, &args.enrol, url, key)?)
        }
        _ => certificate,
    };
    let certificate = match (&key, certificate) {
        (_, None) => None,
        (Some(key), Some(certificate)) if *certificate.key() == key.public => Some(certificate),
        (_, Some(certificate)) => {
            let fingerprint = certificate.key_fingerprint().to_string();
            return Err(CertificateError::NoKeyForCertificate { fingerprint }.into());
        }
    };
    let enrols = args.enrol.enroll.is_some();
    let drop_in = DropIn::new(
        &args.machine,
        (kind, certificate.is_some() || enrols),
        files,
        args.only,
        enrols.then_some(!args.enrol.no_users),
    );
    let mut files = host_units::needed(app, &args.machine, renews)?;
    files.add(args.machine.drop_in(), drop_in.text(&args.machine));
    files.check()?;
    let mut changes = Changes::new(app.out, args.dry_run);
    let report = |changes, drop_in: DropIn| Report {
        changes,
        key: key.as_ref().map(|key| key.shown.clone()),
        left_out: drop_in.left_out.into_iter().map(|file| file.path).collect(),
    };
    let line = |line: String| format!("{line}\n");
    let public = key.as_ref().map(|key| line(key.line()));
    let certificate = certificate.map(|certificate| line(certificate.line(TOKEN)));
    if let Some(public) = &public {
        changes.write(&args.machine.public(kind), public)?;
    }
    if let Some(certificate) = &certificate {
        changes.write(&args.machine.certificate(kind), certificate)?;
    }
    if args.dry_run {
        files.put(&mut changes, 0o755)?;
        drop_in.tell_left_out();
        return app.out.print(&report(changes, drop_in));
    }
    if let Some(public) = public {
        write_public(&args.machine.public(kind), public.as_bytes())?;
    }
    if let Some(certificate) = certificate {
        let path = args.machine.certificate(kind);
        output_file::write(&path, 0o644, certificate.as_bytes())?;
    }
    if host_units::are_packaged(&args.machine) {
        // Units of an older version would hide those of the package.
        host_units::any(&args.machine).remove(&mut changes, &args.machine.etc)?;
    }
    files.put(&mut changes, 0o755)?;
    check_included(&args.machine);
    drop_in.tell_left_out();
    units::systemctl(&mut changes, &COMMANDS)?;
    if renews {
        units::systemctl(&mut changes, &[START_TIMER])?;
    }
    changes.tell(
        "tpmssh: when you have read it: sudo sshd -t && sudo systemctl reload ssh; \
         then: sudo tpmssh host check",
    );
    changes.tell(
        "tpmssh: sshd -t says that it cannot load the private half of the key, \
         \"error in libcrypto\" or \"invalid format\": it is in the TPM",
    );
    app.out.print_done(
        &report(changes, drop_in),
        "the host key is set up",
        "see it with: sudo tpmssh host status",
    )
}

/// Whether an authority certifies a host key already.
fn is_enrolled(app: &App, args: &Args) -> anyhow::Result<bool> {
    Ok(!renew::enrolled(app, &args.machine)?.is_empty())
}

/// What was done, for `--json`; as text it was shown before.
#[derive(Debug, Serialize)]
struct Report {
    /// The host key of the TPM; none in a dry run that would make one.
    key: Option<Key>,
    #[serde(flatten)]
    changes: Changes,
    /// The files with host keys that sshd does not use any more.
    left_out: Vec<PathBuf>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes.fmt(f)
    }
}

/// Writes the public half. sshd warns of a file in the place of a private key that others can
/// read, so only root can.
fn write_public(path: &Path, line: &[u8]) -> anyhow::Result<()> {
    units::make_parent(path, 0o755)?;
    output_file::write(path, 0o600, line)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))
        .with_context(|| format!("cannot change the mode of {}", path.display()))
}

/// The kind of host key to make: the kind in the options, otherwise that of the TPM's present
/// host key, otherwise the first kind that the TPM makes and no file has.
fn kind(app: &App, args: &Args, files: &[FileKey]) -> anyhow::Result<KeyType> {
    let asked = args.kind.key_type()?;
    if args.kind.is_chosen() {
        return Ok(asked);
    }
    let there = host_keys(app, args)?;
    let set_up = there
        .iter()
        .find(|key| check::is_set_up(&args.machine, key));
    let there = set_up.or(there.first()).map(|key| key.key.key_type());
    if let Some(kind) = there.filter(|kind| !kind.is_rsa()) {
        return Ok(kind);
    }
    let taken = |kind: KeyType| {
        let same = |file: &FileKey| file.has_algorithm(algorithm(kind));
        !args.only && files.iter().any(same) || named(files).any(|(file, _)| same(file))
    };
    if !taken(asked) {
        return Ok(asked);
    }
    let tpm = app.tpm()?;
    let makes = tpm
        .begin()
        .and_then(|op| info::key_types(&op))
        .map_err(StoreError::from)?;
    let mut free = makes
        .into_iter()
        .filter(|kind| !kind.is_rsa() && !taken(*kind));
    Ok(free.next().unwrap_or(asked))
}

/// The files that a line of sshd's configuration names, which this command cannot take out.
fn named(files: &[FileKey]) -> impl Iterator<Item = (&FileKey, &server_keys::Line)> {
    let with_line = |file| Option::zip(Some(file), FileKey::named(file));
    files.iter().filter_map(with_line)
}

/// Refuses a kind that a named file has as well, and `--only` beside named files.
fn check_named(args: &Args, kind: KeyType, files: &[FileKey]) -> Result<(), HostError> {
    let in_the_way =
        named(files).find(|(file, _)| args.only || file.has_algorithm(algorithm(kind)));
    match in_the_way {
        None => Ok(()),
        Some((file, line)) => Err(HostError::HostKeyNamed {
            key: file.path.clone(),
            config: line.file.clone(),
            line: line.number,
            same: !args.only,
        }),
    }
}

/// The host certificate in a file.
fn read_certificate(file: &Path) -> anyhow::Result<Certificate> {
    let (certificate, _) = key_file::read_certificate(file)?;
    let name = || path::name(file);
    certificate.verify().with_context(name)?;
    certificate.check_critical_options().with_context(name)?;
    if certificate.kind() != CertificateKind::Host {
        return Err(Error::Usage(format!("{}: it is the certificate of a user", name())).into());
    }
    Ok(certificate)
}

/// The host keys of the TPM; none if there is no store.
fn host_keys(app: &App, args: &Args) -> anyhow::Result<Vec<SigningKey>> {
    let store = match Store::open(&StoreDir::at(&args.machine.store)?) {
        Err(StoreError::NoStore { .. }) => return Ok(Vec::new()),
        store => store?,
    };
    let mut keys = signing::all(app, &store)?;
    keys.retain(|it| it.token.label == TOKEN);
    Ok(keys)
}

/// The key of this kind, if there is one.
fn existing(app: &App, args: &Args, kind: KeyType) -> anyhow::Result<Option<SigningKey>> {
    let mut keys = host_keys(app, args)?.into_iter();
    Ok(keys.find(|it| it.key.key_type() == kind))
}

/// The key of this kind; made if it does not exist.
fn key(app: &App, args: &Args, kind: KeyType) -> anyhow::Result<SigningKey> {
    if let Some(key) = existing(app, args, kind)? {
        return Ok(key);
    }
    let mut store = Store::open_or_create(&StoreDir::at(&args.machine.store)?)?;
    let token = token(app, &mut store, args)?;
    let spec = KeySpec::new(kind, label(app, args, kind)?);
    make::key(app, &mut store, &token, &spec, None)?;
    existing(app, args, kind)?.context("the new host key is not in the store")
}

/// `HOST host key`, with the kind if another key is called so.
fn label(app: &App, args: &Args, kind: KeyType) -> anyhow::Result<String> {
    let label = format!("{} host key", make::host_name());
    let taken = host_keys(app, args)?.iter().any(|key| key.label == label);
    Ok(match taken {
        true => format!("{label} {}", kind.name()),
        false => label,
    })
}

/// The token of the host keys, without a PIN; made if it does not exist.
fn token(app: &App, store: &mut Store, args: &Args) -> anyhow::Result<Token> {
    let known = store.tokens()?.into_iter().find(|it| it.label == TOKEN);
    if let Some(token) = known {
        return Ok(token);
    }
    let options = InitOptions {
        wall: Some(WallKind::None),
        ..InitOptions::new(TOKEN)
    };
    let owner = read_owner_auth(&args.owner.source())?;
    let tpm = app.tpm()?;
    Ok(token::init(store, &tpm, &options, None, None, &owner)?.token)
}
