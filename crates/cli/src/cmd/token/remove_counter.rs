//! `tpmssh token remove-counter`: remove a counter that a killed program or a lost store left behind.

use token_store::Error as StoreError;
use token_store::token::{self, Orphan};
use tpm_core::info;

use crate::app::App;
use crate::ask::confirm::confirm;
use crate::ask::hierarchy_auth;
use crate::fail::error::Error;
use crate::options::OwnerAuthArgs;

/// Remove a PIN counter without a token from the TPM
///
/// A program that is killed while it makes or deletes a token can leave the token's PIN
/// counter behind; `tpmssh doctor` finds it. Counters of the tokens in this store are never
/// removed by this, but those of other users look just like lost ones.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The NV index of the counter, as doctor shows it
    #[arg(value_parser = parse_index)]
    index: u32,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    owner: OwnerAuthArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut store = app.store_or_new()?;
    let tpm = app.tpm()?;
    let orphan = token::orphans(&store, &tpm)?
        .into_iter()
        .find(|orphan| orphan.handle == args.index)
        .ok_or(Error::NoLostCounter { index: args.index })?;
    confirm(&question(&orphan), args.yes)?;
    let info = tpm
        .begin()
        .and_then(|op| info::read(&op))
        .map_err(StoreError::from)?;
    let owner = hierarchy_auth::read_owner(&args.owner.source(), &info)?;
    token::remove_orphan(&mut store, &tpm, &orphan, &owner)?;
    app.out
        .done(&format!("NV index {:#010x} is removed", args.index))
}

fn question(orphan: &Orphan) -> String {
    let index = orphan.handle;
    if orphan.ours {
        format!("Remove the PIN counter {index:#010x}, which belongs to no token?")
    } else {
        format!(
            "Remove {index:#010x}? It is of no token in this store. If it is of another user's \
             token, that one is lost."
        )
    }
}

/// Reads `0x01801234`, or the same without `0x`.
fn parse_index(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16)
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| "it takes a number such as 0x01801234".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_hexadecimal_with_or_without_a_prefix() {
        assert_eq!(parse_index("0x01801234"), Ok(0x0180_1234));
        assert_eq!(parse_index("1801234"), Ok(0x0180_1234));
        for wrong in ["", "0x", "+1", "0x+1", "0x1801234567", "counter"] {
            assert!(parse_index(wrong).is_err(), "{wrong}");
        }
    }
}
