//! The last refusal of the agent.

use std::time::Duration;

use agent::audit::{self, Record};

use super::super::check::Check;
use crate::app::agent_log;
use crate::machine::ssh_agent::Found;
use crate::show::date;

const LOG: &str = "agent's log";

/// Older refusals are not reported.
const NEWS: Duration = Duration::from_secs(24 * 3600);

pub(super) fn of_log(agent: &Found) -> Check {
    let path = match agent {
        Found::Tpmssh { status, .. } => match &status.log {
            Some(log) => log.clone(),
            None => return Check::ok(LOG, "none is kept (log = false)"),
        },
        _ => match agent_log() {
            Ok(path) => path,
            Err(err) => return Check::failed(LOG, err).only_a_warning(),
        },
    };
    match audit::read(&path) {
        Ok(records) => refused_last(&records, date::now()),
        Err(err) => Check::warning(LOG, format!("{}: {err}", path.display())),
    }
}

/// The last refusal, unless it is old or the same was done since.
fn refused_last(records: &[Record], now: u64) -> Check {
    // An unlock has no key, but the label of its token.
    let is_same = |one: &Record, other: &Record| {
        let of_same_token = one.key.is_some() || one.label == other.label;
        one.event == other.event && one.key == other.key && of_same_token
    };
    let recent = records.iter().enumerate().rev();
    let news = recent
        .take_while(|(_, record)| record.time.saturating_add(NEWS.as_secs()) > now)
        .find(|(at, record)| {
            let mut later = records[at + 1..].iter();
            !record.is_done() && !later.any(|later| later.is_done() && is_same(later, record))
        });
    let Some((_, record)) = news else {
        return Check::ok(
            LOG,
            "nothing was refused in the last day that was not done since",
        );
    };
    let label = record.label.as_deref().map(|label| format!(" \"{label}\""));
    let detail = format!(
        "refused last, {}: {}{}: {}",
        date::in_words(record.time),
        record.event,
        label.unwrap_or_default(),
        record.result
    );
    Check::warning(LOG, detail).fixed_by("tpmssh agent log -n 10")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_news_for_a_day_and_until_the_same_was_done() {
        let record = |time: u64, result: &str| -> Record {
            serde_json::from_value(serde_json::json!({
                "time": time, "event": "sign", "result": result, "key": "SHA256:a", "label": "one",
            }))
            .unwrap()
        };
        let said = |records: &[Record], now| {
            let said = refused_last(records, now).to_string();
            said.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let refused = record(1000, "cannot get the PIN");
        let one = said(std::slice::from_ref(&refused), 2000);
        assert!(
            one.starts_with("warning") && one.contains("sign \"one\""),
            "{one}"
        );
        assert!(said(std::slice::from_ref(&refused), 90_000).starts_with("ok "));
        assert!(said(&[refused.clone(), record(1001, "done")], 2000).starts_with("ok "));
        assert!(said(&[record(999, "done"), refused], 2000).starts_with("warning"));
        assert!(said(&[], 2000).starts_with("ok "));
        // Key b was refused and used since. That does not hide key a, which was refused before and not used.
        let other = |time, key: &str, result: &str| Record {
            key: Some(key.to_owned()),
            ..record(time, result)
        };
        let hidden = [
            other(1000, "SHA256:a", "cannot get the PIN"),
            other(1001, "SHA256:b", "cannot get the PIN"),
            other(1002, "SHA256:b", "done"),
        ];
        assert!(said(&hidden, 2000).starts_with("warning"));
        let unlock = |label: &str, result: &str| Record {
            key: None,
            label: Some(label.to_owned()),
            event: "unlock".to_owned(),
            ..record(1000, result)
        };
        let of_two = [unlock("one", "wrong PIN"), unlock("two", "done")];
        assert!(said(&of_two, 2000).starts_with("warning"));
        let of_one = [unlock("one", "wrong PIN"), unlock("one", "done")];
        assert!(said(&of_one, 2000).starts_with("ok "));
    }
}
