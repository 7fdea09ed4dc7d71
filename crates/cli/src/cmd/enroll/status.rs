//! `tpmssh enroll --status`: the keys that authorities certify.

use std::fmt;

use serde::Serialize;

use crate::app::App;
use crate::enrolments::{self, Enrolled};
use crate::show::date;
use crate::show::output::{escape, tell};
use crate::show::style::Tone;
use crate::show::table::Table;

pub(super) fn run(app: &App) -> anyhow::Result<()> {
    let store = app.store()?;
    let rows: Vec<_> = enrolments::all(app, &store)?.iter().map(Row::new).collect();
    if rows.is_empty() {
        tell("tpmssh: no key is enrolled with an authority");
    }
    app.out.print(&Report(rows))
}

#[derive(Debug, Serialize)]
struct Row {
    key: String,
    kind: &'static str,
    principals: Vec<String>,
    server: String,
    /// In seconds since 1970.
    valid_before: u64,
    /// In seconds since 1970.
    renew_at: u64,
    /// How many renewals have failed in a row.
    failures: u32,
    last_error: Option<String>,
}

impl Row {
    fn new(it: &Enrolled) -> Self {
        let (terms, of) = (&it.enrolment.terms, &it.enrolment);
        Self {
            key: it.key.label.clone(),
            kind: if terms.is_host { "host" } else { "user" },
            principals: terms.principals.clone(),
            server: terms.server.clone(),
            valid_before: of.expires,
            renew_at: of.renew_at,
            failures: of.failures,
            last_error: of.last_error.clone(),
        }
    }

    fn state(&self, now: u64) -> (&'static str, Tone) {
        match () {
            () if self.valid_before <= now => ("expired", Tone::Bad),
            () if self.failures > 0 => ("failing", Tone::Warning),
            () if self.renew_at <= now => ("due", Tone::Plain),
            () => ("good", Tone::Good),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Row>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let now = date::now();
        let heading = ["KEY", "FOR", "NAMES", "STATE", "UNTIL", "NEXT", "AUTHORITY"];
        let mut table = Table::new(heading);
        for row in &self.0 {
            let (word, tone) = row.state(now);
            table.toned_row([
                (&row.key, Tone::Plain),
                (row.kind, Tone::Plain),
                (&row.principals.join(","), Tone::Plain),
                (word, tone),
                (&date::in_words(row.valid_before), Tone::Plain),
                (&date::in_words(row.renew_at), Tone::Plain),
                (&row.server, Tone::Plain),
            ]);
        }
        table.fmt(f)?;
        for row in &self.0 {
            if let Some(error) = &row.last_error {
                let (key, error) = (ssh_format::text::shown(&row.key), escape(error));
                writeln!(f, "key \"{key}\": {} failed, last: {error}", row.failures)?;
            }
        }
        Ok(())
    }
}
