//! The identity in a request to an authority: a join token, a token of an identity provider, or a signature by another key.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use key_proof::{IDENTITY_NAMESPACE, Identity, Request};
use ssh_format::{SigHash, SshSig};
use token_store::Store;

use super::join_token;
use crate::app::App;
use crate::fail::error::EnrolmentError;
use crate::keys::signing;
use crate::options::UserPinArgs;
use crate::show::path;

/// The options for a join token, or for an identity that replaces it.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct IdentityArgs {
    /// The file with a join token of the authority; - is standard input
    #[arg(long, value_name = "FILE")]
    join_token: Option<PathBuf>,

    /// Identify yourself with another SSH key that the authority knows: ssh-keygen signs with the key in this file, or with the agent if the
    /// file has only the public key
    #[arg(long, value_name = "FILE")]
    identity_key: Option<PathBuf>,

    /// Identify yourself with an ID token of an identity provider (OpenID Connect). The shell runs this command with the nonce for the token in
    /// TPMSSH_NONCE, and it prints the token
    #[arg(long, value_name = "COMMAND")]
    identity_command: Option<String>,

    /// Sign with the key of this TPM that the new key replaces
    #[arg(long, value_name = "KEY")]
    old_key: Option<String>,
}

impl IdentityArgs {
    pub(crate) fn is_given(&self) -> bool {
        let words = [&self.identity_command, &self.old_key];
        let files = [&self.join_token, &self.identity_key];
        words.iter().any(|it| it.is_some()) || files.iter().any(|it| it.is_some())
    }

    /// The source that the options name. A join token is read here.
    ///
    /// # Errors
    ///
    /// Those of [`join_token::read`].
    pub(crate) fn source(&self) -> anyhow::Result<Source> {
        Ok(match self {
            Self {
                join_token: Some(path),
                ..
            } => Source::JoinToken(join_token::read(path)?),
            Self {
                identity_key: Some(path),
                ..
            } => Source::KeyFile(path.clone()),
            Self {
                identity_command: Some(command),
                ..
            } => Source::Command(command.clone()),
            Self {
                old_key: Some(name),
                ..
            } => Source::OldKey(name.clone()),
            _ => Source::None,
        })
    }
}

/// Where the identity of a request comes from. A signature is over the request, so it is made after the request.
pub(crate) enum Source {
    /// No identity.
    None,
    /// The holder of a join token.
    JoinToken(String),
    /// The holder of the key in a file, or of the private half of it in an agent.
    KeyFile(PathBuf),
    /// The person in the ID token that this command prints.
    Command(String),
    /// The holder of a key in the store, by its name.
    OldKey(String),
}

impl Source {
    /// The identity for `request`, which has none yet.
    ///
    /// # Errors
    ///
    /// If the key does not sign: [`EnrolmentError::NoIdentity`], and those of the PIN, the TPM and the store.
    pub(super) fn of(
        &self,
        app: &App,
        store: &Store,
        pin: &UserPinArgs,
        request: &Request,
    ) -> anyhow::Result<Identity> {
        let message = request.without_identity();
        Ok(match self {
            Self::None => Identity::None,
            Self::JoinToken(token) => Identity::Join(token.clone()),
            Self::KeyFile(path) => Identity::Ssh(by_ssh_keygen(path, &message)?),
            Self::Command(command) => {
                Identity::Oidc(by_command(command, &request.identity_nonce()?)?)
            }
            Self::OldKey(name) => Identity::Ssh(by_own_key(app, store, pin, name, &message)?),
        })
    }
}

/// A signature by a key in the store.
fn by_own_key(
    app: &App,
    store: &Store,
    pin: &UserPinArgs,
    name: &str,
    message: &[u8],
) -> anyhow::Result<String> {
    let key = signing::find(signing::all(app, store)?, Some(name))?;
    let hash = SigHash::Sha512;
    let digest = hash.of(message).map_err(|err| no_identity(name, &err))?;
    let data = SshSig::to_sign(IDENTITY_NAMESPACE, hash, &digest)?;
    let signature = key.sign(app, store, pin, &data)?;
    Ok(SshSig::new(key.public, IDENTITY_NAMESPACE, hash, &signature)?.armored())
}

/// A signature by `ssh-keygen`, which can ask for a passphrase and use an agent or a security key.
fn by_ssh_keygen(file: &Path, message: &[u8]) -> Result<String, EnrolmentError> {
    let shown = path::name(file);
    let failed = |why: &dyn std::fmt::Display| no_identity(&shown, why);
    let mut child = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", IDENTITY_NAMESPACE, "-f"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|err| failed(&format_args!("ssh-keygen does not start: {err}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(message) {
            // ssh-keygen has ended early. It has printed the reason itself.
            Err(err) if err.kind() != io::ErrorKind::BrokenPipe => return Err(failed(&err)),
            _ => {}
        }
    }
    let output = child.wait_with_output().map_err(|err| failed(&err))?;
    match String::from_utf8(output.stdout) {
        Ok(signature) if output.status.success() => Ok(signature),
        _ => Err(failed(&"ssh-keygen does not sign with it")),
    }
}

/// The longest token that is accepted, in bytes.
const MAX_TOKEN: u64 = 16 * 1024;

/// Runs the user's command and returns the token that it prints. The token is not shown, also not in errors. The command may ask the person on
/// the terminal or in a browser.
fn by_command(command: &str, nonce: &str) -> Result<String, EnrolmentError> {
    let failed = |why: &dyn std::fmt::Display| EnrolmentError::NoIdentityToken {
        why: why.to_string(),
    };
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env("TPMSSH_NONCE", nonce)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|err| failed(&format_args!("the shell does not start: {err}")))?;
    let mut printed = Vec::new();
    let read = match child.stdout.take() {
        Some(stdout) => stdout.take(MAX_TOKEN + 1).read_to_end(&mut printed),
        None => Ok(0),
    };
    let ended = child.wait().map_err(|err| failed(&err))?;
    read.map_err(|err| failed(&err))?;
    if !ended.success() {
        return Err(failed(&format_args!("it ended with {ended}")));
    }
    let is_in_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    match str::from_utf8(&printed).map(str::trim) {
        Ok(token)
            if !token.is_empty()
                && token.bytes().all(|it| is_in_token(&it))
                && printed.len() as u64 <= MAX_TOKEN =>
        {
            Ok(token.to_owned())
        }
        _ => Err(failed(&"it prints something else than one token")),
    }
}

fn no_identity(key: &str, why: &dyn std::fmt::Display) -> EnrolmentError {
    EnrolmentError::NoIdentity {
        key: key.to_owned(),
        why: why.to_string(),
    }
}
