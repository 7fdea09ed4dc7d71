//! `tpmssh import`: bring a key into the TPM that was made outside of it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use ssh_format::text::shown;
use token_store::{Error as StoreError, KeySpec, OpenToken, Store, Token};
use tpm_core::{Error as Tpm, SoftwareKey};
use zeroize::Zeroizing;

use crate::app::App;
use crate::ask::confirm;
use crate::ask::pin_prompt::Secret;
use crate::ask::token_pin::{read_pin, refuse_locked};
use crate::fail::error::Error;
use crate::fail::not_imported::NotImported;
use crate::files::private_key_file::Moving;
use crate::keys::{self, Key, make, public_files};
use crate::options::{PassphraseArgs, UserPinArgs};
use crate::show::output::tell;
use crate::show::path::quote;

/// Bring a private key file into the TPM, marked as imported
///
/// Importing does not take the key away from anybody who has a copy of the file or of a backup. A new
/// key has no copies, and tpmssh copy-id --replace OLD.pub HOST puts it in the place of the old one.
/// Import a key only where that is not possible: others have pinned it, or take months to change.
///
/// FILE is a key of ssh-keygen: ECDSA, or RSA of 2048 or 3072 bits. It is never changed or deleted.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("yes", |arg| arg.help("Import without a question, and even if only one try is left for the PIN"))
)]
pub(crate) struct Args {
    /// The private key file, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The label of the key, and the comment of its public key (the comment of the file)
    #[arg(short = 'C', long)]
    label: Option<String>,

    /// The id of the key in hexadecimal, for PKCS#11 programs (the subject key identifier)
    #[arg(long, value_name = "HEX", value_parser = keys::parse_id)]
    id: Option<keys::Id>,

    /// Ask for the PIN at each use
    #[arg(long)]
    always_authenticate: bool,

    #[command(flatten)]
    passphrase: PassphraseArgs,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> Result<()> {
    let moving = Moving::read(&args.file)?;
    let mut store = app.store()?;
    let token = app.token(&store)?;
    store.refuse_twin(token.id, moving.of_tpm())?;
    if token
        .chip
        .as_ref()
        .is_some_and(|chip| !chip.has_key_type(moving.key_type()))
    {
        return Err(moving.refused(NotImported::Lacks(moving.key_type())));
    }
    if let Some(label) = &args.label {
        make::check_label(&store, &token, label)?;
    }
    refuse_locked(app, &store, &token)?;
    let plain = (!moving.is_encrypted())
        .then(|| try_out(&moving, b""))
        .transpose()?;
    if let Some((_, comment)) = &plain {
        label(&store, &token, &moving, args, comment)?;
    }
    warn(&moving, args);
    confirm::confirm("Import it anyway?", args.pin.answers_yes())?;

    let (passphrase, comment) = match plain {
        Some(plain) => plain,
        None => ask(&moving, args)?,
    };
    let mut spec = KeySpec::new(moving.key_type(), "");
    spec.id = args.id.clone().map(|id| id.0);
    spec.always_authenticate = args.always_authenticate;
    spec.label = label(&store, &token, &moving, args, &comment)?;
    let pin = read_pin(app, &store, &token, &args.pin)?;
    let open = OpenToken::open(&store, &app.tpm()?, &token, pin.as_ref())?;
    // Only now: while a person is asked, the private key is not in memory.
    let pair = {
        let software = software_key(&moving, &passphrase)?.0;
        open.import(&mut store, &software, &spec)
    };
    let pair = pair.map_err(|err| explain(&moving, err))?;
    public_files::update(&store);
    let key = Key::of(&token, &pair.private)?.context("the key has no public key")?;
    let done = format!("the key \"{}\" is imported", shown(&key.label));
    app.out
        .print_done(&key, &done, "see it with: tpmssh list")?;
    if args.file != std::path::Path::new("-") {
        let file = quote(&args.file);
        tell(&format!(
            "The file is still the key: keep it offline as a backup, or delete it with: rm {file}"
        ));
    }
    Ok(())
}

/// The warning that is printed before the question.
fn warn(moving: &Moving, args: &Args) {
    let comment = moving
        .comment()
        .filter(|comment| !comment.is_empty())
        .map_or_else(String::new, |comment| format!(" \"{}\"", shown(comment)));
    tell(&format!(
        "{} {}{comment}",
        moving.key_type(),
        moving.public().fingerprint()
    ));
    let file = if args.file == std::path::Path::new("-") {
        "OLD".to_owned()
    } else {
        quote(&args.file)
    };
    tell(
        "This key was outside of the TPM. Anyone with a copy of it or of a backup of this disk can \
         go on using it.",
    );
    tell(&format!(
        "Better where you can: tpmssh copy-id --replace {file}.pub HOST"
    ));
}

/// The label of the key: that of the option, else its comment in the file.
///
/// # Errors
///
/// Those of [`make::check_label`]; [`NotImported::Comment`] for a comment that cannot be a label.
fn label(
    store: &Store,
    token: &Token,
    moving: &Moving,
    args: &Args,
    comment: &str,
) -> Result<String> {
    if let Some(label) = &args.label {
        make::check_label(store, token, label)?;
        return Ok(label.clone());
    }
    if comment.trim().is_empty() {
        return make::free_label(store, token);
    }
    make::check_label(store, token, comment).map_err(|err| match err.downcast_ref() {
        Some(Error::BadLabel(why)) => moving.refused(NotImported::Comment(why)),
        _ => err,
    })?;
    Ok(comment.to_owned())
}

/// The passphrase that opens the file, and the key's comment.
fn ask(moving: &Moving, args: &Args) -> Result<(Secret, String)> {
    let what = format!("passphrase of {}", shown(&moving.short_name()));
    let source = args.passphrase.source();
    source.read_as(&what, |typed| try_out(moving, typed))
}

/// This passphrase, if it opens the file and the key in it is sound; and the key's comment.
fn try_out(moving: &Moving, passphrase: &[u8]) -> Result<(Secret, String)> {
    let (_, comment) = software_key(moving, passphrase)?;
    Ok((Zeroizing::new(passphrase.to_vec()), comment))
}

/// The key itself, checked to be sound, and its comment.
fn software_key(moving: &Moving, passphrase: &[u8]) -> Result<(SoftwareKey, String)> {
    let (key, comment) = moving.open(passphrase, |numbers, comment| {
        (ssh_keys::software_key(numbers), comment.to_owned())
    })?;
    let key = key.map_err(|err| moving.unsound(err))?;
    Ok((key, comment))
}

/// The chip's refusals, as errors about this key.
fn explain(moving: &Moving, err: StoreError) -> anyhow::Error {
    match err {
        StoreError::Tpm(Tpm::NotSupported(what)) if what == moving.key_type().name() => {
            moving.refused(NotImported::Lacks(moving.key_type()))
        }
        StoreError::Tpm(Tpm::NotSupported("TPM2_Import")) => moving.refused(NotImported::NoImport),
        err => anyhow::Error::from(err).context("cannot import the key"),
    }
}
