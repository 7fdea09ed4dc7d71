//! The contestants: child processes that repeat one action and time it.
//!
//! Each has its own environment and shares nothing with the others. The parent writes a number to
//! the child's standard input. The child does its action so many times, and answers with a line:
//! the nanoseconds that it took.

mod agent;
mod floor;
mod library;
mod module;
mod raw;
mod scale;

use std::{
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The role of a child process.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// Raw TPM2_Sign commands, recorded before.
    Floor {
        tcti: String,
        context: PathBuf,
        sign: PathBuf,
    },
    /// The library token-store.
    Library {
        tcti: String,
        store: PathBuf,
        pin_file: PathBuf,
        label: String,
    },
    /// C_Sign of a PKCS#11 module.
    Module {
        module: PathBuf,
        pin_file: PathBuf,
        label: String,
    },
    /// An ssh-agent at SSH_AUTH_SOCK.
    Agent { label: String },
    /// A PKCS#11 module with many objects: prints one JSON object and ends.
    Scale {
        module: PathBuf,
        pin_file: PathBuf,
        label: String,
    },
}

impl Role {
    /// Plays the role until the parent closes the pipe.
    ///
    /// # Errors
    ///
    /// If the role cannot be played, such as without its module or agent.
    pub(crate) fn play(self) -> Result<()> {
        match self {
            Self::Floor {
                tcti,
                context,
                sign,
            } => {
                let mut floor = floor::Floor::open(&tcti, &context, &sign)?;
                serve(move |count| floor.time(count))
            }
            Self::Library {
                tcti,
                store,
                pin_file,
                label,
            } => {
                let signer = library::Signer::open(&tcti, &store, &pin_file, &label)?;
                serve(repeated(move || signer.sign()))
            }
            Self::Module {
                module,
                pin_file,
                label,
            } => {
                let signer = module::Signer::open(&module, &pin_file, &label)?;
                serve(repeated(move || signer.sign()))
            }
            Self::Agent { label } => {
                let mut signer = agent::Signer::open(&label)?;
                serve(repeated(move || signer.sign()))
            }
            Self::Scale {
                module,
                pin_file,
                label,
            } => scale::run(&module, &pin_file, &label),
        }
    }
}

pub(crate) use agent::{Clients, ask_all};
pub(crate) use floor::record;
pub(crate) use scale::{Scale, memory};

/// Times the whole of `count` calls.
fn repeated(mut once: impl FnMut() -> Result<()>) -> impl FnMut(u32) -> Result<Duration> {
    move |count| {
        let start = Instant::now();
        for _ in 0..count {
            once()?;
        }
        Ok(start.elapsed())
    }
}

/// Answers the parent.
fn serve(mut time: impl FnMut(u32) -> Result<Duration>) -> Result<()> {
    for line in io::stdin().lines() {
        let count = line?.parse().context("not a number of rounds")?;
        println!("{}", time(count)?.as_nanos());
        io::stdout().flush()?;
    }
    Ok(())
}

/// A child process, seen from the parent. Dropping it ends it.
pub(crate) struct Contestant {
    name: String,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Contestant {
    /// Starts a child; its error messages go to standard error.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let orders = child.stdin.take();
        let answers = child.stdout.take().context("it has an output")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            orders,
            answers: BufReader::new(answers),
        })
    }

    /// Has the child do its action `count` times; returns the milliseconds of one.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub(crate) fn time(&mut self, count: u32) -> Result<f64> {
        let orders = self.orders.as_mut().context("it takes orders")?;
        let sent = writeln!(orders, "{count}").and_then(|()| orders.flush());
        let mut line = String::new();
        if sent.is_err() || self.answers.read_line(&mut line)? == 0 {
            bail!("{} failed", self.name);
        }
        let nanos: u64 = line.trim().parse().context("not a number of nanoseconds")?;
        Ok(nanos as f64 / 1e6 / f64::from(count))
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        self.orders = None;
        // The child ends by itself when the pipe is closed.
        let _ = self.child.wait();
    }
}
