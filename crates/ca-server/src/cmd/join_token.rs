//! `tpmssh-ca join-token`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::Out;
use super::admin::text;
use super::dir::Dir;
use crate::admin::{Question, ask};
use crate::files;
use crate::policy::seconds;

/// The longest file of names, in bytes.
const MAX_NAMES: u64 = 4 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum JoinTokenCommand {
    /// Make a token that lets one machine or person in
    ///
    /// The first machine that shows the token gets the name: hand it over as you would a password.
    New {
        /// The role, as in the policy
        #[arg(long)]
        role: String,
        /// The name of the machine or person
        #[arg(long, required_unless_present = "names")]
        name: Option<String>,
        /// Make a token for each name in a file, one a line; NAME TOKEN is printed for each
        #[arg(long, value_name = "FILE", conflicts_with = "name")]
        names: Option<PathBuf>,
        /// How often it can be used, such as for several machines of one person
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        uses: u32,
        /// How long it can be used, at most 30d
        #[arg(long, value_name = "SPAN", default_value = "1d", value_parser = lifetime)]
        expires_in: u64,
    },
    /// List the tokens that can still be used, without what they are used by
    List,
    /// Withdraw a token
    ///
    /// Machines that have used it keep their certificates: see device revoke.
    Revoke {
        /// What the list shows as id
        id: String,
    },
}

fn lifetime(text: &str) -> Result<u64, String> {
    match seconds(text)? {
        60..=2_592_000 => seconds(text),
        _ => Err("a token can be used for 1m to 30d".to_owned()),
    }
}

pub(super) fn run(dir: &Dir, command: &JoinTokenCommand, out: &Out) -> anyhow::Result<()> {
    let socket = dir.socket();
    match command {
        JoinTokenCommand::New {
            role,
            name,
            names,
            uses,
            expires_in,
        } => {
            let question = Question::JoinToken {
                role: role.clone(),
                names: match names {
                    Some(file) => read_names(&files::read(file, MAX_NAMES)?),
                    None => name.iter().cloned().collect(),
                },
                lifetime: *expires_in,
                uses: *uses,
            };
            let made = ask(&socket, &question)?;
            let all = made.as_array().map_or(&[][..], Vec::as_slice);
            match (names, all) {
                (None, [one]) => out.done(one, &format!("{}\n", text(&one["token"]))),
                _ => {
                    let line =
                        |it: &Value| format!("{} {}\n", text(&it["name"]), text(&it["token"]));
                    out.done(&made, &all.iter().map(line).collect::<String>())
                }
            }
        }
        JoinTokenCommand::List => {
            let tokens = ask(&socket, &Question::JoinTokens {})?;
            out.done(&tokens, &table(&tokens))
        }
        JoinTokenCommand::Revoke { id } => {
            let question = Question::WithdrawJoinToken { id: id.clone() };
            let value = ask(&socket, &question)?;
            out.done(
                &value,
                &format!("join token {id} lets nobody in any more\n"),
            )
        }
    }
}

/// The names in a file, one a line. Empty lines and comments are skipped.
fn read_names(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let names = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.map(str::to_owned).collect()
}

fn table(value: &Value) -> String {
    let mut rows = vec![["id", "role", "name", "uses left", "until", "made by"].map(str::to_owned)];
    for line in value.as_array().into_iter().flatten() {
        let until = line["expires"].as_u64().unwrap_or(0);
        rows.push([
            text(&line["id"]).to_owned(),
            text(&line["role"]).to_owned(),
            text(&line["name"]).to_owned(),
            line["uses_left"].to_string(),
            ssh_format::time::in_words(until),
            text(&line["by"]).to_owned(),
        ]);
    }
    super::columns(&rows)
}
