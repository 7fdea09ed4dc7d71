//! Keys that `init` makes: a token in the TPM of this machine, whose PIN the node has in a file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use ssh_format::AnyKey;
use ssh_format::text::{error_line, shell_word};
use token_store::token::{self, InitOptions, NoCounter};
use token_store::{
    Config, Error as StoreError, KeySpec, OpenToken, Pin, SoPin, SoPinFile, Store, StoreDir, Token,
};
use tpm_core::{Entity, Error as TpmError, KeyType, OwnerAuth, Tpm, info};
use zeroize::Zeroizing;

use super::Args;
use super::unfinished::Unfinished;
use crate::cmd::dir::Dir;
use crate::files;
use crate::signer;

/// The label of the token.
pub(super) const TOKEN: &str = "ca";
/// The labels of its keys, for users and for hosts.
const LABELS: [&str; 2] = ["user-ca", "host-ca"];
/// The longest file with a password, in bytes.
const MAX_PASSWORD: u64 = 4096;

/// The directory of the store that the token is in.
pub(super) fn store(dir: &Dir, args: &Args) -> anyhow::Result<PathBuf> {
    match &args.store {
        Some(store) => files::absolute(store),
        None => Ok(files::absolute(dir.path())?.join("keys")),
    }
}

/// The files with the public keys, for users and for hosts.
pub(super) fn public_files(dir: &Dir) -> [PathBuf; 2] {
    LABELS.map(|label| dir.path().join(format!("{label}.pub")))
}

/// New keys, for an authority that has no policy yet. They are deleted when this is dropped, unless `keep` was called.
pub(super) struct Made {
    /// For users and for hosts.
    pub(super) keys: [AnyKey; 2],
    code: Option<(SoPin, Option<SoPinFile>)>,
    begun: Begun,
}

/// Makes the token and its keys, as `tpmssh token init` and `tpmssh ca init` do.
///
/// # Errors
///
/// Errors of the TPM, the store and the disk. Then nothing of it is left, or the next `init` removes what is left.
pub(super) fn make(dir: &Dir, args: &Args) -> anyhow::Result<Made> {
    made(dir, args)
        .map_err(advise)
        .context("the keys are not made")
}

fn made(dir: &Dir, args: &Args) -> anyhow::Result<Made> {
    if dir.path().exists() {
        dir.check()?;
    }
    let path = store(dir, args)?;
    let place = StoreDir::at(&path)?;
    let owner = owner(args)?;
    let choice = Config::load()?.tcti(None)?;
    if choice.simulated {
        eprintln!("tpmssh-ca: the TPM is simulated and protects nothing");
    }
    // Before the first PIN is in memory. `Config::load` has read what it needs of /proc, which a hardened process cannot read.
    signer::harden();
    let tpm = Arc::new(Tpm::new(choice.tcti));
    let key_type = key_type(&tpm)?;

    dir.make()?;
    dir.check()?;
    let (mark, left) = Unfinished::take(dir.unfinished())?;
    let files = [&public_files(dir)[..], &[dir.pin()]].concat();
    let begun = Begun {
        mark,
        stage: match left {
            Some(_) => Stage::Left,
            None => Stage::Nothing,
        },
        files,
        store: None,
        tpm,
        token: None,
        owner,
    };
    made_in(dir, args, begun, (&place, left.as_deref()), key_type)
}

/// Makes them in the store at `place`. `left` is the store of an `init` that was killed.
fn made_in(
    dir: &Dir,
    args: &Args,
    mut begun: Begun,
    (place, left): (&StoreDir, Option<&Path>),
    key_type: KeyType,
) -> anyhow::Result<Made> {
    if dir.policy_file().exists() {
        bail!("there is an authority in {} already", dir.path().display());
    }
    if let Some(left) = left {
        begun.remove_left(dir, left)?;
    }
    if let Some(file) = begun.files.iter().find(|file| file.exists()) {
        bail!(
            "{} is there already, and may be of keys that are in use: move it away",
            file.display()
        );
    }
    let mut store = Store::open_or_create(place)?;
    let shown = place.path().display();
    if store.tokens()?.iter().any(|it| it.label == TOKEN) {
        bail!(
            "the store in {shown} has a token \"{TOKEN}\" already: use its keys with --token {TOKEN}, or another directory with --store DIR"
        );
    }
    let file = match &args.so_pin_out {
        Some(path) => Some(
            SoPinFile::create(path).with_context(|| format!("cannot make {}", path.display()))?,
        ),
        None => None,
    };
    begun.mark.note(place.path())?;
    begun.stage = Stage::Making;

    let (pin, so) = (Pin::generate(), SoPin::generate());
    let line = Zeroizing::new([pin.bytes(), b"\n"].concat());
    files::write_new(&dir.pin(), 0o600, &line)?;
    let options = InitOptions::new(TOKEN);
    let (tpm, owner) = (Arc::clone(&begun.tpm), &begun.owner);
    let made = token::init(&mut store, &tpm, &options, Some(&so), Some(&pin), owner)?;
    let token = made.token;
    let store = begun.store.insert(store);
    begun.token = Some(token.clone());
    if let Some(why) = made.own_srk {
        eprintln!(
            "tpmssh-ca: the TPM's storage root key stays as it is and does not serve tpmssh: {why}; tpmssh has one of its own beside it"
        );
    }
    if let Some(why) = made.fallback {
        eprintln!(
            "tpmssh-ca: no PIN counter can be made: {why}; so the lockout of the whole TPM guards the token"
        );
    }
    let open = OpenToken::open(store, &tpm, &token, Some(&pin))?;
    let [user, host] = LABELS;
    let keys = [
        make_key(store, &open, key_type, user)?,
        make_key(store, &open, key_type, host)?,
    ];
    drop(open);
    for ((key, file), label) in keys.iter().zip(public_files(dir)).zip(LABELS) {
        let line = key.line(label) + "\n";
        files::write_new(&file, 0o644, line.as_bytes())?;
    }
    Ok(Made {
        keys,
        code: Some((so, file)),
        begun,
    })
}

/// Makes a key that certifies.
fn make_key(
    store: &mut Store,
    open: &OpenToken,
    key_type: KeyType,
    label: &str,
) -> anyhow::Result<AnyKey> {
    let made = open.generate(store, &KeySpec::new(key_type, label));
    let pair = made.with_context(|| format!("cannot make the key {label}"))?;
    store.make_authority(pair.private.id)?;
    let public = pair.public.public_key();
    let public = public.context("the new key has no public half")?;
    Ok(AnyKey::from(&ssh_keys::public_key(public)?))
}

/// The first kind of key that this TPM makes.
fn key_type(tpm: &Tpm) -> anyhow::Result<KeyType> {
    let types = tpm.begin().and_then(|op| info::key_types(&op));
    let first = types.map_err(StoreError::from)?.first().copied();
    let none = || StoreError::from(TpmError::NotSupported("any key type that SSH knows"));
    Ok(first.ok_or_else(none)?)
}

/// The password of the TPM's owner hierarchy; empty if none is given.
fn owner(args: &Args) -> anyhow::Result<OwnerAuth> {
    let Some(file) = &args.owner_auth_file else {
        return Ok(OwnerAuth::empty());
    };
    let text = files::read_secret(file, MAX_PASSWORD)?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    OwnerAuth::new(password.as_bytes()).context("unusable owner password")
}

impl Made {
    /// Shows the recovery code on stderr, or writes it to the file that was named. It is kept nowhere else.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub(super) fn show_code(&mut self) -> anyhow::Result<()> {
        let Some((so, file)) = self.code.take() else {
            return Ok(());
        };
        let shown = match file {
            Some(file) => file.write(&so),
            None => {
                let text = Zeroizing::new(format!(
                    "Recovery code (SO PIN): {}\n\
                     Write it down now: it is shown only this once. It sets a new PIN for the token \"{TOKEN}\" if its PIN is lost or locked.\n",
                    so.reveal()
                ));
                io::stderr().lock().write_all(text.as_bytes())
            }
        };
        shown.context("the recovery code (SO PIN) cannot be shown")
    }

    /// Keeps the keys, because the policy is written.
    pub(super) fn keep(mut self) {
        self.begun.mark.remove();
        self.begun.stage = Stage::Left;
    }
}

/// What was made so far, and has to be removed if `init` fails.
struct Begun {
    mark: Unfinished,
    stage: Stage,
    /// Files that are made.
    files: Vec<PathBuf>,
    store: Option<Store>,
    tpm: Arc<Tpm>,
    token: Option<Token>,
    owner: OwnerAuth,
}

/// What the mark stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Nothing,
    /// Something that is not removed when this is dropped: what a killed `init` left, or keys that are kept.
    Left,
    /// What this `init` has made, which is removed when this is dropped.
    Making,
}

impl Begun {
    /// Removes what a killed `init` left in the store at `path`.
    fn remove_left(&mut self, dir: &Dir, path: &Path) -> anyhow::Result<()> {
        let removed = self.remove_left_token(dir, path);
        removed.map_err(advise).with_context(|| {
            format!(
                "another init did not end here, and what it has left cannot be removed (by hand: TPMSSH_STORE={} tpmssh token delete {TOKEN}, then: rm {} {})",
                shell_word(&path.to_string_lossy()),
                shell_word(&dir.pin().to_string_lossy()),
                shell_word(&dir.unfinished().to_string_lossy()),
            )
        })?;
        self.remove_files()?;
        self.mark.forget()?;
        self.stage = Stage::Nothing;
        Ok(())
    }

    fn remove_left_token(&self, dir: &Dir, path: &Path) -> anyhow::Result<()> {
        let mut store = match Store::open(&StoreDir::at(path)?) {
            Err(StoreError::NoStore { .. }) => return Ok(()),
            store => store?,
        };
        let token = store.tokens()?.into_iter().find(|it| it.label == TOKEN);
        let Some(token) = token.filter(|_| dir.pin().exists()) else {
            return Ok(());
        };
        // Only that `init` knew the PIN, so it made the token that the PIN opens.
        let pin = signer::read_pin(&dir.pin())?;
        drop(OpenToken::open(&store, &self.tpm, &token, Some(&pin))?);
        Ok(token::delete(&mut store, &self.tpm, &token, &self.owner)?)
    }

    fn undo(&mut self) -> anyhow::Result<()> {
        if let (Some(token), Some(store)) = (&self.token, &mut self.store) {
            token::delete(store, &self.tpm, token, &self.owner)?;
        }
        self.remove_files()
    }

    fn remove_files(&self) -> anyhow::Result<()> {
        for file in &self.files {
            match fs::remove_file(file) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => {
                    return Err(err).with_context(|| format!("cannot remove {}", file.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        match self.stage {
            Stage::Nothing => self.mark.remove(),
            Stage::Left => {}
            Stage::Making => match self.undo() {
                Ok(()) => self.mark.remove(),
                Err(err) => eprintln!(
                    "tpmssh-ca: what was made stays until the next init, which removes it: {}",
                    error_line(err.as_ref())
                ),
            },
        }
    }
}

/// Adds to an error what the user can do.
fn advise(err: anyhow::Error) -> anyhow::Error {
    match err.downcast_ref::<StoreError>().and_then(advice) {
        Some(advice) => anyhow!("{}; {advice}", error_line(err.as_ref())),
        None => err,
    }
}

fn advice(err: &StoreError) -> Option<&'static str> {
    let owner = "give it with --owner-auth-file FILE";
    Some(match err {
        StoreError::NoTpmConfigured | StoreError::Tpm(TpmError::NoTpm { .. }) => {
            "switch the TPM on in the firmware setup, or try a simulated one: tpmssh simulator start"
        }
        StoreError::Tpm(TpmError::PermissionDenied { .. }) => {
            "run this as a user of the group tss, such as with sudo -u tpmssh-ca"
        }
        StoreError::NoCounterWall(NoCounter::OwnerAuth) => owner,
        StoreError::Tpm(TpmError::AuthRejected {
            entity: Entity::Owner,
            ..
        }) => "give the owner password with --owner-auth-file FILE",
        StoreError::NoCounterWall(NoCounter::NoSpace) | StoreError::Tpm(TpmError::NvSpace) => {
            "tpmssh doctor shows counters that nothing uses; or make the token by hand (tpmssh token init ca --pin-wall lockout), and give it with --token"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_tpm_comes_with_what_can_be_done() {
        let err = anyhow::Error::from(StoreError::NoCounterWall(NoCounter::OwnerAuth));
        assert_eq!(
            error_line(advise(err).as_ref()),
            "no PIN counter can be made: it takes the owner password of this TPM; give it with --owner-auth-file FILE"
        );
        let path = PathBuf::from("/dev/tpmrm0");
        let err = StoreError::from(TpmError::PermissionDenied { path });
        assert_eq!(
            error_line(advise(err.into()).as_ref()),
            "permission denied on /dev/tpmrm0; run this as a user of the group tss, such as with sudo -u tpmssh-ca"
        );
        let err = anyhow::Error::from(StoreError::Busy);
        assert_eq!(
            error_line(advise(err).as_ref()),
            "the store is in use by another program"
        );
    }
}
