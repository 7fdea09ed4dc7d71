//! `tpmssh keygen`: make a key in the TPM.

use std::fs;

use anyhow::Context;
use clap::ValueEnum;
use token_store::{KeySpec, OpenToken, Pin, Store, Token};
use tpm_core::KeyType;

use crate::app::{App, read_pin};
use crate::args::PinArgs;
use crate::fail::error::Error;
use crate::keys::{self, Key};
use crate::machine::user;
use crate::show::progress;

/// Make a key in the TPM, which will never leave it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kind: KindArgs,

    /// What to call it, also as the comment of its public key ("user@host key")
    #[arg(short = 'C', long)]
    label: Option<String>,

    /// Its id in hexadecimal, for PKCS#11 programs (the SHA-1 of the public key)
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    id: Option<Id>,

    #[command(flatten)]
    pin: PinArgs,
}

/// What kind of key is to be made.
#[derive(Debug, clap::Args)]
pub(crate) struct KindArgs {
    /// The kind of key
    #[arg(short = 't', long = "type", value_enum, default_value_t = Algorithm::Ecdsa)]
    algorithm: Algorithm,

    /// Its size: 256, 384 or 521 for ecdsa, 2048 or 3072 for rsa (256 or 2048)
    #[arg(short, long)]
    bits: Option<u16>,
}

impl KindArgs {
    /// The kind and size.
    ///
    /// # Errors
    ///
    /// For a size that no such key has.
    pub(crate) fn key_type(&self) -> Result<KeyType, Error> {
        key_type(self.algorithm, self.bits)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// ECDSA on a NIST curve: quick, in every TPM.
    Ecdsa,
    /// RSA: for servers that know nothing newer; takes a TPM up to a minute to make.
    Rsa,
}

/// A `CKA_ID`.
#[derive(Debug, Clone)]
struct Id(Vec<u8>);

fn parse_id(text: &str) -> Result<Id, String> {
    keys::unhex(text).map(Id)
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut spec = KeySpec::new(args.kind.key_type()?, "");
    spec.label = args.label.clone().unwrap_or_else(default_label);
    spec.id = args.id.clone().map(|id| id.0);
    let mut store = app.store()?;
    let token = app.token(&store)?;
    let pin = read_pin(&token, &args.pin.source())?;
    let key = generate(app, &mut store, &token, &spec, pin.as_ref())?;
    app.out.print(&key)
}

/// Opens the token and makes the key, showing that it works while it does.
///
/// # Errors
///
/// Whatever prevented it; there is no key then.
pub(crate) fn generate(
    app: &App,
    store: &mut Store,
    token: &Token,
    spec: &KeySpec,
    pin: Option<&Pin>,
) -> anyhow::Result<Key> {
    let tpm = app.tpm()?;
    let open = OpenToken::open(store, &tpm, token, pin)?;
    let what = format!("the TPM makes an {} key", spec.key_type);
    let pair = if spec.key_type.is_rsa() {
        progress::while_running(&what, || open.generate(store, spec))
    } else {
        open.generate(store, spec)
    };
    let pair = pair.with_context(|| format!("cannot make an {} key", spec.key_type))?;
    Key::of(token, &pair.private)?.context("the new key has no public key")
}

fn key_type(algorithm: Algorithm, bits: Option<u16>) -> Result<KeyType, Error> {
    let wrong = |sizes, bits| Error::Usage(format!("{sizes} bits, not {bits}"));
    match (algorithm, bits) {
        (Algorithm::Ecdsa, None | Some(256)) => Ok(KeyType::EccP256),
        (Algorithm::Ecdsa, Some(384)) => Ok(KeyType::EccP384),
        (Algorithm::Ecdsa, Some(521)) => Ok(KeyType::EccP521),
        (Algorithm::Ecdsa, Some(bits)) => Err(wrong("an ecdsa key has 256, 384 or 521", bits)),
        (Algorithm::Rsa, None | Some(2048)) => Ok(KeyType::Rsa2048),
        (Algorithm::Rsa, Some(3072)) => Ok(KeyType::Rsa3072),
        (Algorithm::Rsa, Some(bits)) => Err(wrong("an rsa key has 2048 or 3072", bits)),
    }
}

/// `user@host key`.
pub(crate) fn default_label() -> String {
    format!("{}@{} key", user::name(), host_name())
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "localhost".to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_belong_to_an_algorithm() {
        assert_eq!(key_type(Algorithm::Ecdsa, None).unwrap(), KeyType::EccP256);
        assert_eq!(key_type(Algorithm::Rsa, None).unwrap(), KeyType::Rsa2048);
        assert_eq!(
            key_type(Algorithm::Rsa, Some(1024))
                .unwrap_err()
                .to_string(),
            "an rsa key has 2048 or 3072 bits, not 1024"
        );
        assert_eq!(
            key_type(Algorithm::Ecdsa, Some(2048))
                .unwrap_err()
                .to_string(),
            "an ecdsa key has 256, 384 or 521 bits, not 2048"
        );
    }

    #[test]
    fn the_default_label_names_user_and_host() {
        let label = default_label();
        assert!(label.contains('@') && label.ends_with(" key"), "{label}");
        assert_eq!(label.lines().count(), 1);
    }
}
