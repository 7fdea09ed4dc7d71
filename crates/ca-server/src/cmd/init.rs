//! `tpmssh-ca init`: make an authority of one node.

mod first_host;
mod keys;
mod policy;
mod unfinished;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgGroup, CommandFactory};
use hyper::Uri;
use serde_json::json;
use ssh_format::AnyKey;
use ssh_format::text::shell_word;

use super::dir::Dir;
use super::{Out, Program, registry, tickets, tls};
use crate::admin::Books;
use crate::audit::Audit;
use crate::clock::now;
use crate::files;
use crate::policy::Policy;
use crate::private_tls::{PrivateTls, Seen, seen};
use crate::registry::Registry;
use crate::registry::sqlite::Sqlite;
use crate::signer::{self, sealed};

/// The unit of the package, and the directory that it serves.
const UNIT: (&str, &str) = (
    "/usr/lib/systemd/system/tpmssh-ca.service",
    "/var/lib/tpmssh-ca",
);

/// Make an authority: its policy, its registry and its audit log
///
/// With --make-keys, it makes its two keys in the TPM of this machine. Else they are there already, in an agent (that of tpmssh, with the TPM
/// behind it, or any other), in a token, or sealed in a file, and each has to sign once.
#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("keys").args(["make_keys", "user_ca", "sealed"]).required(true)),
    group(ArgGroup::new("in_token").args(["make_keys", "token"]))
)]
pub(super) struct Args {
    /// The authority's own name, which proofs are made for: the URL that machines use
    #[arg(long, value_name = "URL")]
    audience: String,

    /// Make both keys in the TPM of this machine, in a token "ca" of their own; its PIN is in a file of the authority's directory, and the
    /// node signs by itself
    #[arg(long, conflicts_with = "agent")]
    make_keys: bool,

    /// With --make-keys: write the recovery code (SO PIN) of the token to FILE (new, mode 0600); it is not shown
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user_ca", "sealed"])]
    so_pin_out: Option<PathBuf>,

    /// With --make-keys: the password of the TPM's owner hierarchy, if it has one (one line, mode 0600)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user_ca", "sealed"])]
    owner_auth_file: Option<PathBuf>,

    /// Make a join token for the host with this name, for one day, and print what brings the host in
    #[arg(long, value_name = "NAME")]
    first_host: Option<String>,

    /// The public key that certifies users
    #[arg(long, value_name = "FILE", requires = "host_ca")]
    user_ca: Option<PathBuf>,

    /// The public key that certifies hosts: another one
    #[arg(long, value_name = "FILE", requires = "user_ca")]
    host_ca: Option<PathBuf>,

    /// The socket of the agent that has both keys (that in SSH_AUTH_SOCK)
    #[arg(long, value_name = "SOCKET")]
    agent: Option<PathBuf>,

    /// The token of the store that has both keys: then the node signs with the TPM itself, without an agent
    #[arg(long, value_name = "TOKEN", conflicts_with = "sealed")]
    token: Option<String>,

    /// The file of tpmssh-ca ca seal, which has both keys: the node has them in its memory and signs with them itself
    #[arg(long, value_name = "FILE")]
    sealed: Option<PathBuf>,

    /// The directory of the store with the token: that of tpmssh, or for --make-keys the directory keys of the authority
    #[arg(
        long,
        value_name = "DIR",
        requires = "in_token",
        conflicts_with = "sealed"
    )]
    store: Option<PathBuf>,

    /// The file with the PIN of the token, or the name of a credential of systemd; without one, the token has none
    #[arg(long, value_name = "FILE", requires = "token", conflicts_with_all = ["make_keys", "sealed"])]
    pin: Option<PathBuf>,

    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8700")]
    listen: SocketAddr,

    /// The TLS certificate (PEM); without one, init makes one if another machine can connect, by a CA of the authority's own
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// The key of the TLS certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// A name or address in the TLS certificate that is made, once for each (that of the audience)
    #[arg(long, value_name = "NAME", conflicts_with = "tls_certificate")]
    tls_name: Vec<String>,

    /// Certificates of TPM makers, a file or directory; without any, whoever has a join token is let in with any TPM
    #[arg(long, value_name = "PATH")]
    ek_roots: Vec<PathBuf>,

    /// Keep the registry in PostgreSQL, which several nodes can use (database prepare): as the user of the nodes, and without a password,
    /// which PGPASSFILE has
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl Args {
    /// The socket of the agent, if one is named.
    fn agent(&self) -> Option<PathBuf> {
        let environment = || std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
        self.agent.clone().or_else(environment)
    }

    /// Ends the program (wrong usage) if neither an agent nor another place of the keys is named.
    fn check_agent(&self) {
        let is_elsewhere = self.make_keys || self.token.is_some() || self.sealed.is_some();
        if !is_elsewhere && self.agent().is_none() {
            let kind = clap::error::ErrorKind::MissingRequiredArgument;
            let why = "the keys are in an agent or in a token: --agent SOCKET (or SSH_AUTH_SOCK), or --token TOKEN";
            Program::command().error(kind, why).exit();
        }
    }
}

pub(super) fn run(dir: &Dir, args: &Args, out: &Out) -> anyhow::Result<()> {
    args.check_agent();
    if dir.policy_file().exists() {
        bail!("there is an authority in {} already", dir.path().display());
    }
    let own_tls = own_tls(dir, args)?;
    let tls = own_tls.as_ref().map(|it| &it.0);
    let database = args.database.as_deref().map(registry::look).transpose()?;
    // Every other mistake is reported before the TPM makes keys.
    let mut made = if args.make_keys {
        let nobodys = [sealed::nobodys_key()?, sealed::nobodys_key()?];
        let policy = Policy::parse(&policy::text(dir, args, tls, &nobodys)?, &mut files::Disk)?;
        check(args, &policy)?;
        Some(keys::make(dir, args)?)
    } else {
        None
    };
    let (keys, from) = match &made {
        Some(made) => (made.keys.clone(), keys::public_files(dir)),
        None => given(args)?,
    };
    let text = policy::text(dir, args, tls, &keys)?;
    let policy = Policy::parse(&text, &mut files::Disk)?;
    check(args, &policy)?;
    let signer = signer::at(&policy.ca.place)?;
    for (key, path) in keys.iter().zip(from) {
        signer::sign_file(&*signer, key, "init@tpmssh", b"")
            .with_context(|| format!("the key in {} cannot certify", path.display()))?;
    }
    drop(signer);
    dir.make()?;
    dir.check()?;
    let own_seen = match &own_tls {
        Some((tls, names)) => Some(tls.make(names, now())?),
        None => None,
    };
    let registry: Box<dyn Registry> = match (database, &args.database) {
        (Some(database), Some(url)) => {
            registry::keep(dir, url)?;
            tickets::make(dir)?;
            Box::new(database)
        }
        _ => Box::new(Sqlite::open(&dir.registry())?),
    };
    let audit = Audit::open(&dir.audit())?;
    audit.write(now(), "init", &[("audience", args.audience.clone())])?;
    let first = match &args.first_host {
        Some(name) => {
            let books = Books {
                policy: &policy,
                registry: &*registry,
                audit: &audit,
            };
            let seen = match (&own_seen, &policy.listen.certificate) {
                (None, Some(file)) => Some(seen(file)?),
                (own, _) => own.clone(),
            };
            Some(first_host::invite(dir, &books, seen.as_ref(), name)?)
        }
        None => None,
    };
    if let Some(made) = &mut made {
        made.show_code()?;
    }
    // Written last, because an authority exists if its policy file does.
    files::place_new(&dir.policy_file(), 0o600, text.as_bytes())?;
    if let Some(made) = made {
        made.keep();
    }
    say(dir, args, out, &policy, own_seen.as_ref(), first.as_ref())
}

/// Refuses a TLS certificate that cannot be read, and a name of the first host that makes no principals.
fn check(args: &Args, policy: &Policy) -> anyhow::Result<()> {
    if let Some(file) = &args.tls_certificate {
        seen(file)?;
    }
    match &args.first_host {
        Some(name) => first_host::check(policy, name),
        None => Ok(()),
    }
}

/// Prints what was made and the next commands.
fn say(
    dir: &Dir,
    args: &Args,
    out: &Out,
    policy: &Policy,
    own_seen: Option<&Seen>,
    first: Option<&first_host::FirstHost>,
) -> anyhow::Result<()> {
    let shown = dir.path().display();
    let program = format!("tpmssh-ca --dir {}", shell_word(&shown.to_string()));
    let store = args.make_keys.then(|| keys::store(dir, args)).transpose()?;
    let place = match &store {
        Some(store) => format!(
            "its keys are in the TPM, in the token \"{}\" of the store {}; the PIN of the token is in {}\n",
            keys::TOKEN,
            store.display(),
            dir.pin().display()
        ),
        None => String::new(),
    };
    let (certificate, to_file) = match own_seen {
        Some(seen) => (tls::shown(seen), " > token"),
        None => (String::new(), ""),
    };
    let next = if dir.path() == Path::new(UNIT.1) && Path::new(UNIT.0).exists() {
        "sudo systemctl enable --now tpmssh-ca.service".to_owned()
    } else {
        format!("{program} serve")
    };
    let machines = match (first, own_seen) {
        (Some(first), _) => first.lines(),
        (None, seen) => format!(
            "then: {program} join-token new --role host --name HOST{to_file}\n{}",
            seen.map(|seen| tls::lines(policy, seen))
                .unwrap_or_default()
        ),
    };
    let (user, host) = (policy.ca.user.line(""), policy.ca.host.line(""));
    let said = format!(
        "the authority is in {shown}; its rules are in policy.toml there\n\
         {place}\
         {certificate}\
         next: {next}\n\
         {machines}\
         hosts trust users by it with TrustedUserCAKeys: {user}\n\
         users trust hosts by it with @cert-authority in known_hosts: {host}\n"
    );
    let mut value = json!({"dir": dir.path(), "user_ca": user, "host_ca": host});
    if let Some(store) = store {
        value["store"] = json!(store);
        value["pin"] = json!(dir.pin());
    }
    if let Some(seen) = own_seen {
        value["tls_ca_sha256"] = seen.ca_sha256.clone().into();
    }
    if let Some(first) = first {
        value["first_host"] = first.json();
    }
    out.done(&value, &said)
}

/// The TLS certificate to make, and its names; `None` if the user gave a certificate, or if only this machine can connect and no name was given.
fn own_tls(dir: &Dir, args: &Args) -> anyhow::Result<Option<(PrivateTls, Vec<String>)>> {
    let is_here = args.listen.ip().is_loopback();
    if args.tls_certificate.is_some() || (is_here && args.tls_name.is_empty()) {
        return Ok(None);
    }
    let mut names = args.tls_name.clone();
    if names.is_empty() {
        let uri: Option<Uri> = args.audience.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).map(str::to_owned);
        let host = host.filter(|_| args.audience.contains("://"));
        names.push(host.context(
            "the audience is no URL, so name what machines reach the authority by: --tls-name NAME",
        )?);
    }
    Ok(Some((
        PrivateTls::new(&files::absolute(dir.path())?),
        names,
    )))
}

/// The public keys for users and for hosts, and the files that they were read from.
fn given(args: &Args) -> anyhow::Result<([AnyKey; 2], [PathBuf; 2])> {
    if let Some(file) = &args.sealed {
        return Ok((sealed::public_keys(file)?, [file.clone(), file.clone()]));
    }
    let both = args.user_ca.clone().zip(args.host_ca.clone());
    let (user, host) = both.context("there are two public keys")?;
    Ok(([key(&user)?, key(&host)?], [user, host]))
}

fn key(path: &Path) -> anyhow::Result<AnyKey> {
    let line = files::read(path, 64 * 1024)?;
    let key = AnyKey::from_line(line.trim());
    let (key, _) = key.with_context(|| format!("{} is not a public key", path.display()))?;
    Ok(key)
}
