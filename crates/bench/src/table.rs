//! Tables for people: all figures for a terminal, the most telling ones for the README.

use std::fmt::Write;

use crate::{
    measure::{
        AGENT, AGENT_LOGIN, C_SIGN, FILE, FLOOR, INCUMBENT, LIBRARY, LIST, LOGIN, MANAGED,
        NEXT_LOGIN, THEIR_C_SIGN, TPMSSH, sign_what,
    },
    report::{Figure, Group, Report, Verdict},
};

/// Everything, for a terminal.
pub(crate) fn full(report: &Report) -> String {
    let mut out = format!("{}\n{}\n", report.command, report.date);
    for (name, value) in report.machine.iter().chain(&report.versions) {
        let _ = writeln!(out, "{name}: {value}");
    }
    for group in Group::ALL {
        let figures: Vec<&Figure> = report.figures.iter().filter(|f| f.group == group).collect();
        if figures.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{}", group.title());
        let mut rows = vec![
            ["", "", "median", "middle half", "ratio", "to"]
                .map(String::from)
                .to_vec(),
        ];
        let mut last = "";
        for figure in figures {
            rows.push(row(figure, last == figure.what));
            last = &figure.what;
        }
        out.push_str(&aligned(&rows));
    }
    if !report.budgets.is_empty() {
        out.push_str("\nBudgets\n");
        let rows: Vec<Vec<String>> = report.budgets.iter().map(verdict).collect();
        out.push_str(&aligned(&rows));
    }
    out
}

fn row(figure: &Figure, repeated: bool) -> Vec<String> {
    let what = if repeated { "" } else { &figure.what };
    let value = &figure.value;
    let mut row = vec![
        what.to_owned(),
        figure.who.clone(),
        format!("{} {}", number(value.median), figure.unit.name()),
    ];
    if figure.samples > 1 {
        row.push(format!("{} to {}", number(value.low), number(value.high)));
    }
    if let Some(ratio) = &figure.ratio {
        row.push(times(ratio.value.median));
        row.push(ratio.to.clone());
    }
    row
}

fn verdict(verdict: &Verdict) -> Vec<String> {
    vec![
        if verdict.met { "met" } else { "MISSED" }.to_owned(),
        verdict.promise.clone(),
        verdict.value.map_or("not measured".to_owned(), number),
        format!("of {}", number(verdict.limit)),
    ]
}

/// The table of the README, in Markdown.
pub(crate) fn readme(report: &Report) -> String {
    let mut out = String::from(
        "| milliseconds, median | tpmssh | tpm2-pkcs11 | floor | what the floor is |\n\
         |---|---|---|---|---|\n",
    );
    let mut line = |title: String, group, what: &str, [ours, theirs, floor]: [&str; 3], note| {
        let cell = |who| {
            let figure = report.figure(group, what, who);
            figure.map_or("–".to_owned(), |figure| number(figure.value.median))
        };
        let [ours, theirs, floor] = [ours, theirs, floor].map(cell);
        let _ = writeln!(
            out,
            "| {title} | **{ours}** | {theirs} | {floor} | {note} |"
        );
    };
    let file = "a key file";
    for what in [LIST, LOGIN, NEXT_LOGIN] {
        let who = [TPMSSH, INCUMBENT, FILE];
        line(format!("`{}`", code(what)), Group::Command, what, who, file);
        if what != LIST {
            let title = format!("`{}`, on a discrete chip", code(what));
            line(title, Group::Chip, what, who, file);
        }
    }
    let who = [TPMSSH, "", ""];
    line(
        format!("`{AGENT_LOGIN}`"),
        Group::Command,
        AGENT_LOGIN,
        who,
        "",
    );
    for key in ["P-256", "RSA 2048"] {
        let what = sign_what(key, MANAGED);
        for (name, ours, theirs) in [
            ("library", LIBRARY, ""),
            ("`C_Sign`", C_SIGN, THEIR_C_SIGN),
            ("agent", AGENT, ""),
        ] {
            let title = format!("{name}, one signature, {key}");
            line(
                title,
                Group::Sign,
                &what,
                [ours, theirs, FLOOR],
                "the bytes of `TPM2_Sign`",
            );
        }
    }
    out
}

/// The command in a name such as `ssh -I, cold`.
fn code(what: &str) -> &str {
    what.split(',').next().unwrap_or(what)
}

/// A number with three significant digits; a whole number without decimals.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value == value.trunc() && value.abs() < 1e9 => format!("{value:.0}"),
        value if value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value if value.abs() >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}

/// Rows with their columns below each other; numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                2 | 4 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            })
            .collect();
        out.push_str(format!("  {}", cells.join("  ")).trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::tests::report, stats::Summary};

    #[test]
    fn numbers_have_three_significant_digits() {
        assert_eq!(
            [0.0, 0.4567, 1.5, 45.67, 456.7, 8.0].map(number),
            ["0", "0.457", "1.50", "45.7", "457", "8"]
        );
    }

    #[test]
    fn a_full_table_has_a_line_for_each_figure_and_each_budget() {
        let mut report = report(&[
            (Group::Sign, "P-256, bare", "floor", 0.5, None),
            (Group::Sign, "P-256, bare", "library", 0.75, Some(1.5)),
            (Group::Count, "ssh-keygen -D", "tpmssh", 0.0, None),
        ]);
        report.figures[1].value = Summary {
            median: 0.75,
            low: 0.7,
            high: 0.8,
        };
        report.budgets.push(Verdict {
            promise: "cheap".into(),
            limit: 1.1,
            value: Some(1.5),
            met: false,
        });
        let lines = [
            "cargo xtask bench",
            "2026-01-02 03:04 UTC",
            "processor: Testium & Co",
            "swtpm: 0.7.1",
            "",
            "One signature, everything warm",
            "                          median  middle half      ratio  to",
            "  P-256, bare  floor    0.500 ms  0.500 to 0.500",
            "               library  0.750 ms  0.700 to 0.800  1.50 ×  floor",
            "",
            "TPM commands that reach the chip, FlushContext aside",
            "                             median  middle half  ratio  to",
            "  ssh-keygen -D  tpmssh  0 commands  0 to 0",
            "",
            "Budgets",
            "  MISSED  cheap  1.50  of 1.10",
        ];
        assert_eq!(full(&report), lines.join("\n") + "\n");
    }
}
