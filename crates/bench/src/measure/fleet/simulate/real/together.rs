//! Many answers at once, by all processors.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Result, anyhow, bail};

/// Does `work` for each of `items`. The results are in their order.
///
/// # Errors
///
/// How many have failed, and why the first one did.
pub(super) fn together<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let one = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                return done;
            };
            done.push((index, work(item)));
        }
    };
    let mut done = thread::scope(|scope| {
        let all: Vec<_> = (0..processors.min(items.len()))
            .map(|_| scope.spawn(one))
            .collect();
        let mut done = Vec::with_capacity(items.len());
        for part in all {
            done.extend(part.join().map_err(|_| anyhow!("a thread ended"))?);
        }
        anyhow::Ok(done)
    })?;
    done.sort_by_key(|(index, _)| *index);
    let failed = done.iter().filter(|(_, result)| result.is_err()).count();
    let mut results = Vec::with_capacity(done.len());
    for (_, result) in done {
        match result {
            Ok(result) => results.push(result),
            Err(err) => bail!(
                "{failed} of {} hosts got no certificate, the first because of {err:#}",
                items.len()
            ),
        }
    }
    Ok(results)
}
