//! `cargo xtask demo`: tpmssh at work, from an empty TPM to an ssh login.
//!
//! Real programs (OpenSSH, OpenSC) use the module that was just built, in a temporary home with a
//! private simulated TPM, SSH server and agent. Each command is shown with its output, and its
//! result is checked.

mod interrupt;
mod keys;
mod login;
mod proof;
mod show;
mod stage;
mod thief;
mod token;

use anyhow::{Result, bail};

use crate::artifacts::{self, Artifacts};
use crate::packages;

use self::{show::Show, stage::Stage};

/// The text of the last line of the demo, and of no other line.
pub(crate) const ALL_PASSED: &str = "steps passed";

/// Builds tpmssh and shows it. Nothing is left behind, however it ends.
///
/// # Errors
///
/// The error of the first step that fails, with its number and title.
pub(crate) fn run() -> Result<()> {
    packages::install_missing(packages::For::Demo)?;
    show(artifacts::build()?)
}

/// The same with the programs that are built already, on a machine that need not be able to build.
///
/// # Errors
///
/// As for [`run`], or if nothing is built.
pub(crate) fn run_built() -> Result<()> {
    show(artifacts::built()?)
}

fn show(artifacts: Artifacts) -> Result<()> {
    interrupt::watch()?;

    let mut show = Show::default();
    let stage = Stage::set(artifacts);
    let traces = stage.traces();
    let outcome = perform(&mut show, &stage);
    drop(stage);
    outcome.map_err(|err| err.context(show.whereabouts()))?;
    if let Some(left) = traces.into_iter().find(|path| path.exists()) {
        bail!("the demo left {} behind", left.display());
    }
    println!(
        "\ndemo: all {} {ALL_PASSED}: keys made in a TPM logged in over ssh, by ssh -I, a \
         configuration file, ssh-agent, and a certificate for a proof; a wrong PIN, a copied store and a key of \
         software did not",
        show.steps()
    );
    Ok(())
}

/// The steps, in the order in which a newcomer would take them.
fn perform(show: &mut Show, stage: &Stage) -> Result<()> {
    show.environment(
        "\nAll of the following runs in this environment:",
        &stage.home,
    );
    token::look_at_the_tpm(show, stage)?;
    token::make_a_token(show, stage)?;
    keys::make_keys(show, stage)?;
    keys::make_a_key_with_pkcs11_tool(show, stage)?;
    keys::authorize_the_keys(show, stage)?;
    login::by_ssh(show, stage)?;
    login::by_configuration(show, stage)?;
    login::by_agent(show, stage)?;
    login::with_one_key(show, stage)?;
    token::give_a_wrong_pin(show, stage)?;
    thief::copy_the_store(show, stage)?;
    proof::make_an_authority(show, stage)?;
    proof::prove_and_log_in(show, stage)?;
    proof::refuse_a_software_key(show, stage)
}
