//! What `tpmssh setup` offers beside the key: the agent, and signatures of git.

use std::path::Path;

use serde::Serialize;
use ssh_format::text::shown;

use crate::app::App;
use crate::ask::confirm;
use crate::cmd::{agent, git};
use crate::fail::error::Error;
use crate::files::changes::Changes;
use crate::keys::Key;
use crate::show::output::{error_line, tell};
use crate::show::path::quote_text;

/// The answers that are given beforehand.
#[derive(Debug, clap::Args)]
pub(super) struct OfferArgs {
    /// Install the agent without asking, as tpmssh agent install does
    #[arg(long)]
    agent: bool,

    /// Have git sign with the key without asking, as tpmssh git setup --global does
    #[arg(long)]
    git: bool,
}

/// The result of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// It was done now.
    Done,
    /// It was like that before.
    There,
    /// The person does not want it.
    Declined,
    /// Nobody could be asked.
    NotAsked,
    /// It cannot be done here, or would replace what somebody else set.
    Impossible,
    /// It was tried.
    Failed,
}

/// The results of the offers.
#[derive(Debug, Serialize)]
pub(super) struct Offered {
    agent: State,
    git: State,
}

impl OfferArgs {
    /// Makes the offers and carries out what is wanted. The key is there already, so that a failure
    /// does not keep the caller from showing it. `yes` is the answer to each question.
    pub(super) fn make(&self, app: &App, key: &Key, yes: bool) -> (Offered, Option<anyhow::Error>) {
        let (agent, agent_failure) = ended(
            self.agent(yes)
                .map_err(|err| err.context("the key is there, but the agent is not installed")),
        );
        let (git, git_failure) = ended(
            self.git(app, key, yes)
                .map_err(|err| err.context("the key is there, but git is not set up")),
        );
        if let (Some(_), Some(second)) = (&agent_failure, &git_failure) {
            tell(&format!("tpmssh: {}", error_line(second)));
        }
        (Offered { agent, git }, agent_failure.or(git_failure))
    }

    fn agent(&self, yes: bool) -> anyhow::Result<State> {
        if agent::is_installed() {
            return Ok(State::There);
        }
        if !self.agent && !agent::manager_answers() {
            return Ok(State::Impossible);
        }
        let question = "Install the agent, which asks for the PIN once a session?";
        let state = answer(self.agent || yes, question)?;
        if state == State::Done {
            agent::install(&mut Changes::unseen(), false)?;
            tell("Agent: installed (tpmssh agent uninstall undoes it)");
        }
        Ok(state)
    }

    fn git(&self, app: &App, key: &Key, yes: bool) -> anyhow::Result<State> {
        match git::signing_of_user() {
            git::Signing::Ours if !self.git => return Ok(State::There),
            git::Signing::Other if !self.git => return Ok(State::Impossible),
            git::Signing::NoGit if !self.git => return Ok(State::Impossible),
            _ => {}
        }
        let question = "Have git commit -S sign with the key, in all repositories?";
        let state = answer(self.git || yes, question)?;
        if state == State::Done {
            git::set_up_for_user(app, &key.fingerprint)?;
            let label = shown(&key.label);
            tell(&format!(
                "Git: signs with \"{label}\" (tpmssh git setup --global --unset undoes it)"
            ));
        }
        Ok(state)
    }
}

/// Asks the question. Returns [`State::Done`] if the answer is yes.
fn answer(yes: bool, question: &str) -> anyhow::Result<State> {
    if yes {
        return Ok(State::Done);
    }
    match confirm::ask(question) {
        Ok(true) => Ok(State::Done),
        Ok(false) => Ok(State::Declined),
        Err(Error::NeedsYes) => Ok(State::NotAsked),
        Err(err) => Err(err.into()),
    }
}

fn ended(result: anyhow::Result<State>) -> (State, Option<anyhow::Error>) {
    match result {
        Ok(state) => (state, None),
        Err(err) => (State::Failed, Some(err)),
    }
}

impl Offered {
    /// Says what was not done and why, and what to do next.
    pub(super) fn tell_next(&self, module: Option<&Path>, key: &Key, is_only_key: bool) {
        let not_done = [
            match self.agent {
                State::NotAsked => Some("the agent is not installed; --agent or -y installs it"),
                State::Impossible => {
                    Some("the agent is not installed: systemd does not run for this user")
                }
                _ => None,
            },
            match self.git {
                State::NotAsked => Some("git is not set up; --git or -y sets it up"),
                State::Impossible => {
                    Some("git is not set up: it is not installed, or signs with something else")
                }
                _ => None,
            },
        ];
        for what in not_done.into_iter().flatten() {
            tell(&format!("Not done: {what}"));
        }
        tell("Next:");
        for (number, step) in (1..).zip(self.steps(module, key, is_only_key)) {
            tell(&format!("  {number}. {step}"));
        }
        tell("If something does not work: tpmssh doctor");
    }

    fn steps(&self, module: Option<&Path>, key: &Key, is_only_key: bool) -> Vec<String> {
        let named = match is_only_key {
            true => String::new(),
            false => format!(" -k {}", quote_text(&key.fingerprint)),
        };
        let mut steps = vec![
            format!("Let the key in on a server:\n       tpmssh copy-id{named} HOST"),
            format!(
                "Have that server get this key alone, by lines for ~/.ssh/config:\n       \
                 tpmssh ssh-config{named} HOST"
            ),
            self.login(module),
        ];
        match self.git {
            State::Done | State::There => steps.push("Sign a commit: git commit -S".into()),
            _ => steps.push("Sign commits with the key: tpmssh git setup".into()),
        }
        steps
    }

    fn login(&self, module: Option<&Path>) -> String {
        let module = module.unwrap_or(Path::new("libtpmssh_pkcs11.so")).display();
        match self.agent {
            State::Done | State::There => "\
Log in; the agent asks for the PIN once a session:
       eval \"$(tpmssh agent env)\"    in this shell; new graphical sessions need no line
       ssh HOST
       tpmssh agent status            what the agent holds
     Logins on a console and by ssh find the agent after:
       tpmssh agent install --profile"
                .to_owned(),
            state => {
                let start = match state {
                    State::Impossible => "eval \"$(tpmssh agent --daemon)\"",
                    _ => "tpmssh agent install",
                };
                format!(
                    "\
Log in by the agent, which asks for the PIN once a session:
       {start}
       tpmssh agent status
     or by the module, for one login or always by a line in ~/.ssh/config:
       ssh -I {module} HOST
       PKCS11Provider {module}"
                )
            }
        }
    }
}
