//! `tpmssh simulator`: a TPM to try things out with.

use std::fmt;

use serde::Serialize;
use token_store::Config;

use crate::app::App;
use crate::machine::simulator::{Running, Simulator};
use crate::show::output::{escape, tell};

/// Run a simulated TPM, to try things out without a real one.
///
/// A simulated TPM is a program (swtpm) that keeps its secrets in files: it protects nothing.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Start(StartArgs),
    Stop(StopArgs),
    Status(StatusArgs),
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Start(args) => start(app, args),
        Command::Stop(args) => stop(app, args),
        Command::Status(args) => status(app, args),
    }
}

/// Start the simulated TPM, and let later commands use it
#[derive(Debug, clap::Args)]
pub(crate) struct StartArgs {}

/// Stop the simulated TPM; its state is kept
#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {}

/// Say whether the simulated TPM runs
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {}

fn start(app: &App, _args: &StartArgs) -> anyhow::Result<()> {
    let simulator = Simulator::for_user()?;
    let running = app.start_simulator(&simulator)?;
    app.out.print(&Report::new(&simulator, Some(&running)))
}

fn stop(app: &App, _args: &StopArgs) -> anyhow::Result<()> {
    let simulator = Simulator::for_user()?;
    let ran = simulator.stop()?;
    Config::set_simulator(None)?;
    if !ran && !app.out.is_json() {
        tell("tpmssh: the simulated TPM was not running");
        return Ok(());
    }
    app.out.print(&Report::new(&simulator, None))
}

fn status(app: &App, _args: &StatusArgs) -> anyhow::Result<()> {
    let simulator = Simulator::for_user()?;
    let running = simulator.running()?;
    app.out.print(&Report::new(&simulator, running.as_ref()))
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
            tcti: running.map(|running| running.tcti().to_string()),
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
