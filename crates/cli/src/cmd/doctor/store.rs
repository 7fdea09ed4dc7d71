//! The store, its tokens, and PIN counters that lost tokens left in the chip.

use std::path::Path;
use std::sync::Arc;

use rustix::fs::{StatVfsMountFlags, statvfs};
use token_store::token::{self, Health, Orphan};
use token_store::{Error as StoreError, Kind, Pin, Store, StoreDir, Token, WallKind};
use tpm_core::{Origin, Tpm};

use super::check::Check;
use crate::app::App;
use crate::ask::pin_prompt::Source;
use crate::ask::token_pin::read_pin;
use crate::keys;
use crate::options::UserPinArgs;
use crate::show::path::quote_text;

const TOKEN: &str = "token";

/// Checks the store and, if there is a `tpm`, each token in it.
///
/// # Errors
///
/// If a PIN is to be read from `pin` and cannot be, or for no token in particular.
pub(super) fn check(
    app: &App,
    tpm: Option<&Arc<Tpm>>,
    pin: &UserPinArgs,
    checks: &mut Vec<Check>,
) -> anyhow::Result<()> {
    let Some(store) = open(checks) else {
        return Ok(());
    };
    let tokens = match store.tokens() {
        Ok(tokens) => tokens,
        Err(err) => {
            checks.push(Check::failed(TOKEN, err));
            return Ok(());
        }
    };
    let opened = match pin.source() {
        Source::Ask => None,
        _ => {
            let token = app.token(&store)?;
            read_pin(app, &store, &token, pin)?.map(|pin| (token.id, pin))
        }
    };
    for token in &tokens {
        let called = Called {
            token,
            alone: tokens.len() == 1,
        };
        let pin = opened
            .as_ref()
            .filter(|(id, _)| *id == token.id)
            .map(|(_, pin)| pin);
        let found = called.look(&store, tpm, pin);
        checks.extend(found.into_iter().map(|check| check.about(&token.label)));
    }
    if let Some(tpm) = tpm {
        checks.extend(leftovers(&store, tpm));
    }
    Ok(())
}

fn open(checks: &mut Vec<Check>) -> Option<Store> {
    let name = "store";
    let opened = StoreDir::for_user().and_then(|dir| {
        let store = Store::open(&dir)?;
        store.check_integrity()?;
        Ok(store)
    });
    match opened {
        Ok(store) => {
            let path = store.dir().display();
            checks.push(if store.is_read_only() {
                let check =
                    Check::warning(name, format!("{path} is read-only: no key can be made"));
                check.fixed_by(match is_on_read_only_mount(store.dir()) {
                    true => {
                        "mount its file system writable, or set TPMSSH_STORE to another directory"
                            .to_owned()
                    }
                    false => format!("chmod -R u+w {}", crate::show::path::quote(store.dir())),
                })
            } else {
                Check::ok(name, format!("{path}, private and whole"))
            });
            Some(store)
        }
        Err(StoreError::NoStore { path }) => {
            let detail = format!("none yet at {}", path.display());
            checks.push(Check::ok(name, detail).fixed_by("tpmssh setup, or tpmssh token init"));
            None
        }
        Err(err) => {
            checks.push(Check::failed(name, err));
            None
        }
    }
}

/// A token, and whether commands need `--token` to name it.
struct Called<'a> {
    token: &'a Token,
    alone: bool,
}

impl Called<'_> {
    /// `tpmssh` with the token and a command.
    fn command(&self, command: &str) -> String {
        if self.alone {
            format!("tpmssh {command}")
        } else {
            format!(
                "tpmssh --token {} {command}",
                quote_text(&self.token.serial)
            )
        }
    }

    fn look(&self, store: &Store, tpm: Option<&Arc<Tpm>>, pin: Option<&Pin>) -> Vec<Check> {
        let Some(tpm) = tpm else {
            let refused = store.refused(self.token.id).unwrap_or_default();
            let unseen = Check::ok(TOKEN, "not compared with the TPM, which does not answer");
            return std::iter::once(unseen)
                .chain(
                    refused
                        .iter()
                        .map(|key| self.refused(&key.label, &key.reason)),
                )
                .collect();
        };
        match token::examine(store, tpm, self.token, pin) {
            Ok(health) => {
                let imported = self.count_imported(store);
                let mut checks = self.healthy(&health, imported);
                checks.extend(imported.and_then(Self::imported));
                checks
            }
            Err(err) => vec![self.unhealthy(err)],
        }
    }

    fn healthy(&self, health: &Health, imported: Option<usize>) -> Vec<Check> {
        let mut checks = vec![self.pin(health, imported)];
        if let (Some(found), Some(wanted)) = (health.wrong_limit, self.token.max_tries) {
            let check = Check::failed(TOKEN, StoreError::WrongLimit { found, wanted });
            checks.push(check.fixed_by(format!(
                "the recovery code (SO PIN) sets it right: {}; if nobody changed it on purpose, make new keys",
                self.command("token reset-pin")
            )));
        }
        checks.extend(
            health
                .refused
                .iter()
                .map(|key| self.refused(&key.label, &key.reason)),
        );
        checks.extend(health.spoilt.iter().map(|label| {
            let detail = format!("the TPM refuses the key \"{label}\": it was changed");
            Check::problem(TOKEN, Kind::Corrupt, detail).fixed_by(format!(
                "put back a good copy of the store, or make a new key: {}",
                self.command("keygen")
            ))
        }));
        checks
    }

    /// How many keys were made outside of the TPM, if the store says.
    fn count_imported(&self, store: &Store) -> Option<usize> {
        let mut count = 0;
        let counted = store.each_private_key(self.token.id, |object| {
            let imported = object
                .key()
                .is_some_and(|key| key.origin() == Origin::Outside);
            count += usize::from(imported);
        });
        counted.ok().map(|()| count)
    }

    /// A note about keys that were made outside of the TPM.
    fn imported(count: usize) -> Option<Check> {
        let keys = match count {
            0 => return None,
            1 => "1 key was".to_owned(),
            keys => format!("{keys} keys were"),
        };
        let detail = format!("{keys} made outside of this TPM");
        let fix =
            "replace it when you can: tpmssh keygen, then tpmssh copy-id --replace OLD.pub HOST";
        Some(Check::ok(TOKEN, detail).fixed_by(fix))
    }

    fn pin(&self, health: &Health, imported: Option<usize>) -> Check {
        let keys = match health.keys {
            0 => "no keys".to_owned(),
            1 => "1 key".to_owned(),
            keys => format!("{keys} keys"),
        };
        let keys = match health.keys_were_loaded {
            true if health.keys > 0 => match imported {
                Some(0) => format!("{keys}, loaded and whole, {}", keys::origin(Origin::Chip)),
                _ => format!("{keys}, loaded and whole"),
            },
            _ => keys,
        };
        let reset = || self.command("token reset-pin");
        let wall = match self.token.wall {
            WallKind::Counter => "behind a PIN counter",
            WallKind::Lockout => "behind the chip's lockout",
            WallKind::None => return Check::ok(TOKEN, format!("without a PIN, {keys}")),
        };
        if !self.token.pin_is_set {
            return Check::warning(TOKEN, format!("{wall}, its PIN was never set, {keys}"))
                .fixed_by(reset());
        }
        match health.tries.map(|tries| (tries.left, tries.max)) {
            Some((0, _)) => {
                let detail = format!("{wall}, locked after too many wrong PINs, {keys}");
                let check = Check::problem(TOKEN, Kind::PinLocked, detail);
                match self.token.wall {
                    WallKind::Counter => check.fixed_by(reset()),
                    _ => check.fixed_by("tpmssh tpm lockout reset"),
                }
            }
            Some((1, max)) if max > 1 => {
                let detail = format!("{wall}, only 1 of {max} tries left, {keys}");
                Check::warning(TOKEN, detail).fixed_by(format!(
                    "a right PIN gives all tries back; where it is forgotten: {}",
                    reset()
                ))
            }
            Some((left, max)) => {
                Check::ok(TOKEN, format!("{wall}, {left} of {max} tries left, {keys}"))
            }
            None => Check::ok(TOKEN, format!("{wall}, {keys}")),
        }
    }

    fn refused(&self, label: &str, reason: &str) -> Check {
        let detail = format!("key \"{label}\" is refused: {reason}");
        Check::problem(TOKEN, Kind::KeyRefused, detail)
            .fixed_by(format!("make a new key with: {}", self.command("keygen")))
    }

    fn unhealthy(&self, err: StoreError) -> Check {
        let fix = match err {
            StoreError::CounterMissing => Some(self.command("token repair")),
            StoreError::OtherTpm => Some(format!(
                "if that TPM is gone for ever: {}",
                self.command("token delete --forget")
            )),
            _ => None,
        };
        let check = Check::failed(TOKEN, err);
        match fix {
            Some(fix) => check.fixed_by(fix),
            None => check,
        }
    }
}

/// PIN counters without a token.
fn leftovers(store: &Store, tpm: &Arc<Tpm>) -> Vec<Check> {
    let name = "leftovers";
    let orphans = match token::orphans(store, tpm) {
        Ok(orphans) => orphans,
        Err(err) => return vec![Check::failed(name, err)],
    };
    if orphans.is_empty() {
        return vec![Check::ok(name, "none in the TPM")];
    }
    let check = |orphan: &Orphan| {
        let index = format!("{:#010x}", orphan.handle);
        let remove = format!("tpmssh token remove-counter {index}");
        if orphan.ours {
            Check::warning(name, format!("the PIN counter {index} belongs to no token"))
                .fixed_by(remove)
        } else {
            let detail = format!("the PIN counter {index} is of no token in this store");
            Check::ok(name, detail).fixed_by(format!("unless it is another user's: {remove}"))
        }
    };
    orphans.iter().map(check).collect()
}

/// Whether `dir` is on a read-only mount, where modes do not matter.
fn is_on_read_only_mount(dir: &Path) -> bool {
    statvfs(dir).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::RDONLY))
}
