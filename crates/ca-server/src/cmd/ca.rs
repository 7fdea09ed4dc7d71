//! `tpmssh-ca ca`: the authority's own keys.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::Out;
use super::dir::Dir;
use crate::admin::{Question, ask};
use crate::files;
use crate::signer::sealed;

/// The longest file with a public key, in bytes.
const MAX_KEY: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum CaCommand {
    /// List the keys of all nodes
    List,
    /// Make two keys that the node has in its memory, sealed to the TPM of this machine
    ///
    /// For more signatures than a TPM makes. The keys are software keys: a copy of the disk cannot be used without this TPM, but root on this
    /// machine can copy the keys while the node serves. Then: tpmssh-ca init --sealed FILE.
    Seal {
        /// The file that is made: it has the sealed keys, and opens with no other TPM
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Publish a key before a node signs with it
    ///
    /// Machines trust it from their next renewal on. Then give it to a node: put it into policy.toml, and restart the node.
    Add {
        /// The public key that is to certify users
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "host",
            conflicts_with = "host"
        )]
        user: Option<PathBuf>,
        /// The public key that is to certify hosts
        #[arg(long, value_name = "FILE")]
        host: Option<PathBuf>,
    },
    /// Retire a key, for good
    ///
    /// It is no longer published, and is in the list of revoked keys: each certificate that it has signed is refused. For the key of a node
    /// that was lost or stolen, and at the end of a rotation.
    Retire {
        /// The number that the list shows
        number: i64,
        /// Also if this node signs with it, or it is the last one of its kind
        #[arg(long)]
        force: bool,
    },
}

pub(super) fn run(dir: &Dir, command: &CaCommand, out: &Out) -> anyhow::Result<()> {
    let socket = dir.socket();
    match command {
        CaCommand::List => {
            let value = ask(&socket, &Question::CaList {})?;
            out.done(&value, &table(&value))
        }
        CaCommand::Seal { out: file } => {
            let [user, host] = sealed::seal(file)?.map(|key| key.line(""));
            let shown = file.display();
            let said = format!(
                "{shown} has two keys, sealed to the TPM of this machine; while the node serves, they are in its memory\n\
                 next: tpmssh-ca init --sealed {shown}\n\
                 user-ca: {user}\n\
                 host-ca: {host}\n"
            );
            let value = json!({"file": file, "user_ca": user, "host_ca": host});
            out.done(&value, &said)
        }
        CaCommand::Add { user, host } => {
            let (kind, path) = match (user, host) {
                (Some(path), _) => ("user", path),
                (None, Some(path)) => ("host", path),
                (None, None) => anyhow::bail!("a key certifies users or hosts"),
            };
            let key = files::read(path, MAX_KEY)?;
            let kind = kind.to_owned();
            let value = ask(&socket, &Question::CaAdd { kind, key })
                .with_context(|| format!("the key in {} is not published", path.display()))?;
            let (id, kind) = (&value["id"], text(&value["kind"]));
            let said = format!(
                "key {id} for {kind}s is published: machines trust it after they have asked again\n"
            );
            out.done(&value, &said)
        }
        CaCommand::Retire { number, force } => {
            let question = Question::CaRetire {
                id: *number,
                force: *force,
            };
            let value = ask(&socket, &question)?;
            let kind = text(&value["kind"]);
            let listed = match value["krl_number"].as_u64() {
                Some(krl) => format!("list {krl} of revoked keys has key {number}"),
                None => format!(
                    "this node has no key any more, and the list of revoked keys comes from another one, or from this one with another key; it has key {number}"
                ),
            };
            let said = format!(
                "retired: {listed}\n\
                 every certificate of a {kind} that it has signed is refused from then on: they renew (tpmssh renew, tpmssh host renew --all)\n"
            );
            out.done(&value, &said)
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The keys in columns.
fn table(value: &Value) -> String {
    let head = ["key", "for", "state", "in", "node", "fingerprint"].map(str::to_owned);
    let mut rows = vec![head];
    for line in value["keys"].as_array().into_iter().flatten() {
        let word = |name: &str| match text(&line[name]) {
            "" => "-".to_owned(),
            word => word.to_owned(),
        };
        let own = if line["own"] == Value::Bool(true) {
            " (this node)"
        } else {
            ""
        };
        rows.push([
            line["id"].to_string(),
            format!("{}s", word("kind")),
            word("state"),
            word("custody"),
            word("node") + own,
            word("fingerprint"),
        ]);
    }
    super::columns(&rows)
}
