//! The figures of a run, as they are kept in JSON (docs/performance.md describes it).

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::stats::Summary;

/// The version of the JSON.
const SCHEMA: u32 = 1;

/// The result of a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The promise.
    pub(crate) promise: String,
    /// The most that it may be.
    pub(crate) limit: f64,
    /// The figure; `None` if it was not measured, which is a miss.
    pub(crate) value: Option<f64>,
    pub(crate) met: bool,
}

/// All figures of one run, and where they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    schema: u32,
    /// When the run began, UTC.
    pub(crate) date: String,
    /// The command that repeats it.
    pub(crate) command: String,
    /// Processor, cores, load before the run.
    pub(crate) machine: BTreeMap<String, String>,
    /// Of tpmssh and of the programs beside it.
    pub(crate) versions: BTreeMap<String, String>,
    /// In the order in which they were taken.
    pub(crate) figures: Vec<Figure>,
    /// The results of the budgets.
    pub(crate) budgets: Vec<Verdict>,
}

/// One thing that one contestant did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) group: Group,
    /// The action, such as `P-256, managed`.
    pub(crate) what: String,
    /// By whom, such as `C_Sign`.
    pub(crate) who: String,
    pub(crate) unit: Unit,
    /// How many samples there were.
    pub(crate) samples: usize,
    pub(crate) value: Summary,
    /// How it compares with the contestant measured beside it.
    pub(crate) ratio: Option<Ratio>,
}

/// A comparison, pair by pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// The `who` of the other contestant.
    pub(crate) to: String,
    pub(crate) value: Summary,
}

/// The parts of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Group {
    /// One signature, warm.
    Sign,
    /// A whole program run.
    Command,
    /// A whole program run, with a TPM as slow as a discrete chip.
    Chip,
    /// TPM commands that reach the chip.
    Count,
    /// Many objects, many clients, memory.
    Scale,
    /// Proofs that a key cannot leave the TPM.
    Proof,
    /// Certificates over the network.
    Fleet,
}

impl Group {
    pub(crate) const ALL: [Self; 7] = [
        Self::Sign,
        Self::Command,
        Self::Chip,
        Self::Count,
        Self::Scale,
        Self::Proof,
        Self::Fleet,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Sign => "One signature, everything warm",
            Self::Command => "Whole commands, with the simulator as it is",
            Self::Chip => "Whole commands, with the latencies of a discrete chip",
            Self::Count => "TPM commands that reach the chip, FlushContext aside",
            Self::Scale => "Many objects, many clients",
            Self::Proof => "Proofs that a key cannot leave the TPM",
            Self::Fleet => "Certificates over the network",
        }
    }
}

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// TPM commands.
    #[serde(rename = "commands")]
    Commands,
    /// Mebibytes.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// Requests to an authority per second.
    #[serde(rename = "/s")]
    PerSecond,
    /// Hours.
    #[serde(rename = "h")]
    Hours,
    /// Hosts of a fleet.
    #[serde(rename = "hosts")]
    Hosts,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Millis => "ms",
            Self::Commands => "commands",
            Self::Mebibytes => "MiB",
            Self::PerSecond => "/s",
            Self::Hours => "h",
            Self::Hosts => "hosts",
        }
    }
}

impl Figure {
    /// Whether this is the figure of that name.
    pub(crate) fn is(&self, group: Group, what: &str, who: &str) -> bool {
        self.group == group && self.what == what && self.who == who
    }
}

impl Report {
    /// A report without figures.
    pub(crate) fn new(
        date: String,
        command: String,
        machine: BTreeMap<String, String>,
        versions: BTreeMap<String, String>,
    ) -> Self {
        Self {
            schema: SCHEMA,
            date,
            command,
            machine,
            versions,
            figures: Vec::new(),
            budgets: Vec::new(),
        }
    }

    /// Reads a file of [`Report::write`].
    ///
    /// # Errors
    ///
    /// If the file is another one, or of another version.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let report: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of the bench", path.display()))?;
        ensure!(
            report.schema == SCHEMA,
            "{} is a report of version {}, and this program knows version {SCHEMA}",
            path.display(),
            report.schema
        );
        Ok(report)
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The figure of that name.
    pub(crate) fn figure(&self, group: Group, what: &str, who: &str) -> Option<&Figure> {
        self.figures.iter().find(|f| f.is(group, what, who))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report with one figure for each line: group, what, who, value, ratio.
    pub(crate) fn report(lines: &[(Group, &str, &str, f64, Option<f64>)]) -> Report {
        let mut report = Report::new(
            "2026-01-02 03:04 UTC".into(),
            "cargo xtask bench".into(),
            BTreeMap::from([("processor".into(), "Testium & Co".into())]),
            BTreeMap::from([("swtpm".into(), "0.7.1".into())]),
        );
        for (group, what, who, value, ratio) in lines {
            report.figures.push(Figure {
                group: *group,
                what: (*what).into(),
                who: (*who).into(),
                unit: match group {
                    Group::Count => Unit::Commands,
                    _ => Unit::Millis,
                },
                samples: 3,
                value: Summary::exactly(*value),
                ratio: ratio.map(|ratio| Ratio {
                    to: "floor".into(),
                    value: Summary::exactly(ratio),
                }),
            });
        }
        report
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        let report = report(&[(Group::Sign, "P-256, bare", "library", 0.5, Some(1.1))]);
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
    }

    #[test]
    fn another_version_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        let mut newer = report(&[]);
        newer.schema = SCHEMA + 1;
        newer.write(&path).unwrap();
        let error = Report::read(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("is a report of version 2, and this program knows version 1"),
            "{error}"
        );
        std::fs::write(&path, "[]").unwrap();
        let error = Report::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("is no report of the bench"), "{error}");
    }
}
