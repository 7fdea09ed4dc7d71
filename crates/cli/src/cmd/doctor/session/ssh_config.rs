//! The check of ssh's configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use agent::status::Status;

use super::super::check::Check;
use crate::machine::ssh_agent::{self, Found};

const SSH: &str = "ssh's configuration";

/// How many keys a server takes at most before it closes the connection: `MaxAuthTries` of
/// sshd_config(5).
const MAX_TRIES: usize = 6;

/// The settings about keys that `ssh -G` prints.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SshConfig {
    identity_agent: Option<String>,
    pkcs11_provider: Option<PathBuf>,
    identities_only: bool,
}

impl SshConfig {
    /// The settings for a server that no line names.
    pub(super) fn read() -> Result<Self, String> {
        let output = Command::new("ssh")
            .args([
                "-G",
                "-o",
                "CanonicalizeHostname=no",
                "--",
                "server.invalid",
            ])
            .stdin(Stdio::null())
            .output()
            .map_err(|err| err.to_string())?;
        if output.status.success() {
            return Ok(Self::parse(&String::from_utf8_lossy(&output.stdout)));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find(|line| !line.trim().is_empty());
        Err(line.unwrap_or("it says nothing").trim().to_owned())
    }

    fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            // OpenSSH 10.6 spells the settings of sshd with capitals.
            let (name, value) = line.split_once(' ').unwrap_or_default();
            match (name.to_ascii_lowercase().as_str(), value) {
                ("identityagent", value) => config.identity_agent = Some(value.to_owned()),
                ("pkcs11provider", "none") => {}
                ("pkcs11provider", value) => config.pkcs11_provider = Some(value.into()),
                ("identitiesonly", value) => config.identities_only = value == "yes",
                _ => {}
            }
        }
        config
    }

    /// Whether `IdentityAgent` is this socket. ssh has resolved its tokens and variables but those
    /// that begin with `$`.
    pub(super) fn names(&self, socket: &Path) -> bool {
        match self.identity_agent.as_deref() {
            None | Some("SSH_AUTH_SOCK" | "none") => false,
            Some(value) => {
                let var = value
                    .strip_prefix('$')
                    .filter(|name| !name.starts_with('{'));
                let path = match var {
                    Some(name) => std::env::var_os(name).map(PathBuf::from),
                    None => Some(expanded(value)),
                };
                path.is_some_and(|path| ssh_agent::is_same(&path, socket))
            }
        }
    }
}

/// A path with `${XDG_RUNTIME_DIR}` and `%i` in it, which `ssh -G` of some versions prints as they are.
fn expanded(value: &str) -> PathBuf {
    let runtime = std::env::var("XDG_RUNTIME_DIR").unwrap_or_default();
    let uid = rustix::process::geteuid().as_raw().to_string();
    value
        .replace("${XDG_RUNTIME_DIR}", &runtime)
        .replace("%i", &uid)
        .into()
}

/// What ssh's configuration means for the keys of the TPM; an error is the line that ssh refuses.
pub(super) fn of_ssh(socket: &Path, agent: &Found, config: Result<&SshConfig, &String>) -> Check {
    let config = match config {
        Ok(config) => config,
        Err(why) => {
            return Check::warning(SSH, format!("ssh does not read it: {why}"))
                .fixed_by("correct that line; ssh -G server shows when it is right");
        }
    };
    if let Some(module) = &config.pkcs11_provider
        && !module.exists()
    {
        let detail = format!("PKCS11Provider {}: there is no such file", module.display());
        return Check::warning(SSH, detail)
            .fixed_by("tpmssh ssh-config HOST --module prints the line");
    }
    let uses_ours = match &config.identity_agent {
        Some(name) if name != "SSH_AUTH_SOCK" => config.names(socket),
        _ => ssh_agent::auth_sock().is_some_and(|path| ssh_agent::is_same(&path, socket)),
    };
    if let Found::Tpmssh { status, .. } = agent {
        if let Some(name) = config.identity_agent.as_deref()
            && name != "SSH_AUTH_SOCK"
            && !uses_ours
        {
            let detail = format!("IdentityAgent {name}: ssh does not ask the agent of tpmssh");
            return Check::warning(SSH, detail)
                .fixed_by(format!("IdentityAgent {} in that place", socket.display()));
        }
        let keys = offered(status);
        if uses_ours && keys > MAX_TRIES && !config.identities_only {
            let detail = format!(
                "each server is offered {keys} keys, and most close the connection after {MAX_TRIES}"
            );
            return Check::warning(SSH, detail)
                .fixed_by("tpmssh ssh-config HOST prints lines for one key");
        }
    }
    let mut ways = Vec::new();
    if uses_ours {
        ways.push("the agent".to_owned());
    }
    if let Some(module) = &config.pkcs11_provider {
        ways.push(format!("the module {}", module.display()));
    }
    match ways.is_empty() {
        true => Check::ok(
            SSH,
            "names neither agent nor module; ssh -I uses the module for one login",
        )
        .fixed_by("tpmssh ssh-config HOST prints the lines"),
        false => Check::ok(SSH, format!("keys come from {}", ways.join(" and "))),
    }
}

fn offered(status: &Status) -> usize {
    status.tokens.iter().map(|token| token.keys).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_of_keys_is_read() {
        let said = "host server.invalid\nidentitiesonly yes\nidentityagent /run/a b\n\
                    pkcs11provider /usr/lib/x.so\nproxycommand none\n";
        let config = SshConfig::parse(said);
        assert_eq!(config.identity_agent.as_deref(), Some("/run/a b"));
        assert_eq!(config.pkcs11_provider, Some("/usr/lib/x.so".into()));
        assert!(config.identities_only);
        assert!(config.names(Path::new("/run/a b")) && !config.names(Path::new("/run/a")));
        let capitals = SshConfig::parse("IdentitiesOnly yes\nIdentityAgent /run/a\n");
        assert!(capitals.identities_only && capitals.names(Path::new("/run/a")));
        let none = SshConfig::parse("identitiesonly no\npkcs11provider none\nidentityagent none\n");
        assert_eq!(none.pkcs11_provider, None);
        assert!(!none.names(Path::new("none")));
    }
}
