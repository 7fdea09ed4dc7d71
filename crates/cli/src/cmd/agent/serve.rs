//! `tpmssh agent`: the server itself.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use agent::broker::{Broker, Way};
use agent::public_files::PublicFiles;
use agent::{Options, Policy, Socket};
use token_store::StoreDir;

use super::daemon;
use super::shell::ShellArgs;
use crate::app::{App, agent_log};
use crate::fail::error::Error;
use crate::machine::logger;
use crate::options::SocketArgs;
use crate::show::output::tell;

pub(super) const CONFIGURATION: &str = "\
Configuration (~/.config/tpmssh/config.toml):
  [agent]
  pin = \"8h\"            how long a PIN is kept: until-locked (the default), a time, never
                        (asked for at each use), or confirm (until-locked, and each use is
                        to be confirmed)
  proxy = [\"/a/socket\"] other agents, as --proxy
  notify = true         show on the desktop when a key was used
  log = true            keep a log of what keys were used for: see tpmssh agent log
  sha1 = true           also sign with SHA-1, for old programs with RSA keys
  [agent.pins]
  \"work\" = \"never\"     the same as pin, for one token";

/// How long a person may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// Forward requests for other keys to the agent at SOCKET; may be repeated
    #[arg(long, value_name = "SOCKET")]
    proxy: Vec<PathBuf>,
    /// Never ask for a PIN; take PINs from `tpmssh unlock` only
    #[arg(long)]
    no_ask: bool,
    /// Log more
    #[arg(long, short, conflicts_with = "daemon")]
    verbose: bool,
    /// Run in the background, and print the line for the shell, as ssh-agent does
    ///
    /// If an agent listens already, only the line that finds it is printed. So
    /// eval "$(tpmssh agent --daemon)" can stand in ~/.profile.
    #[arg(long)]
    daemon: bool,
    /// Run in a session of its own, as --daemon starts it
    #[arg(long, hide = true, conflicts_with = "daemon")]
    detached: bool,
    #[command(flatten)]
    shell: ShellArgs,
}

impl ServeArgs {
    /// The options for an agent in the background.
    fn for_daemon(&self) -> Vec<String> {
        let mut options = Vec::new();
        for proxy in &self.proxy {
            // The agent is in another directory.
            let proxy = std::path::absolute(proxy).unwrap_or_else(|_| proxy.clone());
            options.push(format!("--proxy={}", proxy.display()));
        }
        if self.no_ask {
            options.push("--no-ask".to_owned());
        }
        options
    }
}

pub(super) fn run(app: &App, args: &ServeArgs) -> anyhow::Result<()> {
    if args.daemon {
        let mut options = args.for_daemon();
        options.extend(app.global_options());
        return daemon::start(&args.socket.path()?, args.shell.get(), &options);
    }
    agent::harden::files()?;
    if args.detached {
        daemon::detach()?;
    }
    logger::start(args.verbose);
    let configured = &app.config.agent;
    let mut token_policies = HashMap::new();
    for (token, pin) in &configured.pins {
        token_policies.insert(token.clone(), policy(&format!("agent.pins.{token}"), pin)?);
    }
    let mut upstreams = args.proxy.clone();
    upstreams.extend(configured.proxy.iter().cloned());
    let way = match args.no_ask {
        true => None,
        false => Way::from_environment(),
    };
    let store = StoreDir::for_user()?;
    let options = Options {
        tpm: app.tpm()?,
        // A service of the machine has no home, and so no files of public keys.
        public_files: PublicFiles::of_store(store.path()).unwrap_or_default(),
        store,
        token: app.token_name().map(str::to_owned),
        policy: match &configured.pin {
            Some(pin) => policy("agent.pin", pin)?,
            None => Policy::UntilLocked,
        },
        token_policies,
        broker: Broker::new(way, PATIENCE),
        upstreams,
        audit: match configured.log {
            Some(false) => None,
            _ => Some(agent_log()?),
        },
        notify: configured.notify == Some(true),
        sha1: configured.sha1 == Some(true),
    };
    agent::harden::server();
    let passed = match args.socket.is_given() {
        true => None,
        false => Socket::inherited()?,
    };
    let socket = match passed {
        Some(socket) => socket,
        None => Socket::claim(&args.socket.path()?)?,
    };
    let silence = args.detached.then(daemon::silence).transpose()?;
    if io::stdin().is_terminal() && socket.dir().is_some() {
        let path = args.socket.path()?;
        tell(&format!(
            "tpmssh: listening at {}; in another shell: eval \"$(tpmssh agent env)\"; Ctrl-C ends it",
            path.display()
        ));
    }
    agent::harden::confine(&options.writable(socket.dir()));
    Ok(agent::serve(socket, options, || {
        if let Some(silence) = &silence {
            daemon::fall_silent(silence);
        }
    })?)
}

fn policy(key: &str, text: &str) -> Result<Policy, Error> {
    text.parse().map_err(|why| Error::BadPolicy {
        key: key.to_owned(),
        why,
    })
}
