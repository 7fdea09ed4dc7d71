//! `tpmssh cert remove`: remove a certificate from the store.

use crate::app::App;
use crate::certificates;
use crate::keys::public_files;

/// Remove a certificate; its key stays
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The number or key id of the certificate
    certificate: String,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let kept = certificates::find(certificates::all(app)?, &args.certificate)?;
    let mut store = app.store()?;
    store.remove_ssh_certificate(kept.id)?;
    public_files::update(&store);
    app.out.done(&format!("{} is removed", kept.title()))
}
