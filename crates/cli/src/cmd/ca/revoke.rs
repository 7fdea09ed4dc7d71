//! `tpmssh ca revoke`: take a certificate or a key back.

use std::path::PathBuf;

use anyhow::Context;
use ssh_format::{AnyKey, MAX_LINE_LEN};
use token_store::Revoked;

use crate::app::App;
use crate::certificates::authorities;
use crate::fail::error::Error;
use crate::files::input_file;
use crate::options::AuthorityArgs;
use crate::show::output::tell;

/// Revoke a certificate or a key; servers learn of it by a new list from tpmssh ca krl
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(crate) struct Args {
    /// Revoke the certificate with this serial number, which tpmssh ca list shows
    #[arg(long, group = "what")]
    serial: Option<u64>,

    /// Revoke all certificates with this key id
    #[arg(long, group = "what", value_name = "ID")]
    key_id: Option<String>,

    /// Revoke the public key in FILE, with whatever certificate it comes; - is standard input
    #[arg(long, group = "what", value_name = "FILE")]
    key: Option<PathBuf>,

    #[command(flatten)]
    authority: AuthorityArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let revoked = args.revoked()?;
    let mut store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    if let Revoked::Serial(serial) = revoked {
        let issued = store.issued(authority.object)?;
        if issued.iter().all(|it| it.serial != serial) {
            tell("tpmssh: no certificate with this serial number was signed here");
        }
    }
    if !store.add_revocation(authority.object, &revoked)? {
        return Err(Error::RevokedBefore.into());
    }
    tell("tpmssh: revoked; give servers a new list: tpmssh ca krl FILE");
    Ok(())
}

impl Args {
    fn revoked(&self) -> anyhow::Result<Revoked> {
        if let Some(serial) = self.serial {
            return match serial {
                0 => Err(ssh_format::Error::SerialZero.into()),
                serial => Ok(Revoked::Serial(serial)),
            };
        }
        if let Some(id) = &self.key_id {
            return Ok(Revoked::KeyId(id.clone()));
        }
        let file = self.key.clone().unwrap_or_default();
        let text = input_file::read_text(&file, MAX_LINE_LEN + 2)?;
        let (key, _) = AnyKey::from_line(&text).with_context(|| input_file::name(&file))?;
        Ok(Revoked::Key(key.blob().to_vec()))
    }
}
