//! The policy that `init` writes.

use std::path::Path;

use anyhow::Context;
use ssh_format::AnyKey;

use super::{Args, keys};
use crate::cmd::dir::Dir;
use crate::files;
use crate::private_tls::PrivateTls;

/// An absolute path as a string of TOML.
fn quoted(text: &Path) -> anyhow::Result<String> {
    let text = files::absolute(text)?;
    let text = text
        .to_str()
        .context("a path that is not UTF-8 cannot be in a policy")?;
    Ok(toml::Value::from(text).to_string())
}

/// The lines of the policy that say where the keys are.
fn place(dir: &Dir, args: &Args) -> anyhow::Result<String> {
    if args.make_keys {
        let token = toml::Value::from(keys::TOKEN);
        return Ok(format!(
            "# The token that tpmssh-ca init has made in the TPM of this machine, for the authority's keys.\ntoken = {token}\nstore = {}\n\
             # A file for the user of the node alone, or the name of a credential of systemd.\npin = {}",
            quoted(&keys::store(dir, args)?)?,
            quoted(&dir.pin())?
        ));
    }
    if let Some(file) = &args.sealed {
        return Ok(format!(
            "# The authority's keys, sealed to the TPM of this machine. They are in the node's memory while it serves.\nsealed = {}",
            quoted(file)?
        ));
    }
    let Some(token) = &args.token else {
        let agent = args.agent().context("no agent is named")?;
        return Ok(format!(
            "# The agent that has the authority's keys.\nagent = {}",
            quoted(&agent)?
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

/// The text of the policy, for these keys for users and hosts.
///
/// # Errors
///
/// If a path cannot be in it.
pub(super) fn text(
    dir: &Dir,
    args: &Args,
    own_tls: Option<&PrivateTls>,
    [user, host]: &[AnyKey; 2],
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
    Ok(include_str!("policy.toml")
        .replace("@AUDIENCE@", &audience)
        .replace("@LISTEN@", &args.listen.to_string())
        .replace("@TLS@", &tls)
        .replace("@ROOTS@", &roots?.join(", "))
        .replace("@PLACE@", &place(dir, args)?)
        .replace("@USER@", &user.line(""))
        .replace("@HOST@", &host.line(""))
        .replace("@MODE@", mode))
}
