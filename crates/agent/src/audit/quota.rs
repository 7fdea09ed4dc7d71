//! A limit on recorded refusals: without it a refused program could fill the log.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Record;

/// How many refusals of one process are listed in each [`SPAN`].
const MOST: u32 = 20;
/// The time for which they are counted.
pub(crate) const SPAN: Duration = Duration::from_secs(10 * 60);
/// How many processes are counted apart; the others are counted together.
const PROCESSES: usize = 64;

/// Counts refused requests, by process. Those beyond the limit get one record together when the
/// [`SPAN`] is over.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    by_process: HashMap<Option<i32>, Count>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    listed: u32,
    left_out: u64,
    programs: Vec<String>,
}

impl Quota {
    /// Whether the refusal gets a record of its own. Otherwise it is counted for its process.
    pub(crate) fn admits(&mut self, record: &Record, now: Instant) -> bool {
        let is_known = self.by_process.contains_key(&record.pid);
        let process = match record.pid {
            Some(_) if is_known || self.by_process.len() < PROCESSES => record.pid,
            _ => None,
        };
        let count = self.by_process.entry(process).or_insert_with(|| Count {
            since: now,
            listed: 0,
            left_out: 0,
            programs: process.map_or_else(Vec::new, |_| record.programs.clone()),
        });
        let admitted = count.listed < MOST;
        if admitted {
            count.listed += 1;
        } else {
            count.left_out += 1;
        }
        admitted
    }

    /// Ends the counts that began [`SPAN`] before `now`, or all without `now`. Returns one record for
    /// each process with refusals that got none.
    pub(crate) fn settle(&mut self, now: Option<Instant>) -> Vec<Record> {
        let ended = |count: &Count| now.is_none_or(|now| now.duration_since(count.since) >= SPAN);
        let mut left_out = Vec::new();
        self.by_process.retain(|process, count| {
            let ended = ended(count);
            if ended && count.left_out > 0 {
                left_out.push(Record {
                    pid: *process,
                    programs: std::mem::take(&mut count.programs),
                    ..Record::of("refused", &not_listed(count.left_out))
                });
            }
            !ended
        });
        left_out
    }

    /// Whether there is something to settle.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_process.is_empty()
    }
}

fn not_listed(count: u64) -> String {
    let requests = if count == 1 { "request" } else { "requests" };
    format!("{count} more refused {requests} in ten minutes, not listed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pid: i32) -> Record {
        Record {
            pid: Some(pid),
            programs: vec!["ssh".into()],
            ..Record::of("sign", "no")
        }
    }

    #[test]
    fn twenty_are_listed_and_the_others_counted_for_each_process() {
        let mut quota = Quota::default();
        let now = Instant::now();
        for pid in [7, 8] {
            let listed = (0..100).filter(|_| quota.admits(&refused(pid), now));
            assert_eq!(listed.count(), 20);
        }
        assert!(quota.admits(&refused(9), now));
        assert!(quota.settle(Some(now + SPAN / 2)).is_empty());
        assert!(!quota.admits(&refused(7), now + SPAN / 2));
        let mut left_out = quota.settle(Some(now + SPAN));
        left_out.sort_by_key(|record| record.pid);
        let [seven, eight] = &left_out[..] else {
            panic!("{left_out:?}")
        };
        assert_eq!(
            (seven.pid, &seven.programs[..]),
            (Some(7), &["ssh".to_owned()][..])
        );
        assert_eq!(
            seven.result,
            "81 more refused requests in ten minutes, not listed"
        );
        assert_eq!((eight.pid, &*eight.event), (Some(8), "refused"));
        assert!(quota.is_empty());
        assert!(quota.admits(&refused(7), now + SPAN));
    }

    #[test]
    fn many_processes_are_counted_together() {
        let mut quota = Quota::default();
        let now = Instant::now();
        let listed = (0..1000).filter(|pid| quota.admits(&refused(*pid), now));
        assert_eq!(listed.count(), PROCESSES + 20);
        assert_eq!(quota.by_process.len(), PROCESSES + 1);
        let left_out = quota.settle(None);
        assert_eq!(left_out.len(), 1);
        assert_eq!(left_out[0].pid, None);
        assert_eq!(
            left_out[0].result,
            "916 more refused requests in ten minutes, not listed"
        );
    }
}
