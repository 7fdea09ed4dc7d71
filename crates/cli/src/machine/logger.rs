//! The log of a program that runs for long: lines on stderr, which systemd puts into the journal.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::show::output::{escape, tell};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info | Level::Debug | Level::Trace => "note",
        };
        tell(&format!(
            "tpmssh: {level}: {}",
            escape(&record.args().to_string())
        ));
    }

    fn flush(&self) {}
}

/// Shows warnings and what is worse; with `verbose` everything.
pub(crate) fn start(verbose: bool) {
    // There can be one in a process; a second one would change nothing.
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(if verbose {
            LevelFilter::Debug
        } else {
            LevelFilter::Warn
        });
    }
}
