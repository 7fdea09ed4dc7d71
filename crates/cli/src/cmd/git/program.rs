//! `tpmssh git program`: the program that git calls instead of `ssh-keygen`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use ssh_format::{AnyKey, MAX_LINE_LEN, SigHash, SshSig};

use crate::app::App;
use crate::fail::error::Error;
use crate::files::input_file;
use crate::files::output_file;
use crate::keys::signing as signing_keys;
use crate::options::UserPinArgs;
use crate::show::path;

/// Do for git what it asks of ssh-keygen, with keys of the TPM
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The arguments of ssh-keygen
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let other = match Request::read(&args.arguments) {
        Some(request) => match request.sign(app)? {
            Signed::Here => return Ok(()),
            Signed::Not(key) => key.filter(|_| !request.has_another_way()),
        },
        None => None,
    };
    if let Some(key) = other {
        let fingerprint = key.fingerprint().to_string();
        return Err(Error::SigningKeyGone { fingerprint }.into());
    }
    // ssh-keygen checks signatures, and signs with keys that are not in the TPM.
    let failed = Command::new("ssh-keygen").args(&args.arguments).exec();
    Err(failed).context("cannot run ssh-keygen")
}

/// The result of a request for a signature.
enum Signed {
    Here,
    /// The key is not in the TPM: the public key that git named, if git named a key.
    Not(Option<AnyKey>),
}

/// `-Y sign -n NAMESPACE -f KEY FILE`, as git asks (gpg-interface.c, `sign_buffer_ssh`).
struct Request {
    namespace: String,
    key: PathBuf,
    file: PathBuf,
}

impl Request {
    /// What is asked for; `None` if it is not a signature.
    fn read(arguments: &[OsString]) -> Option<Self> {
        let (mut operation, mut namespace, mut key, mut file) = (None, None, None, None);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.to_str() {
                Some("-Y") => operation = rest.next(),
                Some("-n") => namespace = rest.next(),
                Some("-f") => key = rest.next(),
                // "The private half is in the agent." Here it is in the TPM.
                Some("-U") => {}
                Some(option) if option.starts_with('-') => return None,
                _ => file = Some(argument),
            }
        }
        (operation?.to_str() == Some("sign")).then_some(())?;
        Some(Self {
            namespace: namespace?.to_str()?.to_owned(),
            key: key?.into(),
            file: file?.into(),
        })
    }

    /// Whether `ssh-keygen` may have the private half: in an agent, or beside the public one.
    fn has_another_way(&self) -> bool {
        let agent = std::env::var_os("SSH_AUTH_SOCK").is_some_and(|path| !path.is_empty());
        let is_public = self.key.extension().is_some_and(|it| it == "pub");
        agent || (is_public && self.key.with_extension("").exists())
    }

    /// Signs and writes the signature beside the file.
    fn sign(&self, app: &App) -> anyhow::Result<Signed> {
        let Some(wanted) = self.public_key()? else {
            return Ok(Signed::Not(None));
        };
        let store = app.store()?;
        let keys = signing_keys::all(app, &store)?;
        let Some(key) = keys.into_iter().find(|key| key.public == wanted) else {
            return Ok(Signed::Not(Some(wanted)));
        };
        let hash = SigHash::Sha512;
        let unreadable = |source| Error::Unreadable {
            from: path::name(&self.file),
            source,
        };
        let file = input_file::open(&self.file).map_err(unreadable)?;
        let digest = hash.of(file).map_err(unreadable)?;
        let data = SshSig::to_sign(&self.namespace, hash, &digest)?;
        let signature = key.sign(app, &store, &UserPinArgs::default(), &data)?;
        let signature = SshSig::new(key.public, &self.namespace, hash, &signature)?;
        let mut path = self.file.clone().into_os_string();
        path.push(".sig");
        output_file::write(Path::new(&path), 0o600, signature.armored().as_bytes())?;
        Ok(Signed::Here)
    }

    /// The key in the file that git names: a public key, or a private one with its public half
    /// beside it.
    fn public_key(&self) -> anyhow::Result<Option<AnyKey>> {
        let text = input_file::read_text(&self.key, MAX_LINE_LEN + 2)?;
        Ok(AnyKey::from_line(&text).ok().map(|(key, _)| key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(String, PathBuf, PathBuf)> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Request::read(&arguments).map(|it| (it.namespace, it.key, it.file))
    }

    #[test]
    fn a_signature_is_told_from_all_else() {
        let expected = Some(("git".to_owned(), "/t/key".into(), "/t/buffer".into()));
        assert_eq!(read("-Y sign -n git -f /t/key /t/buffer"), expected);
        assert_eq!(read("-Y sign -n git -f /t/key -U /t/buffer"), expected);
        for other in [
            "-Y verify -n git -f /t/allowed -I anna -s /t/sig",
            "-Y find-principals -f /t/allowed -s /t/sig -Overify-time=20270101",
            "-Y sign -n git -f /t/key -O hashalg=sha256 /t/buffer",
            "-Y sign",
            "",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
