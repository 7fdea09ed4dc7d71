//! The threads that do the work, and the wait for one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The longest wait for a worker, and the most work that waits, before a machine is sent away for a while.
pub const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// What a request is thought to take before any was measured, in microseconds.
const FIRST: u64 = 10_000;

/// Workers of one sort, and those who wait for them.
#[derive(Clone)]
pub(super) struct Queue(Arc<Inner>);

struct Inner {
    workers: usize,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// The same, for all queues together.
    gauge: Gauge,
    /// What a request takes, in microseconds, by the last ones.
    mean: AtomicU64,
}

impl Queue {
    pub(super) fn new(workers: usize, gauge: Gauge) -> Self {
        Self(Arc::new(Inner {
            workers,
            free: Arc::new(Semaphore::new(workers)),
            waiting: AtomicUsize::new(0),
            gauge,
            mean: AtomicU64::new(FIRST),
        }))
    }

    /// A worker, or how long the work would take that waits already.
    pub(super) async fn enter(&self) -> Result<Turn, Duration> {
        let inner = &self.0;
        let wait = self.wait();
        if wait > LONGEST_WAIT {
            return Err(wait);
        }
        let place = Place::new(self.clone());
        let free = timeout(LONGEST_WAIT, Arc::clone(&inner.free).acquire_owned()).await;
        drop(place);
        match free {
            Ok(Ok(permit)) => Ok(Turn {
                queue: self.clone(),
                begun: Instant::now(),
                _permit: permit,
            }),
            _ => Err(self.wait().max(LONGEST_WAIT)),
        }
    }

    /// How long a newcomer would wait.
    fn wait(&self) -> Duration {
        let mean = Duration::from_micros(self.0.mean.load(Relaxed));
        work(self.waiting(), mean, self.0.workers)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.waiting.load(Relaxed)
    }

    /// Waits until nobody is served any more.
    pub(super) async fn idle(&self) {
        let all = u32::try_from(self.0.workers).unwrap_or(u32::MAX);
        let _ = self.0.free.acquire_many(all).await;
    }
}

/// A place among those who wait, given back when dropped: a machine may go away meanwhile.
struct Place(Queue);

impl Place {
    fn new(queue: Queue) -> Self {
        queue.0.waiting.fetch_add(1, Relaxed);
        queue.0.gauge.inc();
        Self(queue)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Relaxed);
        self.0.0.gauge.dec();
    }
}

/// A worker at work.
pub(super) struct Turn {
    queue: Queue,
    begun: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mean = &self.queue.0.mean;
        // One that is lost between two threads does not matter.
        let before = mean.load(Relaxed);
        mean.store(before - before / 16 + took / 16, Relaxed);
    }
}

/// How long `workers` take for the `waiting` requests before a newcomer, at `mean` for one.
#[must_use]
pub fn work(waiting: usize, mean: Duration, workers: usize) -> Duration {
    let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
    let workers = u64::try_from(workers).unwrap_or(1).max(1);
    let mean = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(waiting.saturating_mul(mean) / workers)
}

/// Seconds after which a machine that would wait for `wait` may come again: twice that, and up to as much again by `chance`, so that those who
/// were sent away together do not come together.
#[must_use]
pub fn come_again(wait: Duration, chance: u32) -> u64 {
    let least = wait.as_secs().saturating_add(1).saturating_mul(2).min(300);
    least + u64::from(chance) % (least + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_two_seconds_of_work_wait_and_the_rest_is_sent_away_at_once() {
        let queue = Queue::new(2, Gauge::default());
        let (first, _second) = (queue.enter().await.unwrap(), queue.enter().await.unwrap());
        queue.0.mean.store(100_000, Relaxed);
        let waiting: Vec<_> = (0..41)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.enter().await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(queue.waiting(), 41);
        let begun = tokio::time::Instant::now();
        // 41 requests of a tenth of a second, for two workers.
        let sent = queue.enter().await.err();
        assert_eq!(sent, Some(Duration::from_millis(2050)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(first);
        let mut served = 0;
        for one in waiting {
            // Each one frees its worker for the next one.
            served += usize::from(one.await.unwrap().is_ok());
        }
        assert_eq!((served, queue.waiting()), (41, 0));
        assert!(queue.0.mean.load(Relaxed) < 100_000, "it was measured");
    }

    #[test]
    fn who_is_sent_away_comes_again_the_later_the_longer_the_queue_is() {
        let of = |millis, chance| come_again(Duration::from_millis(millis), chance);
        assert_eq!((of(0, 0), of(0, 2), of(200, 7)), (2, 4, 3));
        assert_eq!((of(2050, 0), of(2050, 6)), (6, 12));
        assert_eq!((of(u64::MAX, 0), of(u64::MAX, 300)), (300, 600));
    }
}
