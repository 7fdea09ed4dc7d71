//! This session: its agents, ssh's configuration, and how a PIN is asked for.

mod log;
mod ssh_config;

use std::path::Path;

use agent::Socket;
use agent::broker::Way;
use rustix::fs::{Access, access};
use ssh_format::text::shown;
use token_store::StoreDir;

use self::log::of_log;
use self::ssh_config::{SshConfig, of_ssh};
use super::check::Check;
use crate::app::App;
use crate::machine::ssh_agent::{self, Found, Starter};
use crate::show::path::quote;
use crate::show::words::count;

const AGENT: &str = "agent";
const AUTH_SOCK: &str = "SSH_AUTH_SOCK";
const PROMPT: &str = "PIN prompt";

/// How a shell finds the agent.
const ENV: &str = "eval \"$(tpmssh agent env)\"";

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
    checks.push(of_ssh(&socket, &agent, config.as_ref()));
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

/// As [`Check::failed`], for an error of the agent that is only borrowed: it cannot be cloned.
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
