//! `tpmssh tpm clear`: back to the state in which the chip left its factory.

use std::fmt::{self, Write};

use serde::Serialize;
use ssh_format::text::shown;
use token_store::{Error as StoreError, Store, StoreDir};
use tpm_core::info::{self, Info};
use tpm_core::ownership::{self, Hierarchy};
use tpm_core::{CommandCode, Error as Tpm, Operation, Srk};

use crate::app::App;
use crate::ask::confirm::confirm_by_word;
use crate::ask::hierarchy_auth;
use crate::options::LockoutAuthArgs;
use crate::show::output::tell;

/// Clear the TPM: every key in it is lost for ever
///
/// It shows what will be lost and asks for a word. Tokens of other users and keys of other
/// programs, such as the one that unlocks an encrypted disk, are lost as well. Certificates
/// that the maker put into the TPM stay.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    lockout: LockoutAuthArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let (info, loss) = tpm
        .begin()
        .and_then(|op| Ok((info::read(&op)?, Loss::of_chip(&op)?)))
        .map_err(StoreError::from)?;
    if info.clear_disabled {
        return Err(StoreError::from(Tpm::Disabled(CommandCode::Clear)).into());
    }
    let loss = loss.with_tokens(&info)?;
    tell(loss.to_string().trim_end());
    confirm_by_word("clear", args.yes)?;
    let auth = hierarchy_auth::read_lockout(&args.lockout.source(), &info)?;
    tpm.begin()
        .and_then(|op| ownership::clear(&op, app.srk(&op)?.as_ref(), &auth))
        .map_err(|err| hierarchy_auth::explain(err, &info, Hierarchy::Lockout))?;
    app.out.done("the TPM is cleared")
}

/// The objects that clearing destroys.
#[derive(Debug, Serialize)]
struct Loss {
    /// The Name of the storage root key, which the tokens are pinned to.
    #[serde(skip)]
    srk: Option<Srk>,
    /// This user's tokens in this chip, with their numbers of keys.
    tokens: Vec<(String, usize)>,
    /// Keys that the owner and endorsement hierarchies keep in the chip.
    persistent_keys: Vec<u32>,
    /// NV indexes that the owner defined.
    nv_indexes: Vec<u32>,
    passwords: Vec<&'static str>,
}

impl Loss {
    fn of_chip(op: &Operation<'_>) -> tpm_core::Result<Self> {
        // A key with a handle from 0x81800000 is the platform's, as are NV indexes below
        // 0x01800000 and from 0x01c00000 (TCG Registry of Reserved TPM 2.0 Handles).
        Ok(Self {
            srk: Srk::find_serving(op).unwrap_or_default(),
            tokens: Vec::new(),
            persistent_keys: info::handles(op, 0x8100_0000, 0x817f_ffff)?,
            nv_indexes: info::handles(op, 0x0180_0000, 0x01bf_ffff)?,
            passwords: Vec::new(),
        })
    }

    fn with_tokens(mut self, info: &Info) -> anyhow::Result<Self> {
        let set = |hierarchy: &Hierarchy| hierarchy_auth::is_set(info, *hierarchy);
        self.passwords = Hierarchy::ALL
            .into_iter()
            .filter(set)
            .map(Hierarchy::name)
            .collect();
        let store = match Store::open(&StoreDir::for_user()?) {
            Err(StoreError::NoStore { .. }) => return Ok(self),
            store => store?,
        };
        for token in store.tokens()? {
            if self
                .srk
                .as_ref()
                .is_some_and(|srk| srk.name() == token.srk_name())
            {
                let objects = store.objects(token.id)?;
                let private = |object: &&token_store::Object| {
                    object.class() == token_store::Class::PrivateKey
                };
                self.tokens
                    .push((token.label, objects.iter().filter(private).count()));
            }
        }
        Ok(self)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Clearing the TPM destroys for ever")?;
        for (label, keys) in &self.tokens {
            writeln!(
                f,
                "  your token \"{}\" with {}",
                shown(label),
                count(*keys, "key")
            )?;
        }
        writeln!(
            f,
            "  all tokens of other users, and all keys of other programs"
        )?;
        let handles = |handles: &[u32]| {
            handles.iter().fold(String::new(), |mut text, handle| {
                let _ = write!(text, " {handle:#010x}");
                text
            })
        };
        if !self.persistent_keys.is_empty() {
            let keys = count(self.persistent_keys.len(), "key");
            writeln!(f, "  {keys} kept in it:{}", handles(&self.persistent_keys))?;
        }
        if !self.nv_indexes.is_empty() {
            let indexes = count(self.nv_indexes.len(), "PIN counter or other NV index");
            writeln!(f, "  {indexes}:{}", handles(&self.nv_indexes))?;
        }
        for password in &self.passwords {
            writeln!(f, "  the {password} password")?;
        }
        Ok(())
    }
}

fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ if thing.ends_with('x') => format!("{number} {thing}es"),
        _ => format!("{number} {thing}s"),
    }
}
