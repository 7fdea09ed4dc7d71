//! `tpmssh host status`: which host keys are in the TPM, and whether sshd uses them.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use token_store::{Store, StoreDir};

use super::check::is_set_up;
use super::place::MachineArgs;
use super::server_keys;
use crate::app::App;
use crate::keys::signing;
use crate::show::table::Table;

/// Show the host keys of this machine, in the TPM and in files
///
/// It reads the configuration and asks neither the TPM nor the server: tpmssh host check does.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
}

pub(super) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let machine = &args.machine;
    let mut report = Report(Vec::new());
    match Store::open(&StoreDir::at(&machine.store)?) {
        Err(token_store::Error::NoStore { .. }) => {}
        store => {
            for key in signing::all(app, &store?)? {
                report.0.push(Row {
                    place: "TPM",
                    key_type: key.public.algorithm().to_owned(),
                    fingerprint: Some(key.shown.fingerprint.clone()),
                    file: Some(machine.public(key.key.key_type())).filter(|path| path.exists()),
                    in_use: machine.drop_in().exists() && is_set_up(machine, &key),
                });
            }
        }
    }
    let listed = server_keys::listed(machine);
    let named = !listed.is_empty() || machine.drop_in().exists();
    for key in if named {
        listed
    } else {
        server_keys::in_use(machine)
    } {
        let public = key.public.as_ref();
        report.0.push(Row {
            place: "file",
            key_type: public.map_or_else(|| "unknown".into(), |it| it.algorithm().to_owned()),
            fingerprint: public.map(|it| it.fingerprint().to_string()),
            file: Some(key.path),
            in_use: true,
        });
    }
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
struct Row {
    place: &'static str,
    #[serde(rename = "type")]
    key_type: String,
    fingerprint: Option<String>,
    file: Option<PathBuf>,
    /// Whether sshd's configuration names it.
    in_use: bool,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Row>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["PLACE", "TYPE", "USED BY SSHD", "FINGERPRINT", "FILE"]);
        for row in &self.0 {
            let file = row.file.as_ref().map(|file| file.display().to_string());
            table.row([
                row.place,
                &row.key_type,
                if row.in_use { "yes" } else { "no" },
                row.fingerprint.as_deref().unwrap_or("unknown"),
                file.as_deref().unwrap_or(""),
            ]);
        }
        table.fmt(f)
    }
}
