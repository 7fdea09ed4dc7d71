//! `tpmssh keygen`: make a key in the TPM.

use clap::ValueEnum;
use ssh_format::text::shown;
use token_store::KeySpec;
use tpm_core::Usage;

use crate::app::App;
use crate::ask::token_pin::read_pin;
use crate::fail::error::Error;
use crate::keys::{self, make};
use crate::options::{KeyTypeArgs, UserPinArgs};

/// Make a key in the TPM, which will never leave it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kind: KeyTypeArgs,

    /// The label of the key, which no other key of the token may have, and the comment of its public key ("user@host key")
    #[arg(short = 'C', long)]
    label: Option<String>,

    /// What the key may be used for: logins need sign, an encrypted disk needs decrypt (RSA), messages need derive (ECDSA)
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sign")]
    usage: Vec<Use>,

    /// The id of the key in hexadecimal, for PKCS#11 programs (the subject key identifier)
    #[arg(long, value_name = "HEX", value_parser = keys::parse_id)]
    id: Option<keys::Id>,

    #[command(flatten)]
    pin: UserPinArgs,
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Use {
    /// Signatures and logins
    Sign,
    /// Decryption with an RSA key
    Decrypt,
    /// Agreement on a key (ECDH) with an ECDSA key
    Derive,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut spec = KeySpec::new(args.kind.key_type()?, "");
    let rsa = spec.key_type.is_rsa();
    let (more, other, other_type) = match rsa {
        true => (Use::Decrypt, Use::Derive, "an ecdsa key derives keys"),
        false => (Use::Derive, Use::Decrypt, "an rsa key decrypts"),
    };
    if args.usage.contains(&other) {
        return Err(Error::Usage(format!("only {other_type}: choose it with --type")).into());
    }
    spec.signs = args.usage.contains(&Use::Sign);
    spec.usage = Usage::sign_and(args.usage.contains(&more));
    spec.id = args.id.clone().map(|id| id.0);
    let mut store = app.store()?;
    let token = app.token(&store)?;
    // Before a PIN is asked for.
    spec.label = match &args.label {
        Some(label) => label.clone(),
        None => make::free_label(&store, &token)?,
    };
    make::check_label(&store, &token, &spec.label)?;
    make::check_offered(&token, &spec)?;
    let pin = read_pin(app, &store, &token, &args.pin)?;
    let key = make::key(app, &mut store, &token, &spec, pin.as_ref())?;
    let done = format!("the key \"{}\" is made", shown(&key.label));
    app.out.print_done(&key, &done, "see it with: tpmssh list")
}
