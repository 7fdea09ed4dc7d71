//! `tpmssh-ca init`: make an authority of one node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hyper::Uri;
use serde_json::json;
use ssh_format::AnyKey;

use super::files::{self, Dir};
use super::{Out, database, tickets, tls};
use crate::audit::Audit;
use crate::authority::now;
use crate::policy::Policy;
use crate::private_tls::PrivateTls;
use crate::registry::sqlite::Sqlite;
use crate::signer::{self, sealed};

/// Make an authority: its policy, its registry and its audit log
///
/// Its two keys are in an agent (that of tpmssh, with the TPM behind it, or any other), in a token, or sealed in a file. Each has to sign once.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The authority's own name, which proofs are made for: the URL that machines use
    #[arg(long, value_name = "URL")]
    audience: String,

    /// The public key that certifies users
    #[arg(long, value_name = "FILE", required_unless_present = "sealed")]
    user_ca: Option<PathBuf>,

    /// The public key that certifies hosts: another one
    #[arg(long, value_name = "FILE", required_unless_present = "sealed")]
    host_ca: Option<PathBuf>,

    /// The socket of the agent that has both keys
    #[arg(
        long,
        value_name = "SOCKET",
        env = "SSH_AUTH_SOCK",
        required_unless_present_any = ["token", "sealed"]
    )]
    agent: Option<PathBuf>,

    /// The token of the store that has both keys: then the node signs with the TPM itself, without an agent
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// The file of tpmssh-ca ca seal, which has both keys: the node has them in its memory and signs with them itself
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "user_ca", "host_ca"])]
    sealed: Option<PathBuf>,

    /// The directory of the store with the token (that of tpmssh)
    #[arg(long, value_name = "DIR", requires = "token")]
    store: Option<PathBuf>,

    /// The file with the PIN of the token, or the name of a credential of systemd; without one, the token has none
    #[arg(long, value_name = "FILE", requires = "token")]
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

pub(super) fn run(dir: &Dir, args: &Args, out: &Out) -> anyhow::Result<()> {
    if dir.policy_file().exists() {
        bail!("there is an authority in {} already", dir.path().display());
    }
    let [(user, user_file), (host, host_file)] = keys(args)?;
    let own_tls = own_tls(dir, args)?;
    let text = policy(args, own_tls.as_ref().map(|it| &it.0), &user, &host)?;
    let policy = Policy::parse(&text, &mut files::Disk)?;
    let signer = signer::at(&policy.ca.place)?;
    for (key, path) in [(&user, user_file), (&host, host_file)] {
        signer::sign_file(&*signer, key, "init@tpmssh", b"")
            .with_context(|| format!("the key in {} cannot certify", path.display()))?;
    }
    if let Some(url) = &args.database {
        database::look(url)?;
    }
    dir.make()?;
    dir.check()?;
    let seen = match &own_tls {
        Some((tls, names)) => Some(tls.make(names, now())?),
        None => None,
    };
    match &args.database {
        Some(url) => {
            database::keep(dir, url)?;
            tickets::make(dir)?;
        }
        None => drop(Sqlite::open(&dir.registry())?),
    }
    Audit::open(&dir.audit())?.write(now(), "init", &[("audience", args.audience.clone())])?;
    // Written last, because an authority exists if its policy file does.
    files::write_new(&dir.policy_file(), 0o600, text.as_bytes())?;
    let shown = dir.path().display();
    let (certificate, to_file, machines) = match &seen {
        Some(seen) => (tls::shown(seen), " > token", tls::lines(&policy, seen)),
        None => Default::default(),
    };
    let said = format!(
        "the authority is in {shown}; its rules are in policy.toml there\n\
         {certificate}\
         next: tpmssh-ca --dir {shown} serve\n\
         then: tpmssh-ca --dir {shown} join-token new --role host --name HOST{to_file}\n\
         {machines}\
         hosts trust users by it with TrustedUserCAKeys: {}\n\
         users trust hosts by it with @cert-authority in known_hosts: {}\n",
        user.line(""),
        host.line("")
    );
    let mut value = json!({"dir": dir.path(), "user_ca": user.line(""), "host_ca": host.line("")});
    if let Some(seen) = seen {
        value["tls_ca_sha256"] = seen.ca_sha256.into();
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
    Ok(Some((PrivateTls::new(&absolute(dir.path())?), names)))
}

/// The public keys for users and for hosts, each with the file that it was read from.
fn keys(args: &Args) -> anyhow::Result<[(AnyKey, &Path); 2]> {
    if let Some(file) = &args.sealed {
        return Ok(sealed::public_keys(file)?.map(|key| (key, file.as_path())));
    }
    let both = args.user_ca.as_deref().zip(args.host_ca.as_deref());
    let (user, host) = both.context("there are two public keys")?;
    Ok([(key(user)?, user), (key(host)?, host)])
}

fn key(path: &Path) -> anyhow::Result<AnyKey> {
    let line = files::read(path, 64 * 1024)?;
    let key = AnyKey::from_line(line.trim());
    let (key, _) = key.with_context(|| format!("{} is not a public key", path.display()))?;
    Ok(key)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}

/// An absolute path as a string of TOML.
fn quoted(text: &Path) -> anyhow::Result<String> {
    let text = absolute(text)?;
    let text = text
        .to_str()
        .context("a path that is not UTF-8 cannot be in a policy")?;
    Ok(toml::Value::from(text).to_string())
}

/// The lines of the policy that say where the keys are.
fn place(args: &Args) -> anyhow::Result<String> {
    if let Some(file) = &args.sealed {
        return Ok(format!(
            "# The authority's keys, sealed to the TPM of this machine. They are in the node's memory while it serves.\nsealed = {}",
            quoted(file)?
        ));
    }
    let Some(token) = &args.token else {
        let agent = args
            .agent
            .as_deref()
            .context("the keys are in an agent, a token or a file")?;
        let agent = quoted(agent)?;
        return Ok(format!(
            "# The agent that has the authority's keys.\nagent = {agent}"
        ));
    };
    let mut lines = format!(
        "# The token of the store that has the authority's keys.\ntoken = {}",
        toml::Value::from(token.as_str())
    );
    // Always written, because a service has another home directory than the person who runs `init`.
    let store = match &args.store {
        Some(store) => quoted(store)?,
        None => quoted(token_store::StoreDir::for_user()?.path())?,
    };
    lines += &format!("\nstore = {store}");
    if let Some(pin) = &args.pin {
        // A name without a directory that is no file here names a credential of systemd.
        let pin = match pin.components().count() {
            1 if !pin.exists() => toml::Value::from(pin.to_string_lossy().as_ref()).to_string(),
            _ => quoted(pin)?,
        };
        lines += &format!(
            "\n# A file for the user of the node alone, or the name of a credential of systemd.\npin = {pin}"
        );
    }
    Ok(lines)
}

fn policy(
    args: &Args,
    own_tls: Option<&PrivateTls>,
    user: &AnyKey,
    host: &AnyKey,
) -> anyhow::Result<String> {
    let audience = toml::Value::from(args.audience.as_str()).to_string();
    let tls = match (&args.tls_certificate, &args.tls_key, own_tls) {
        (_, _, Some(own)) => format!(
            "# tpmssh-ca renews it by itself: tpmssh-ca tls show\ncertificate = {}\nkey = {}",
            quoted(own.chain())?,
            quoted(own.key())?
        ),
        (Some(certificate), Some(key), None) => format!(
            "certificate = {}\nkey = {}",
            quoted(certificate)?,
            quoted(key)?
        ),
        _ => "# certificate = \"/etc/tpmssh-ca/tls.pem\"\n# key = \"/etc/tpmssh-ca/tls.key\""
            .to_owned(),
    };
    let roots: anyhow::Result<Vec<String>> =
        args.ek_roots.iter().map(|path| quoted(path)).collect();
    let mode = if args.ek_roots.is_empty() { "D" } else { "C" };
    Ok(include_str!("init/policy.toml")
        .replace("@AUDIENCE@", &audience)
        .replace("@LISTEN@", &args.listen.to_string())
        .replace("@TLS@", &tls)
        .replace("@ROOTS@", &roots?.join(", "))
        .replace("@PLACE@", &place(args)?)
        .replace("@USER@", &user.line(""))
        .replace("@HOST@", &host.line(""))
        .replace("@MODE@", mode))
}
