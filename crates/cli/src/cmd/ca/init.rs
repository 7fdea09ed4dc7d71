//! `tpmssh ca init`: make a key an authority.

use ssh_format::text::shown;
use token_store::KeySpec;

use crate::app::App;
use crate::ask::confirm;
use crate::ask::token_pin::read_pin;
use crate::keys::{self, Key, make};
use crate::options::{KeyTypeArgs, UserPinArgs};
use crate::show::output::tell;

/// Make a key in the TPM that signs certificates
#[derive(Debug, clap::Args)]
#[command(mut_arg("yes", |arg| {
    arg.help("Make an imported key an authority without a question, and use the PIN even if only one try is left")
}))]
pub(crate) struct Args {
    /// Make this key an authority, by label, id or fingerprint, instead of a new key
    #[arg(long, value_name = "KEY", conflicts_with_all = ["label", "algorithm", "bits"])]
    key: Option<String>,

    #[command(flatten)]
    kind: KeyTypeArgs,

    /// The label of the new key, and the comment of its public key
    #[arg(short = 'C', long, default_value = "ca")]
    label: String,

    /// Have it certify only keys with a proof that a TPM holds them (tpmssh prove), from now on
    #[arg(long)]
    proof_required: bool,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut store = app.store()?;
    let mut key: Key = match &args.key {
        Some(name) => {
            let mut all = Vec::new();
            for token in app.some_tokens(&store)? {
                all.extend(keys::of_token(&store, &token)?);
            }
            let key = keys::find(all, name)?;
            if key.is_imported() {
                tell(&format!(
                    "tpmssh: \"{}\" is imported: anyone with a copy of it can sign certificates as well",
                    shown(&key.label)
                ));
                let question = "Make it an authority anyway?";
                confirm::confirm(question, args.pin.answers_yes())?;
            }
            key
        }
        None => {
            let spec = KeySpec::new(args.kind.key_type()?, &args.label);
            let token = app.token(&store)?;
            make::check_label(&store, &token, &args.label)?;
            if keys::of_token(&store, &token)?
                .iter()
                .any(|key| !key.authority)
            {
                tell(&format!(
                    "tpmssh: token \"{}\" has keys for logins as well: who knows its PIN can certify \
                     anybody. A token of its own is safer: tpmssh token init ca",
                    shown(&token.label)
                ));
            }
            let pin = read_pin(app, &store, &token, &args.pin)?;
            make::key(app, &mut store, &token, &spec, pin.as_ref())?
        }
    };
    store.make_authority(key.object)?;
    if args.proof_required {
        store.require_proof(key.object)?;
    }
    key.authority = true;
    let label = shown(&key.label);
    tell(&format!(
        "tpmssh: \"{label}\" signs certificates; what sshd and ssh need to trust it: \
         tpmssh ca public-key --help"
    ));
    let done = format!("the authority \"{label}\" is made");
    app.out
        .print_done(&key, &done, "see it with: tpmssh ca public-key")
}
