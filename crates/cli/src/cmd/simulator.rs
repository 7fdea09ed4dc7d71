//! `tpmssh simulator`: a TPM to try things out with.

use std::fmt;

use serde::Serialize;
use token_store::Config;
use tpm_core::Tcti;

use crate::app::App;
use crate::machine::simulator::{Running, Simulator};
use crate::show::output::{escape, tell};

/// Start the simulated TPM, and let later commands use it
#[derive(Debug, clap::Args)]
pub(crate) struct StartArgs {}

/// Stop the simulated TPM; its state is kept
#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {}

/// Say whether the simulated TPM runs
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {}

pub(crate) fn start(app: &App, _args: &StartArgs) -> anyhow::Result<()> {
    let simulator = Simulator::for_user()?;
    let running = start_and_configure(app, &simulator)?;
    app.out.print(&Report::new(&simulator, Some(&running)))
}

/// Starts the simulator and has the configuration file name it.
///
/// # Errors
///
/// If swtpm does not start, or the configuration file cannot be written.
pub(crate) fn start_and_configure(app: &App, simulator: &Simulator) -> anyhow::Result<Running> {
    let running = simulator.start(preferred_port(app))?;
    let tcti = tcti(&running);
    if !Config::set_simulator(Some(&tcti))? {
        tell(&format!(
            "tpmssh: the configuration names another TPM and stays as it is; use --tcti {tcti}"
        ));
    }
    tell("tpmssh: the simulated TPM protects nothing; it is for trying things out");
    Ok(running)
}

pub(crate) fn stop(app: &App, _args: &StopArgs) -> anyhow::Result<()> {
    let simulator = Simulator::for_user()?;
    let ran = simulator.stop()?;
    Config::set_simulator(None)?;
    if !ran {
        tell("tpmssh: the simulated TPM was not running");
    }
    app.out.print(&Report::new(&simulator, None))
}

pub(crate) fn status(app: &App, _args: &StatusArgs) -> anyhow::Result<()> {
    let simulator = Simulator::for_user()?;
    let running = simulator.running()?;
    app.out.print(&Report::new(&simulator, running.as_ref()))
}

/// The port that earlier commands were told, so that they find the simulator again.
fn preferred_port(app: &App) -> Option<u16> {
    match app.config.tcti.as_deref()?.parse() {
        Ok(Tcti::Swtpm { port, .. }) => Some(port),
        _ => None,
    }
}

fn tcti(running: &Running) -> Tcti {
    Tcti::Swtpm {
        host: std::net::Ipv4Addr::LOCALHOST.into(),
        port: running.port,
    }
}

#[derive(Debug, Serialize)]
struct Report {
    running: bool,
    tcti: Option<String>,
    pid: Option<i32>,
    directory: String,
}

impl Report {
    fn new(simulator: &Simulator, running: Option<&Running>) -> Self {
        Self {
            running: running.is_some(),
            tcti: running.map(|running| tcti(running).to_string()),
            pid: running.map(|running| running.pid),
            directory: simulator.dir().display().to_string(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.tcti, self.pid) {
            (Some(tcti), Some(pid)) => writeln!(f, "running as process {pid} at {tcti}"),
            _ => writeln!(f, "stopped; its state is in {}", escape(&self.directory)),
        }
    }
}
