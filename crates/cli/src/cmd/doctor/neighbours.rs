//! Other programs of this machine that use the keys: sshd with its host keys, and git.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use ssh_format::{AnyKey, MAX_LINE_LEN};
use token_store::{Error as StoreError, Store, StoreDir, config_dir, token};
use tpm_core::Tpm;

use super::check::Check;
use crate::files::input_file;
use crate::show::words::count;

const HOST: &str = "host keys";
const GIT: &str = "git";

/// The places that `tpmssh host setup` uses unless it is told otherwise.
const HOST_STORE: &str = "/var/lib/tpmssh";
const HOST_SOCKET: &str = "/run/tpmssh/host.sock";
const HOST_DROP_IN: &str = "/etc/ssh/sshd_config.d/10-tpmssh.conf";

pub(super) fn check(tpm: Option<&Arc<Tpm>>, checks: &mut Vec<Check>) {
    checks.push(host(
        tpm,
        Path::new(HOST_STORE),
        Path::new(HOST_SOCKET),
        Path::new(HOST_DROP_IN),
    ));
    checks.push(git());
}

fn host(tpm: Option<&Arc<Tpm>>, dir: &Path, socket: &Path, drop_in: &Path) -> Check {
    let is_set_up = drop_in.exists();
    // The directory is root's alone.
    let is_there = match fs::read_dir(dir) {
        Err(err) if err.kind() == ErrorKind::PermissionDenied => {
            return Check::ok(HOST, "there may be some; only root can look")
                .fixed_by("sudo tpmssh doctor");
        }
        read => read.is_ok(),
    };
    if !is_there {
        return match is_set_up {
            true => Check::warning(
                HOST,
                format!("{} names some, and there is no store", drop_in.display()),
            )
            .fixed_by("sudo tpmssh host remove, or sudo tpmssh host setup"),
            false => Check::ok(HOST, "none in the TPM"),
        };
    }
    let looked = look_at_store(tpm, dir);
    let keys = match looked {
        Ok(keys) => keys,
        Err(StoreError::NoStore { .. }) => 0,
        Err(err) => return Check::failed(HOST, err),
    };
    if keys == 0 {
        return Check::ok(HOST, "none in the TPM");
    }
    let keys = count(keys, "key");
    if !is_set_up {
        return Check::warning(HOST, format!("{keys} in the TPM, which sshd does not use"))
            .fixed_by("sudo tpmssh host setup");
    }
    match UnixStream::connect(socket) {
        Ok(_) => Check::ok(HOST, format!("{keys} in the TPM, and their agent listens")),
        Err(err) => {
            let detail = format!(
                "{keys} in the TPM; their agent, {}: {err}",
                socket.display()
            );
            Check::warning(HOST, detail).fixed_by("sudo systemctl restart tpmssh-host.socket")
        }
    }
}

/// How many keys the store of the host has. Checks that the TPM knows their tokens.
fn look_at_store(tpm: Option<&Arc<Tpm>>, dir: &Path) -> Result<usize, StoreError> {
    let store = Store::open(&StoreDir::at(dir)?)?;
    let mut keys = 0;
    for its in store.tokens()? {
        if let Some(tpm) = tpm {
            token::examine(&store, tpm, &its, None)?;
        }
        store.each_private_key(its.id, |_| keys += 1)?;
    }
    Ok(keys)
}

/// git's settings as they are in this directory.
fn git() -> Check {
    let get = |name: &str| -> Option<String> {
        let output = Command::new("git")
            // `--type=path` expands `~/` to the home and leaves other values unchanged.
            .args(["config", "--type=path", "--get", name])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        output.status.success().then_some(text)
    };
    if get("gpg.format").as_deref() != Some("ssh") {
        return Check::ok(GIT, "does not sign with a key of the TPM")
            .fixed_by("tpmssh git setup --global");
    }
    let program = get("gpg.ssh.program").unwrap_or_else(|| "ssh-keygen".into());
    let own = config_dir().map(|dir| dir.join("tpmssh/git-sign"));
    let is_own = own.is_ok_and(|own| own == Path::new(&program));
    if is_own && !Path::new(&program).exists() {
        return Check::warning(GIT, format!("{program}, which is to sign, is not there"))
            .fixed_by("tpmssh git setup --global");
    }
    let key = get("user.signingkey").unwrap_or_default();
    let line = match key.strip_prefix("key::") {
        Some(line) => line.to_owned(),
        None => input_file::read_regular(Path::new(&key), MAX_LINE_LEN + 2).unwrap_or(key),
    };
    let Ok((key, comment)) = AnyKey::from_line(line.trim_end()) else {
        return match is_own {
            true => Check::warning(GIT, "user.signingkey is no key")
                .fixed_by("tpmssh git setup --global"),
            false => Check::ok(GIT, "does not sign with a key of the TPM")
                .fixed_by("tpmssh git setup --global"),
        };
    };
    let comment = ssh_format::text::shown(comment);
    match (is_in_store(&key), is_own) {
        (true, _) => Check::ok(GIT, format!("signs with the key \"{comment}\"")),
        (false, true) => {
            let detail = format!("is to sign with \"{comment}\", which is in no token");
            Check::warning(GIT, detail).fixed_by("tpmssh git setup --global")
        }
        (false, false) => Check::ok(GIT, "signs with a key that is not in the TPM"),
    }
}

fn is_in_store(wanted: &AnyKey) -> bool {
    let look = || -> Result<bool, StoreError> {
        let store = Store::open(&StoreDir::for_user()?)?;
        let mut found = false;
        for token in store.tokens()? {
            store.each_private_key(token.id, |object| {
                let key = object
                    .key()
                    .and_then(|key| ssh_keys::public_key(key.public()).ok());
                found |= key.is_some_and(|key| key.blob() == wanted.blob());
            })?;
        }
        Ok(found)
    };
    look().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs::DirBuilder;
    use std::os::unix::fs::DirBuilderExt;

    use super::*;

    #[test]
    fn a_machine_without_host_keys_has_none_and_half_of_a_set_up_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let look = || {
            let said = host(None, &at("store"), &at("socket"), &at("drop-in")).to_string();
            said.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(look().starts_with("ok host keys none in the TPM"));
        fs::write(at("drop-in"), "").unwrap();
        let half = look();
        assert!(
            half.starts_with("warning") && half.contains("there is no store"),
            "{half}"
        );
        // A directory without a store, which root alone can look into.
        DirBuilder::new().mode(0o700).create(at("store")).unwrap();
        assert!(
            look().starts_with("ok host keys none in the TPM"),
            "{}",
            look()
        );
    }
}
