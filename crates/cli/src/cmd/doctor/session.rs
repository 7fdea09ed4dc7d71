//! This session: its agents, what ssh makes of its configuration, and how a PIN is asked for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use agent::Socket;
use agent::audit::{self, Record};
use agent::broker::Way;
use agent::status::Status;
use rustix::fs::{Access, access};
use ssh_format::text::shown;
use token_store::StoreDir;

use super::check::Check;
use crate::app::{App, agent_log};
use crate::fail::hint::quote;
use crate::machine::ssh_agent::{self, Found, Starter};
use crate::show::date;
use crate::show::words::count;

const AGENT: &str = "agent";
const AUTH_SOCK: &str = "SSH_AUTH_SOCK";
const SSH: &str = "ssh's configuration";
const PROMPT: &str = "PIN prompt";
const LOG: &str = "agent's log";

/// How a shell finds the agent.
const ENV: &str = "eval \"$(tpmssh agent env)\"";

/// How many keys a server takes at most before it closes the connection: `MaxAuthTries` of
/// sshd_config(5).
const MAX_TRIES: usize = 6;

/// A refusal before this is no news.
const NEWS: Duration = Duration::from_secs(24 * 3600);

pub(super) fn check(app: &App, checks: &mut Vec<Check>) {
    let socket = match Socket::default_path() {
        Ok(socket) => socket,
        Err(err) => {
            let detail = format!("{err}; it is set by a login, not by su or sudo");
            checks.push(Check::ok(AGENT, detail).fixed_by("tpmssh agent --socket PATH"));
            return;
        }
    };
    let agent = ssh_agent::find(&socket);
    let config = SshConfig::read();
    checks.push(of_agent(app, &socket, &agent));
    checks.push(of_auth_sock(&socket, &agent, config.as_ref().ok()));
    checks.push(match &config {
        Ok(config) => of_ssh(&socket, &agent, config),
        Err(why) => Check::warning(SSH, format!("ssh does not read it: {why}"))
            .fixed_by("correct that line; ssh -G server shows when it is right"),
    });
    checks.push(of_prompt(&agent));
    checks.push(of_log(&agent));
}

fn of_agent(app: &App, socket: &Path, agent: &Found) -> Check {
    let (status, by) = match agent {
        Found::Tpmssh { status, started_by } => (status, started_by),
        Found::Other { program, .. } => {
            let program = shown(program.as_deref().unwrap_or("another program"));
            let detail = format!("{program} listens at {}", socket.display());
            return Check::warning(AGENT, detail).fixed_by("end it, then: tpmssh agent --daemon");
        }
        Found::None {
            err: agent::Error::NotRunning { .. },
        } => {
            return Check::ok(AGENT, "none runs; it asks for a PIN once a session")
                .fixed_by("tpmssh agent install, or tpmssh agent --daemon");
        }
        Found::None { err } => return failed(err),
    };
    let again = match by {
        Starter::Unit(unit) => format!("systemctl --user restart {unit}"),
        Starter::Daemon | Starter::Hand => {
            format!("kill {}, then: tpmssh agent --daemon", status.pid)
        }
    };
    if status.replaced || status.version != env!("CARGO_PKG_VERSION") {
        let detail = format!("version {} runs, and not this program", status.version);
        return Check::warning(AGENT, detail).fixed_by(again);
    }
    if let Some(err) = &status.store_error {
        return Check::warning(AGENT, format!("it cannot read the store: {err}")).fixed_by(again);
    }
    let store = StoreDir::for_user().ok();
    if store.is_some_and(|store| store.path() != status.store) {
        let detail = format!("it serves another store, {}", status.store.display());
        return Check::warning(AGENT, detail).fixed_by(again);
    }
    let tcti = app.tpm_choice().map(|choice| choice.tcti.to_string());
    if tcti.is_ok_and(|tcti| tcti != status.tcti) {
        let detail = format!("it uses another TPM, {}", status.tcti);
        return Check::warning(AGENT, detail).fixed_by(again);
    }
    if status.locked {
        return Check::warning(AGENT, "locked by ssh-add -x: it offers no keys")
            .fixed_by("ssh-add -X");
    }
    let dead = status.proxies.iter().find(|proxy| !proxy.reachable);
    if let Some(proxy) = dead {
        let detail = format!(
            "the agent behind it does not answer: {}",
            proxy.socket.display()
        );
        return Check::warning(AGENT, detail)
            .fixed_by("start that agent, or take its --proxy or proxy away");
    }
    let keys = status.tokens.iter().map(|token| token.keys).sum();
    let by = match by {
        Starter::Unit(unit) => format!("by systemd ({unit})"),
        Starter::Daemon => "by tpmssh agent --daemon".into(),
        Starter::Hand => "by hand".into(),
    };
    let detail = format!(
        "process {}, started {by}, {}",
        status.pid,
        count(keys, "key")
    );
    Check::ok(AGENT, detail)
}

/// The errors of an agent are not to be cloned, and doctor keeps them.
fn failed(err: &agent::Error) -> Check {
    let fix = crate::fail::hint::for_agent(err);
    let check = Check::problem(AGENT, err.kind(), err.to_string());
    match fix {
        Some(fix) => check.fixed_by(fix),
        None => check,
    }
}

fn of_auth_sock(socket: &Path, agent: &Found, config: Option<&SshConfig>) -> Check {
    let runs = matches!(agent, Found::Tpmssh { .. });
    // ssh then asks nobody else.
    let is_named = config.is_some_and(|config| config.names(socket));
    let Some(path) = ssh_agent::auth_sock() else {
        let check = Check::ok(AUTH_SOCK, "not set");
        return match runs && !is_named {
            true => {
                Check::warning(AUTH_SOCK, "not set, so ssh does not find the agent").fixed_by(ENV)
            }
            false => check,
        };
    };
    let shown_path = path.display();
    if ssh_agent::is_same(&path, socket) {
        return match runs {
            true => Check::ok(AUTH_SOCK, "the agent of tpmssh"),
            false => Check::warning(AUTH_SOCK, format!("{shown_path}, where no agent listens"))
                .fixed_by("tpmssh agent install, or tpmssh agent --daemon"),
        };
    }
    let other = match ssh_agent::find(&path) {
        Found::Tpmssh { status, .. } => format!("another agent of tpmssh, process {}", status.pid),
        Found::Other { program, keys, .. } => {
            let keys = keys.map_or_else(|| "no agent".into(), |keys| count(keys, "key"));
            format!(
                "{}, {keys}",
                shown(program.as_deref().unwrap_or("another program"))
            )
        }
        Found::None { .. } => {
            let check = Check::warning(AUTH_SOCK, format!("{shown_path}, where no agent listens"));
            return check.fixed_by(if runs { ENV } else { "unset SSH_AUTH_SOCK" });
        }
    };
    let detail = format!("{other} at {shown_path}");
    match runs && !is_named {
        true => Check::warning(AUTH_SOCK, format!("{detail}, and not the agent of tpmssh"))
            .fixed_by(format!(
                "{ENV}; its keys stay with: tpmssh agent --proxy {}",
                quote(&path)
            )),
        false => Check::ok(AUTH_SOCK, detail),
    }
}

/// What `ssh -G` says that concerns keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct SshConfig {
    identity_agent: Option<String>,
    pkcs11_provider: Option<PathBuf>,
    identities_only: bool,
}

impl SshConfig {
    /// What holds for a server that no line names.
    fn read() -> Result<Self, String> {
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
    fn names(&self, socket: &Path) -> bool {
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

fn of_ssh(socket: &Path, agent: &Found, config: &SshConfig) -> Check {
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

fn of_prompt(agent: &Found) -> Check {
    let (way, whose) = match agent {
        Found::Tpmssh { status, .. } => (status.asks_with.clone(), "the agent asks"),
        _ => (
            Way::from_environment().map(|way| match way {
                Way::Askpass(program) | Way::Pinentry(program) | Way::Systemd(program) => program,
            }),
            "an agent would ask",
        ),
    };
    let Some(program) = way else {
        let detail = format!("{whose} nobody: neither SSH_ASKPASS nor pinentry can be used");
        let check = Check::ok(PROMPT, detail.clone());
        let needs_one = match agent {
            Found::Tpmssh { status, .. } => {
                let mut tokens = status.tokens.iter();
                tokens.any(|token| token.has_pin && !token.open)
            }
            _ => false,
        };
        let check = match needs_one {
            true => Check::warning(PROMPT, detail),
            false => check,
        };
        return check.fixed_by("tpmssh unlock, or start the agent with SSH_ASKPASS or GPG_TTY set");
    };
    let shown_program = program.display();
    match access(&program, Access::EXEC_OK) {
        Ok(()) => Check::ok(PROMPT, format!("{whose} with {shown_program}")),
        Err(err) => {
            let err = std::io::Error::from(err);
            Check::warning(PROMPT, format!("{whose} with {shown_program}: {err}"))
                .fixed_by("set SSH_ASKPASS to a program that is there, and start the agent again")
        }
    }
}

fn of_log(agent: &Found) -> Check {
    let path = match agent {
        Found::Tpmssh { status, .. } => match &status.log {
            Some(log) => log.clone(),
            None => return Check::ok(LOG, "none is kept (log = false)"),
        },
        _ => match agent_log() {
            Ok(path) => path,
            Err(err) => return Check::failed(LOG, err).only_a_warning(),
        },
    };
    match audit::read(&path) {
        Ok(records) => refused_last(&records, date::now()),
        Err(err) => Check::warning(LOG, format!("{}: {err}", path.display())),
    }
}

/// The last refusal, unless it is old or the same was done since.
fn refused_last(records: &[Record], now: u64) -> Check {
    // An unlock has no key, but the label of its token.
    let is_same = |one: &Record, other: &Record| {
        let of_same_token = one.key.is_some() || one.label == other.label;
        one.event == other.event && one.key == other.key && of_same_token
    };
    let recent = records.iter().enumerate().rev();
    let news = recent
        .take_while(|(_, record)| record.time.saturating_add(NEWS.as_secs()) > now)
        .find(|(at, record)| {
            let mut later = records[at + 1..].iter();
            !record.is_done() && !later.any(|later| later.is_done() && is_same(later, record))
        });
    let Some((_, record)) = news else {
        return Check::ok(
            LOG,
            "nothing was refused in the last day that was not done since",
        );
    };
    let label = record.label.as_deref().map(|label| format!(" \"{label}\""));
    let detail = format!(
        "refused last, {}: {}{}: {}",
        date::in_words(record.time),
        record.event,
        label.unwrap_or_default(),
        record.result
    );
    Check::warning(LOG, detail).fixed_by("tpmssh agent log -n 10")
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

    #[test]
    fn a_refusal_is_news_for_a_day_and_until_the_same_was_done() {
        let record = |time: u64, result: &str| -> Record {
            serde_json::from_value(serde_json::json!({
                "time": time, "event": "sign", "result": result, "key": "SHA256:a", "label": "one",
            }))
            .unwrap()
        };
        let said = |records: &[Record], now| {
            let said = refused_last(records, now).to_string();
            said.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let refused = record(1000, "cannot get the PIN");
        let one = said(std::slice::from_ref(&refused), 2000);
        assert!(
            one.starts_with("warning") && one.contains("sign \"one\""),
            "{one}"
        );
        assert!(said(std::slice::from_ref(&refused), 90_000).starts_with("ok "));
        assert!(said(&[refused.clone(), record(1001, "done")], 2000).starts_with("ok "));
        assert!(said(&[record(999, "done"), refused], 2000).starts_with("warning"));
        assert!(said(&[], 2000).starts_with("ok "));
        // Key b was refused and used since. That does not hide key a, which was refused before and not used.
        let other = |time, key: &str, result: &str| Record {
            key: Some(key.to_owned()),
            ..record(time, result)
        };
        let hidden = [
            other(1000, "SHA256:a", "cannot get the PIN"),
            other(1001, "SHA256:b", "cannot get the PIN"),
            other(1002, "SHA256:b", "done"),
        ];
        assert!(said(&hidden, 2000).starts_with("warning"));
        let unlock = |label: &str, result: &str| Record {
            key: None,
            label: Some(label.to_owned()),
            event: "unlock".to_owned(),
            ..record(1000, result)
        };
        let of_two = [unlock("one", "wrong PIN"), unlock("two", "done")];
        assert!(said(&of_two, 2000).starts_with("warning"));
        let of_one = [unlock("one", "wrong PIN"), unlock("one", "done")];
        assert!(said(&of_one, 2000).starts_with("ok "));
    }
}
