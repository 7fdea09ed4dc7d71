//! Places for clients, and which client loses its place if all are taken.
//!
//! A host to which the agent is forwarded can open as many connections as it likes, all of them
//! by way of one `ssh`. So no process gets more than three quarters of the places, and when all
//! are taken, the process that has most of them loses the one that was idle for longest.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::machine::mutex::lock;

/// All places.
#[derive(Debug)]
pub(crate) struct Seats {
    most: usize,
    taken: Mutex<Vec<Arc<Seat>>>,
    /// Counts up each time a client becomes idle, which puts them in an order.
    moment: AtomicU64,
    /// Notified when a place becomes free.
    freed: Notify,
}

#[derive(Debug)]
struct Seat {
    stream: UnixStream,
    pid: Option<i32>,
    /// A request is being answered.
    is_busy: AtomicBool,
    /// Since which moment it is idle.
    idle_since: AtomicU64,
    /// It was told to go.
    is_leaving: AtomicBool,
}

/// The place of one client, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    seats: Arc<Seats>,
    seat: Arc<Seat>,
}

/// How one more client gets a place.
enum Room {
    There,
    /// A client was told to go, or all are busy.
    Wait,
    /// Its process has its share, and none of it is idle.
    None,
}

impl Seats {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Mutex::default(),
            moment: AtomicU64::new(0),
            freed: Notify::new(),
        }
    }

    /// A place for a client of the process `pid`, once there is one; `None` if the process has its
    /// share and uses all of it.
    pub(crate) async fn take(
        seats: &Arc<Self>,
        stream: UnixStream,
        pid: Option<i32>,
    ) -> Option<Taken> {
        loop {
            {
                let mut taken = lock(&seats.taken);
                match seats.room(&taken, pid) {
                    Room::None => return None,
                    Room::Wait => {}
                    Room::There => {
                        let seat = Arc::new(Seat {
                            stream,
                            pid,
                            is_busy: AtomicBool::new(false),
                            idle_since: AtomicU64::new(seats.now()),
                            is_leaving: AtomicBool::new(false),
                        });
                        taken.push(seat.clone());
                        let seats = seats.clone();
                        return Some(Taken { seats, seat });
                    }
                }
            }
            seats.freed.notified().await;
        }
    }

    /// Finds a free place. If all are taken, closes the connection of an idle client.
    fn room(&self, taken: &[Arc<Seat>], pid: Option<i32>) -> Room {
        let mut counts: HashMap<Option<i32>, usize> = HashMap::new();
        for seat in taken {
            *counts.entry(seat.pid).or_default() += 1;
        }
        let own = counts.get(&pid).copied().unwrap_or(0);
        let has_its_share = own >= self.most - self.most / 4;
        if taken.len() < self.most && !has_its_share {
            return Room::There;
        }
        let candidates = || {
            let all = taken.iter();
            all.filter(move |seat| !has_its_share || seat.pid == pid)
        };
        if candidates().any(|seat| seat.is_leaving.load(Ordering::Relaxed)) {
            return Room::Wait;
        }
        let idle = candidates().filter(|seat| !seat.is_busy.load(Ordering::Relaxed));
        let first = idle.max_by_key(|seat| {
            let since = seat.idle_since.load(Ordering::Relaxed);
            (counts[&seat.pid], u64::MAX - since)
        });
        match first {
            Some(seat) => {
                log::debug!("an idle client of process {:?} makes room", seat.pid);
                seat.is_leaving.store(true, Ordering::Relaxed);
                seat.hang_up(Shutdown::Both);
                Room::Wait
            }
            None if has_its_share => Room::None,
            None => Room::Wait,
        }
    }

    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn hang_up(&self, how: Shutdown) {
        for seat in lock(&self.taken).iter() {
            seat.hang_up(how);
        }
    }

    /// Waits until all are gone.
    pub(crate) async fn all_free(&self) {
        while !lock(&self.taken).is_empty() {
            self.freed.notified().await;
        }
    }
}

impl Seat {
    fn hang_up(&self, how: Shutdown) {
        // It fails if the client has already hung up.
        let _ = self.stream.shutdown(how);
    }
}

impl Taken {
    pub(crate) fn stream(&self) -> &UnixStream {
        &self.seat.stream
    }

    /// Serves a request of a client, which does not count as idle during it.
    pub(crate) fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        self.seat.is_busy.store(true, Ordering::Relaxed);
        let done = work();
        let now = self.seats.now();
        self.seat.idle_since.store(now, Ordering::Relaxed);
        self.seat.is_busy.store(false, Ordering::Relaxed);
        done
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Now, and not when the last reference to the place is dropped.
        self.seat.hang_up(Shutdown::Both);
        lock(&self.seats.taken).retain(|seat| !Arc::ptr_eq(seat, &self.seat));
        self.seats.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::io::Read;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use testing::assert_matches;

    use super::*;

    /// A client of a process, and its end of the connection; `None` if it has to wait.
    fn take(seats: &Arc<Seats>, pid: i32) -> Poll<Option<(Taken, UnixStream)>> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let taken = pin!(Seats::take(seats, ours, Some(pid)));
        let polled = taken.poll(&mut Context::from_waker(Waker::noop()));
        polled.map(|taken| Some((taken?, theirs)))
    }

    #[track_caller]
    fn taken(seats: &Arc<Seats>, pid: i32) -> (Taken, UnixStream) {
        match take(seats, pid) {
            Poll::Ready(Some(taken)) => taken,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the agent hung up.
    fn is_sent_away(mut client: &UnixStream) -> bool {
        matches!(client.read(&mut [0]), Ok(0))
    }

    #[test]
    fn the_process_with_most_places_loses_the_one_that_was_idle_for_longest() {
        let seats = Arc::new(Seats::new(8));
        let mut flood: Vec<_> = (0..5).map(|_| taken(&seats, 1)).collect();
        let mut others: Vec<_> = (2..5).map(|pid| taken(&seats, pid)).collect();
        // The first one has sent a request since.
        flood[0].0.busy(|| ());
        for (pid, gone) in [(9, 1), (10, 2)] {
            assert!(take(&seats, pid).is_pending());
            assert!(take(&seats, pid).is_pending(), "one is enough");
            let away: Vec<_> = flood
                .iter()
                .map(|(_, client)| is_sent_away(client))
                .collect();
            assert_eq!(away.iter().filter(|away| **away).count(), 1, "{away:?}");
            // Its thread ends.
            drop(flood.remove(1));
            assert!(away[1], "{gone}");
            others.push(taken(&seats, pid));
        }
        assert!(others.iter().all(|(_, client)| !is_sent_away(client)));
    }

    #[test]
    fn a_process_has_three_quarters_at_most_and_who_is_busy_stays() {
        let seats = Arc::new(Seats::new(8));
        let mut flood: Vec<_> = (0..6).map(|_| taken(&seats, 1)).collect();
        for (client, _) in &flood {
            client.seat.is_busy.store(true, Ordering::Relaxed);
        }
        assert_matches!(take(&seats, 1), Poll::Ready(None));
        let owner = [taken(&seats, 2), taken(&seats, 3)];
        for (client, _) in &owner {
            client.seat.is_busy.store(true, Ordering::Relaxed);
        }
        assert!(take(&seats, 4).is_pending(), "all are busy");
        flood[3].0.busy(|| ());
        assert!(take(&seats, 4).is_pending());
        assert!(is_sent_away(&flood[3].1));
        drop(flood.remove(3));
        let _last = taken(&seats, 4);
        assert!(
            flood
                .iter()
                .chain(&owner)
                .all(|(_, client)| !is_sent_away(client))
        );
    }
}
