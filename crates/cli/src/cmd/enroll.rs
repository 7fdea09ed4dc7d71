//! `tpmssh enroll`: get certificates from an authority over the network.

mod status;
mod timer;

use std::fmt;

use key_proof::Kind;
use serde::Serialize;
use ssh_format::Certificate;

use crate::app::App;
use crate::enrolments::options::AuthorityArgs;
use crate::enrolments::{self, first};
use crate::keys::public_files;
use crate::keys::signing;
use crate::options::UserPinArgs;
use crate::proofs::prover::Prover;
use crate::show::date;

/// Get certificates for a key from an authority
///
/// An authority over the network (tpmssh-ca) issues a certificate for some hours, and only for a key that is proven to be in this TPM. tpmssh
/// renew gets the next certificate; with --timer, systemd runs it. A key has only one authority: a new one replaces the old one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address of the authority
    #[arg(required_unless_present_any = ["status", "end"])]
    url: Option<String>,

    /// The key, by label, id or fingerprint (the only key)
    key: Option<String>,

    /// The names in the certificates, separated by commas
    #[arg(
        short = 'n',
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        required_unless_present_any = ["status", "end"]
    )]
    principals: Vec<String>,

    /// These are names of a host and not of users
    #[arg(long)]
    host: bool,

    #[command(flatten)]
    authority: AuthorityArgs,

    /// Have systemd renew this user's certificates from now on
    #[arg(long, conflicts_with_all = ["status", "end"])]
    timer: bool,

    /// Show the keys that authorities certify
    #[arg(long, conflicts_with_all = ["url", "principals", "host"])]
    status: bool,

    /// Ask the authority for no more certificates for this key
    #[arg(long, value_name = "KEY", conflicts_with_all = ["url", "principals", "host", "status"])]
    end: Option<String>,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    if let Some(key) = &args.end {
        return end(app, key);
    }
    match &args.url {
        Some(url) => enrol(app, args, url),
        None => status::run(app),
    }
}

fn enrol(app: &App, args: &Args, url: &str) -> anyhow::Result<()> {
    if args.timer {
        timer::check()?;
    }
    let chosen = args.authority.chosen(url)?;
    let mut store = app.store()?;
    let key = signing::find(signing::all(app, &store)?, args.key.as_deref())?;
    let prover = Prover {
        app,
        key: &key,
        pin: &args.pin,
        endorsement: &args.authority.endorsement,
        unattended: false,
    };
    let kind = if args.host { Kind::Host } else { Kind::User };
    let got = first::enrol(&prover, &mut store, &chosen, kind, &args.principals, |_| {
        Ok(())
    })?;
    public_files::update(&store);
    if args.timer {
        timer::install(app)?;
    }
    app.out.print(&Report::new(&key.label, url, &got))
}

fn end(app: &App, key: &str) -> anyhow::Result<()> {
    let mut store = app.store()?;
    let enrolled = enrolments::named(app, &store, Some(key))?;
    let mut label = String::new();
    for it in &enrolled {
        store.end_enrolment(it.enrolment.id)?;
        label = ssh_format::text::shown(&it.key.label);
    }
    app.out.done(&format!(
        "key \"{label}\" gets no more certificates; the last one stays until it expires"
    ))
}

/// The report about a new certificate.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    key: String,
    server: String,
    principals: Vec<String>,
    serial: u64,
    /// In seconds since 1970.
    valid_before: u64,
    /// In seconds since 1970.
    renew_at: u64,
    /// Of the authority.
    user_cas: Vec<String>,
    host_cas: Vec<String>,
}

impl Report {
    pub(crate) fn new(label: &str, server: &str, got: &enrolments::Got) -> Self {
        let certificate: &Certificate = &got.certificate;
        Self {
            key: label.to_owned(),
            server: server.to_owned(),
            principals: certificate.principals().to_vec(),
            serial: certificate.serial(),
            valid_before: certificate.valid_before(),
            renew_at: got.renew_at,
            user_cas: enrolments::fingerprints(&got.authorities.users),
            host_cas: enrolments::fingerprints(&got.authorities.hosts),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "key \"{}\" has a certificate for {} until {}; the next one from {} on",
            ssh_format::text::shown(&self.key),
            ssh_format::text::shown(&self.principals.join(", ")),
            date::in_words(self.valid_before),
            date::in_words(self.renew_at)
        )
    }
}
