//! `tpmssh cert remove`: keep a certificate no longer.

use crate::app::App;
use crate::certificates;

/// Remove a certificate; its key stays
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The number or key id of the certificate
    certificate: String,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let kept = certificates::find(certificates::all(app)?, &args.certificate)?;
    app.store()?.remove_ssh_certificate(kept.id)?;
    app.out.done(&format!("{} is removed", kept.title()))
}
