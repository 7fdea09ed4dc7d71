//! The commands that are sent to a running node.

use std::path::PathBuf;

use base64ct::{Base64, Encoding};
use clap::Subcommand;
use serde_json::Value;

use super::dir::Dir;
use super::{Out, expected};
use crate::admin::{Question, ask};
use crate::files;

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// List machines, their names, and until when their certificates are good
    List,
    /// Let a machine that waits have certificates
    ///
    /// Compare the key that the list shows with that of the machine. If the machine has another key in this role,
    /// that one gets no more certificates.
    Approve {
        /// The number that the list shows as pending
        number: i64,
    },
    /// Revoke a machine, for good
    ///
    /// It gets no more certificates from now on, and its keys are in the list of revoked keys.
    Revoke {
        /// The number that the list shows as device
        number: i64,
        /// Why, for the registry and the audit log
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Expect the machines in a file: all of them or none
    ///
    /// One JSON object a line, as tpmssh ek export --role ROLE --name NAME prints it: {"ek_name": "000b…", "role": "host",
    /// "name": "web1.example.com"}. Or CSV without quotation marks, with the names of the columns (ek_name, name or hostname, role) in its first line.
    /// The column ek_certificate, in the place of ek_name, has files with the makers' certificates, from the directory of the list on.
    ///
    /// One machine by its maker's certificate: --ek-certificate FILE --role ROLE --name NAME.
    Import(expected::Args),
}

#[derive(Debug, Subcommand)]
pub(super) enum KrlCommand {
    /// Write the list of revoked keys as it is now, and its signature beside it (FILE.sig)
    Publish {
        /// Where to write it
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

pub(super) fn device(dir: &Dir, command: &DeviceCommand, out: &Out) -> anyhow::Result<()> {
    let socket = dir.socket();
    match command {
        DeviceCommand::List => {
            let value = ask(&socket, &Question::Devices {})?;
            out.done(&value, &table(&value))
        }
        DeviceCommand::Approve { number } => {
            let value = ask(&socket, &Question::Approve { pending: *number })?;
            let key = text(&value["key"]);
            let said =
                format!("approved: {key} gets its certificate when the machine asks again\n");
            out.done(&value, &said)
        }
        DeviceCommand::Revoke { number, reason } => {
            let question = Question::Revoke {
                device: *number,
                reason: reason.clone(),
            };
            let value = ask(&socket, &question)?;
            let krl = &value["krl_number"];
            let said =
                format!("revoked: list {krl} of revoked keys has the keys of device {number}\n");
            out.done(&value, &said)
        }
        DeviceCommand::Import(args) => {
            let question = Question::Import {
                devices: args.devices()?,
            };
            let value = ask(&socket, &question)?;
            let said = format!("{} machines are expected\n", value["imported"]);
            out.done(&value, &said)
        }
    }
}

pub(super) fn krl(dir: &Dir, command: &KrlCommand, out: &Out) -> anyhow::Result<()> {
    let KrlCommand::Publish { output } = command;
    let value = ask(&dir.socket(), &Question::Krl {})?;
    let bytes = Base64::decode_vec(text(&value["krl"]))
        .map_err(|_| anyhow::anyhow!("the node's answer is damaged"))?;
    let mut signature = output.clone().into_os_string();
    signature.push(".sig");
    files::replace(
        &PathBuf::from(signature),
        0o644,
        text(&value["signature"]).as_bytes(),
    )?;
    files::replace(output, 0o644, &bytes)?;
    let said = format!("list {} is in {}\n", value["number"], output.display());
    out.done(&value, &said)
}

pub(super) fn reload(dir: &Dir, out: &Out) -> anyhow::Result<()> {
    let value = ask(&dir.socket(), &Question::PolicyReload {})?;
    let digest = text(&value["sha256"]);
    let said = format!("the policy with the SHA-256 {digest} is in force\n");
    out.done(&value, &said)
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The devices in columns.
fn table(value: &Value) -> String {
    let mut rows = vec![
        [
            "device",
            "role",
            "name",
            "state",
            "pending",
            "valid until",
            "TPM",
            "key that waits",
        ]
        .map(str::to_owned),
    ];
    for line in value.as_array().into_iter().flatten() {
        let number = |name: &str| {
            line[name]
                .as_u64()
                .map_or_else(|| "-".to_owned(), |n| n.to_string())
        };
        let until = line["valid_until"].as_u64();
        let word = |name: &str| match text(&line[name]) {
            "" => "-".to_owned(),
            word => word.to_owned(),
        };
        let ek = text(&line["ek_name"]);
        rows.push([
            number("device"),
            word("role"),
            word("name"),
            word("state"),
            number("pending"),
            until.map_or_else(|| "-".to_owned(), ssh_format::time::in_words),
            ek.get(ek.len().saturating_sub(16)..)
                .unwrap_or(ek)
                .to_owned(),
            word("pending_key"),
        ]);
    }
    super::columns(&rows)
}
