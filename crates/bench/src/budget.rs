//! The budgets of tpmssh's figures, and whether they are met.

use crate::{
    measure::{
        AGENT, AGENT_LOGIN, AGENT_MEMORY, C_SIGN, CROWD, EXPIRED, HANDLED, INITIALIZE, LIBRARY,
        LIST, LIST_OBJECTS, LOGIN, MANAGED, NODE_BUSY, NODE_CPU, NODE_IDLE, POSTGRES, RENEWAL,
        SLOW_RENEWAL, SMALL_FLEET, SQLITE, TPMSSH, TPMSSH_BARE, VERIFIER, VERIFY, keys,
        real_handlers, sign_what,
    },
    report::{Group, Report, Verdict},
};

/// Which number of a figure is limited.
#[derive(Debug, Clone, Copy)]
enum Limited {
    /// The median of the figure.
    Value,
    /// The median of its ratio to the figure measured beside it.
    Ratio,
}

/// A limit for one figure.
struct Budget {
    /// The promise, in words.
    promise: String,
    group: Group,
    what: String,
    who: &'static str,
    limited: Limited,
    limit: f64,
}

/// All budgets, for a run in which the fleet with a real authority has `hosts` hosts.
fn budgets(hosts: u32) -> Vec<Budget> {
    let sign = |promise: &str, key, who, limit| Budget {
        promise: promise.to_owned(),
        group: Group::Sign,
        what: sign_what(key, MANAGED),
        who,
        limited: Limited::Ratio,
        limit,
    };
    let of = |promise: &str, group, what: &str, who, limited, limit| Budget {
        promise: promise.to_owned(),
        group,
        what: what.to_owned(),
        who,
        limited,
        limit,
    };
    let many = keys(10_000);
    let fleet = |promise: &str, what: &str, who, limit| Budget {
        promise: promise.to_owned(),
        group: Group::Fleet,
        what: what.to_owned(),
        who,
        limited: Limited::Value,
        limit,
    };
    let real = real_handlers(hosts);
    vec![
        sign(
            "library, P-256, managed: times the floor",
            "P-256",
            LIBRARY,
            1.10,
        ),
        sign(
            "C_Sign, P-256, managed: times the floor",
            "P-256",
            C_SIGN,
            1.10,
        ),
        sign(
            "library, RSA 2048, managed: times the floor",
            "RSA 2048",
            LIBRARY,
            1.05,
        ),
        sign(
            "C_Sign, RSA 2048, managed: times the floor",
            "RSA 2048",
            C_SIGN,
            1.05,
        ),
        sign(
            "agent, P-256, managed: times the floor",
            "P-256",
            AGENT,
            1.10,
        ),
        sign(
            "agent, RSA 2048, managed: times the floor",
            "RSA 2048",
            AGENT,
            1.10,
        ),
        // A limit of 0.6 cannot be reached, see docs/performance.md, "What cannot be faster".
        of(
            "ssh -I, cold, on a chip, bare: times tpm2-pkcs11",
            Group::Chip,
            LOGIN,
            TPMSSH_BARE,
            Limited::Ratio,
            0.85,
        ),
        of(
            "ssh -I, cold, on a chip, managed: times tpm2-pkcs11",
            Group::Chip,
            LOGIN,
            TPMSSH,
            Limited::Ratio,
            1.0,
        ),
        of(
            "ssh-keygen -D, on a chip: times tpm2-pkcs11",
            Group::Chip,
            LIST,
            TPMSSH,
            Limited::Ratio,
            0.3,
        ),
        of(
            "TPM commands of ssh-keygen -D",
            Group::Count,
            LIST,
            TPMSSH,
            Limited::Value,
            0.0,
        ),
        of(
            "TPM commands of ssh -I, cold, bare",
            Group::Count,
            LOGIN,
            TPMSSH_BARE,
            Limited::Value,
            8.0,
        ),
        of(
            "TPM commands of a further login through tpmssh agent, bare",
            Group::Count,
            AGENT_LOGIN,
            TPMSSH_BARE,
            Limited::Value,
            4.0,
        ),
        of(
            "10,000 objects listed, ms",
            Group::Scale,
            &many,
            LIST_OBJECTS,
            Limited::Value,
            100.0,
        ),
        of(
            "C_Initialize, ms",
            Group::Scale,
            &many,
            INITIALIZE,
            Limited::Value,
            1.0,
        ),
        of(
            "memory of the agent with 10,000 keys, MiB",
            Group::Scale,
            &many,
            AGENT_MEMORY,
            Limited::Value,
            16.0,
        ),
        of(
            "a proof checked, RSA endorsement key with chain, ms of CPU",
            Group::Proof,
            VERIFY,
            VERIFIER,
            Limited::Value,
            1.5,
        ),
        fleet(
            "a renewal of many, SQLite, ms: 300 a second",
            RENEWAL,
            SQLITE,
            3.33,
        ),
        fleet(
            "a renewal of many, PostgreSQL, ms: 300 a second",
            RENEWAL,
            POSTGRES,
            3.33,
        ),
        // The budget is without the database, and SQLite works within the node.
        fleet(
            "a renewal, PostgreSQL, ms of CPU of the node",
            NODE_CPU,
            POSTGRES,
            1.0,
        ),
        fleet(
            "memory of an idle node, PostgreSQL, MiB",
            NODE_IDLE,
            POSTGRES,
            25.0,
        ),
        fleet(
            "memory of a node with 500 connections, PostgreSQL, MiB",
            NODE_BUSY,
            POSTGRES,
            60.0,
        ),
        fleet(
            "99 of 100 renewals during a flood of refused begins, ms",
            SLOW_RENEWAL,
            SQLITE,
            250.0,
        ),
        fleet(
            "a refused begin, ms of CPU without HTTP",
            HANDLED,
            SQLITE,
            0.05,
        ),
        fleet(
            "questions in a second after an outage of 5 min, 100,000 hosts, 14.5/s: three times that",
            SMALL_FLEET,
            CROWD,
            43.5,
        ),
        fleet(
            "hosts of 100,000 that expire in an outage of 5 min, model",
            SMALL_FLEET,
            EXPIRED,
            0.0,
        ),
        fleet(&format!("hosts that expire: {real}"), &real, EXPIRED, 0.0),
    ]
}

/// Compares a report with the budgets; with those of one group if only that group was measured. `hosts` are those of the fleet with a real
/// authority.
pub(crate) fn judge(report: &Report, hosts: u32, only: Option<Group>) -> Vec<Verdict> {
    budgets(hosts)
        .into_iter()
        .filter(|budget| only.is_none_or(|only| only == budget.group))
        .map(|budget| {
            let figure = report.figure(budget.group, &budget.what, budget.who);
            let value = figure.and_then(|figure| match budget.limited {
                Limited::Value => Some(figure.value.median),
                Limited::Ratio => figure.ratio.as_ref().map(|ratio| ratio.value.median),
            });
            Verdict {
                promise: budget.promise,
                limit: budget.limit,
                value,
                met: value.is_some_and(|value| value <= budget.limit),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    fn verdict_of(report: &Report, promise: &str) -> Verdict {
        let mut verdicts = judge(report, 5_000, None).into_iter();
        verdicts.find(|v| v.promise == promise).unwrap()
    }

    #[test]
    fn a_ratio_is_held_to_its_limit_whatever_the_time() {
        let promise = "C_Sign, P-256, managed: times the floor";
        let with = |ratio| {
            let what = sign_what("P-256", MANAGED);
            let report = report(&[(Group::Sign, &what, C_SIGN, 900.0, ratio)]);
            verdict_of(&report, promise)
        };
        assert!(with(Some(1.10)).met);
        assert!(!with(Some(1.11)).met);
        assert_eq!(with(Some(1.11)).value, Some(1.11));
        // A time without a ratio does not meet a limit of the ratio.
        assert!(!with(None).met);
    }

    #[test]
    fn a_count_is_held_to_its_limit() {
        let promise = "TPM commands of ssh-keygen -D";
        let with = |count| {
            verdict_of(
                &report(&[(Group::Count, LIST, TPMSSH, count, None)]),
                promise,
            )
        };
        assert!(with(0.0).met);
        assert!(!with(1.0).met);
    }

    #[test]
    fn what_was_not_measured_is_missed() {
        let verdicts = judge(&report(&[]), 5_000, None);
        assert!(verdicts.len() >= 12);
        assert!(verdicts.iter().all(|v| !v.met && v.value.is_none()));
    }

    #[test]
    fn a_part_is_held_to_its_own_budgets() {
        let of = |only| judge(&report(&[]), 5_000, only).len();
        let parts = Group::ALL.map(|group| of(Some(group)));
        assert!(parts[0] > 0);
        assert_eq!(parts.iter().sum::<usize>(), of(None));
    }
}
