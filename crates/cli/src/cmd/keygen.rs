//! `tpmssh keygen`: make a key in the TPM.

use ssh_format::text::shown;
use token_store::KeySpec;

use crate::app::{App, read_pin};
use crate::keys::{self, make};
use crate::options::{KeyTypeArgs, UserPinArgs};

/// Make a key in the TPM, which will never leave it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kind: KeyTypeArgs,

    /// What to call it, also as the comment of its public key ("user@host key"); no other key of
    /// the token may have this label
    #[arg(short = 'C', long)]
    label: Option<String>,

    /// Its id in hexadecimal, for PKCS#11 programs (the SHA-1 of the public key)
    #[arg(long, value_name = "HEX", value_parser = keys::parse_id)]
    id: Option<keys::Id>,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut spec = KeySpec::new(args.kind.key_type()?, "");
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
