//! The figures, put where people read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    chip,
    report::Report,
    svg,
    table::{self, number},
};

/// This program writes the text between these lines of a page.
const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// Writes the table into README.md and docs/performance.md, the chart and the data beside the
/// latter.
///
/// # Errors
///
/// If a page lacks its markers, or cannot be written.
pub(crate) fn all(report: &Report) -> Result<()> {
    let root = root();
    let docs = root.join("docs");
    fs::create_dir_all(&docs)?;
    report.write(&docs.join("performance.json"))?;
    write(&docs.join("performance.svg"), &svg::chart(report))?;
    page(&root.join("README.md"), &readme(report))?;
    page(&docs.join("performance.md"), &details(report))
}

/// The repository that this program was built from.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn readme(report: &Report) -> String {
    format!(
        "![tpmssh beside tpm2-pkcs11 and a key file](docs/performance.svg)\n\n{}\n{}\n",
        table::readme(report),
        origin(report)
    )
}

fn origin(report: &Report) -> String {
    let versions: Vec<String> = report
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let machine: Vec<String> = report
        .machine
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    format!(
        "Measured {} with `{}`: {}; {}. The chip is an {}, played by the simulator; \
         tpmssh and tpm2-pkcs11 are behind the resource manager tpm2-abrmd; \
         [docs/performance.md](docs/performance.md) says what each figure means.",
        report.date,
        report.command,
        versions.join(", "),
        machine.join(", "),
        chip::NAME,
    )
}

fn details(report: &Report) -> String {
    let mut out = String::from("| budget | limit | measured | |\n|---|---|---|---|\n");
    for verdict in &report.budgets {
        let value = verdict.value.map_or("not measured".to_owned(), number);
        let met = if verdict.met { "met" } else { "**missed**" };
        let limit = number(verdict.limit);
        out.push_str(&format!(
            "| {} | {limit} | {value} | {met} |\n",
            verdict.promise
        ));
    }
    format!("{out}\n```text\n{}```\n", table::full(report))
}

fn page(path: &Path, text: &str) -> Result<()> {
    let old =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let new = between(&old, text)
        .with_context(|| format!("{} lacks the lines {BEGIN} and {END}", path.display()))?;
    write(path, &new)
}

/// `page` with `text` between its markers.
fn between(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}{END}{after}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_markers_is_replaced_and_nothing_else() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nz\n");
        let new = between(&page, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n{END}\nz\n"));
        assert_eq!(between(&new, "new\n").unwrap(), new);
    }

    #[test]
    fn a_page_without_markers_is_left_alone() {
        assert_eq!(between("a\nz\n", "new"), None);
        assert_eq!(between(&format!("{END}{BEGIN}"), "new"), None);
    }

    /// Without the markers, a run of half an hour could not publish its figures.
    #[test]
    fn the_pages_of_this_repository_have_markers() {
        for name in ["README.md", "docs/performance.md"] {
            let page = fs::read_to_string(root().join(name)).unwrap();
            assert!(between(&page, "").is_some(), "{name}");
        }
    }
}
