//! Queues: how many requests are worked on at the same time, and how long others wait for a free worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The longest wait for a worker, and the most work that may wait. Beyond that, a request is answered with 503.
pub const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The assumed time of a request before any was measured, in microseconds.
const FIRST: u64 = 10_000;

/// A number of workers, and the requests that wait for them.
#[derive(Clone)]
pub(super) struct Queue(Arc<Inner>);

struct Inner {
    workers: usize,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// The number of waiting requests in all queues together.
    gauge: Gauge,
    /// The moving average of the time of a request, in microseconds.
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

    /// Waits for a free worker. `Err` with the expected wait if that would be too long.
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

    /// How long a new request would wait.
    fn wait(&self) -> Duration {
        let mean = Duration::from_micros(self.0.mean.load(Relaxed));
        work(self.waiting(), mean, self.0.workers)
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.waiting.load(Relaxed)
    }

    /// Waits until no worker is busy.
    pub(super) async fn idle(&self) {
        let all = u32::try_from(self.0.workers).unwrap_or(u32::MAX);
        let _ = self.0.free.acquire_many(all).await;
    }
}

/// A place in the queue, which is freed when it is dropped: the client may close the connection while it waits.
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

/// A busy worker. Dropping it frees the worker, and updates the average.
pub(super) struct Turn {
    queue: Queue,
    begun: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mean = &self.queue.0.mean;
        // Two threads may overwrite each other's update, which does not matter for an average.
        let before = mean.load(Relaxed);
        mean.store(before - before / 16 + took / 16, Relaxed);
    }
}

/// How long `workers` workers take for `waiting` requests, if one request takes `mean`.
#[must_use]
pub fn work(waiting: usize, mean: Duration, workers: usize) -> Duration {
    let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
    let workers = u64::try_from(workers).unwrap_or(1).max(1);
    let mean = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(waiting.saturating_mul(mean) / workers)
}

/// The `Retry-After` in seconds for a request that would wait for `wait`: about twice that, and a random part of the same length by `chance`.
/// The random part spreads machines that were sent away at the same time.
#[must_use]
pub fn come_again(wait: Duration, chance: u32) -> u64 {
    let least = wait.as_secs().saturating_add(1).saturating_mul(2).min(300);
    least + u64::from(chance) % (least + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn two_seconds_of_work_may_wait_and_more_is_refused_at_once() {
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
    fn the_longer_the_queue_the_longer_is_the_retry_after() {
        let of = |millis, chance| come_again(Duration::from_millis(millis), chance);
        assert_eq!((of(0, 0), of(0, 2), of(200, 7)), (2, 4, 3));
        assert_eq!((of(2050, 0), of(2050, 6)), (6, 12));
        assert_eq!((of(u64::MAX, 0), of(u64::MAX, 300)), (300, 600));
    }
}
