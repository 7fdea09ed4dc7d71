//! A thread that owns something slow and works through requests to it, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The owner of an `S`, which works on its own thread; others may have a look at it.
///
/// Dropping it lets the thread end after what it was given, without waiting for it.
#[derive(Debug)]
pub(crate) struct Worker<S> {
    jobs: mpsc::Sender<Job<S>>,
    /// Held by the thread while it works.
    state: Arc<Mutex<S>>,
}

/// The job panicked, or its worker is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("internal error: a job did not come to its end")]
pub(crate) struct Stopped;

impl<S: Send + 'static> Worker<S> {
    /// Starts a thread of this name.
    pub(crate) fn start(name: &str, state: S) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        let state = Arc::new(Mutex::new(state));
        let owned = Arc::clone(&state);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for job in queue {
                    let mut state = owned.lock().unwrap_or_else(PoisonError::into_inner);
                    // The panic was printed; whoever waits is told by the end of the channel.
                    let _ = catch_unwind(AssertUnwindSafe(|| job(&mut state)));
                }
            })?;
        Ok(Self { jobs, state })
    }

    /// What `look` sees, unless the thread is at work; costs no change of threads.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&S) -> Option<R>) -> Option<R> {
        look(&*self.state.try_lock().ok()?)
    }

    /// Runs `job` after all that came before it; not at all if nobody waits for it any more.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.post(move |state| {
            if !reply.is_closed() {
                // Nobody waits any more: what was done stays done.
                let _ = reply.send(job(state));
            }
        });
        answer.await.map_err(|_| Stopped)
    }

    /// Has `job` run some time, without waiting for it.
    pub(crate) fn post(&self, job: impl FnOnce(&mut S) + Send + 'static) {
        if self.jobs.send(Box::new(job)).is_err() {
            log::error!("a worker is gone");
        }
    }

    /// Waits until all jobs are done, or for `patience`.
    pub(crate) fn finish(&self, patience: Duration) {
        let (done, wait) = mpsc::channel();
        self.post(move |_| {
            let _ = done.send(());
        });
        if wait.recv_timeout(patience).is_err() {
            log::warn!("a worker is still busy");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_waits_for_no_job() {
        let worker = Worker::start("test", 7).unwrap();
        assert_eq!(worker.look(|state| Some(*state)), Some(7));
        let (begun, wait) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        worker.post(move |_| {
            begun.send(()).unwrap();
            let _ = ended.recv();
        });
        wait.recv().unwrap();
        assert_eq!(worker.look(|state| Some(*state)), None);
        drop(end);
    }

    #[tokio::test]
    async fn jobs_run_in_order_on_one_state() {
        let worker = Worker::start("test", Vec::new()).unwrap();
        for i in 0..10 {
            worker.post(move |list| list.push(i));
        }
        let list = worker.run(|list| list.clone()).await.unwrap();
        assert_eq!(list, (0..10).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_job_that_panics_harms_no_other() {
        let worker = Worker::start("test", 1).unwrap();
        let panics = worker.run(|_| -> u32 { panic!("on purpose") });
        assert_eq!(panics.await, Err(Stopped));
        assert_eq!(worker.run(|n| *n).await, Ok(1));
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_is_left_out() {
        let worker = Worker::start("test", 0).unwrap();
        let (gate, open) = mpsc::channel::<()>();
        worker.post(move |_| {
            let _ = open.recv();
        });
        let mut unwanted = Box::pin(worker.run(|n| *n += 1));
        tokio::select! {
            biased;
            _ = &mut unwanted => panic!("the gate is shut"),
            () = std::future::ready(()) => {}
        }
        drop(unwanted);
        drop(gate);
        assert_eq!(worker.run(|n| *n).await, Ok(0));
    }
}
