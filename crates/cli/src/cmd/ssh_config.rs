//! `tpmssh ssh-config`: the lines by which ssh uses one key for a server.

use std::fmt;
use std::path::{Path, PathBuf};

use agent::client::Client;
use agent::public_files::PublicFiles;
use anyhow::Context;
use serde::Serialize;
use token_store::StoreDir;

use crate::app::App;
use crate::fail::error::Error;
use crate::keys::{public_files, signing};
use crate::machine::module;
use crate::options::SocketArgs;
use crate::show::output::tell;

/// Print lines for ~/.ssh/config by which a server gets one key
///
/// ssh then offers this key and no other. Servers close the connection after a few wrong keys (MaxAuthTries). The public key is in a file of ~/.ssh/tpmssh, which is made if it is missing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server, as for ssh; patterns such as *.example.org are taken
    #[arg(value_name = "[USER@]HOST")]
    host: String,

    /// The key, by label, id or fingerprint (the only key)
    #[arg(long, short, value_name = "KEY")]
    key: Option<String>,

    /// Use the PKCS#11 module, which offers all keys, in the place of the agent
    #[arg(long, conflicts_with_all = ["socket", "key"])]
    module: bool,

    #[command(flatten)]
    socket: SocketArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let (user, host) = match args.host.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, args.host.as_str()),
    };
    for word in user.into_iter().chain([host]) {
        check(word)?;
    }
    let mut stanza = Stanza {
        host: host.to_owned(),
        user: user.map(str::to_owned),
        ..Stanza::default()
    };
    if args.module {
        let module = module::path().ok_or(Error::Usage(
            "libtpmssh_pkcs11.so is neither beside this program nor in a directory of libraries"
                .into(),
        ))?;
        stanza.pkcs11_provider = Some(module);
        return app.out.print(&stanza);
    }
    let store = app.store()?;
    let key = signing::login_key(app, &store, args.key.as_deref())?;
    let Some(files) = PublicFiles::of_store(store.dir())? else {
        let usual = StoreDir::usual()?;
        let why = "public keys have files only if their store is the usual one";
        return Err(Error::Usage(format!("{why}, {}", usual.path().display())).into());
    };
    let errors = public_files::updated(&store);
    let (label, blob) = (key.label.as_str(), key.public.blob());
    let file = files.path(label, blob);
    if !files.has(label, blob) {
        let missing = agent::public_files::Error::Foreign { path: file };
        let why = errors.into_iter().next().unwrap_or(missing);
        return Err(why).context("there is no file for the key");
    }
    let certificate = files.certificate_path(label, blob);
    stanza.certificate_file = certificate.exists().then_some(certificate);
    stanza.identity_file = Some(file);
    let socket = args.socket.path()?;
    if let Err(agent::Error::NotRunning { .. }) = Client::connect(&socket) {
        tell(
            "tpmssh: no agent is running there; start it: tpmssh agent install, or tpmssh agent --daemon",
        );
    }
    stanza.identity_agent = Some(socket);
    app.out.print(&stanza)
}

/// Refuses what ssh_config(5) would take for more than one word.
fn check(word: &str) -> Result<(), Error> {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'#\\".contains(c);
    if word.is_empty() || word.starts_with('-') || !word.chars().all(is_plain) {
        let word = ssh_format::text::shown(word);
        return Err(Error::Usage(format!("\"{word}\" is no host or user")));
    }
    Ok(())
}

/// Lines of ssh_config(5). Fields that are not set have no line.
#[derive(Debug, Default, Serialize)]
struct Stanza {
    host: String,
    user: Option<String>,
    identity_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    identity_agent: Option<PathBuf>,
    pkcs11_provider: Option<PathBuf>,
}

impl fmt::Display for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Host {}", self.host)?;
        if let Some(user) = &self.user {
            writeln!(f, "    User {user}")?;
        }
        if let Some(file) = &self.identity_file {
            writeln!(f, "    IdentityFile {}", quote(file))?;
            if let Some(file) = &self.certificate_file {
                writeln!(f, "    CertificateFile {}", quote(file))?;
            }
            writeln!(f, "    IdentitiesOnly yes")?;
        }
        if let Some(socket) = &self.identity_agent {
            writeln!(f, "    IdentityAgent {}", quote(socket))?;
        }
        if let Some(module) = &self.pkcs11_provider {
            writeln!(f, "    PKCS11Provider {}", quote(module))?;
        }
        Ok(())
    }
}

/// A path as one word of ssh_config(5). `%`, which begins a token there, is doubled.
fn quote(path: &Path) -> String {
    let path = path.display().to_string().replace('%', "%%");
    if path.chars().any(|c| c.is_whitespace() || "#'".contains(c)) {
        format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word() {
        for (path, word) in [
            ("/home/anna/.ssh/x.pub", "/home/anna/.ssh/x.pub"),
            ("/home/a b/x", "\"/home/a b/x\""),
            ("/home/100%/x", "/home/100%%/x"),
        ] {
            assert_eq!(quote(Path::new(path)), word);
        }
    }

    #[test]
    fn a_host_is_one_word() {
        for word in ["server", "*.example.org", "192.0.2.1", "::1"] {
            assert!(check(word).is_ok(), "{word}");
        }
        for word in [
            "",
            "-oProxyCommand=x",
            "a b",
            "a\nProxyCommand x",
            "a\"b",
            "#",
        ] {
            assert!(check(word).is_err(), "{word}");
        }
    }
}
