//! A connection to the database that is cut at a chosen message.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

/// The side whose message is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// A message of the node, which the database does not get.
    Question,
    /// A message of the database, which has executed the statement; the node does not get the answer.
    Answer,
}

type Then = Box<dyn FnOnce() + Send>;

/// The side, the number of messages that it may still send, and the action at the cut.
type Plan = Arc<Mutex<Option<(Side, usize, Then)>>>;

/// A socket in front of that of the database.
pub(crate) struct Wire {
    dir: TempDir,
    plan: Plan,
}

impl Wire {
    pub(crate) fn new(database: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("wire-").tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        let to = database.join(".s.PGSQL.5432");
        let plan = Plan::default();
        let shared = Arc::clone(&plan);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (to, plan): (PathBuf, Plan) = (to.clone(), Arc::clone(&shared));
                std::thread::spawn(move || forward(&stream, &to, &plan));
            }
        });
        Self { dir, plan }
    }

    pub(crate) fn url(&self) -> String {
        let host = self.dir.path().display().to_string().replace('/', "%2F");
        format!("postgresql://node@{host}/postgres")
    }

    /// Cuts the connection instead of message `number` (from 0) of `side` from now on, after `then`.
    pub(crate) fn cut(&self, side: Side, number: usize, then: impl FnOnce() + Send + 'static) {
        *self.plan.lock().unwrap() = Some((side, number, Box::new(then)));
    }

    /// Cancels the cut. Returns whether it was still to come.
    pub(crate) fn cancel(&self) -> bool {
        self.plan.lock().unwrap().take().is_some()
    }
}

fn forward(node: &UnixStream, to: &Path, plan: &Plan) {
    let Ok(database) = UnixStream::connect(to) else {
        return;
    };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(node, &database, Side::Question, plan));
        copy(&database, node, Side::Answer, plan);
    });
}

fn copy(mut from: &UnixStream, mut to: &UnixStream, side: Side, plan: &Plan) {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let len = from.read(&mut buffer).unwrap_or(0);
        if len == 0 || is_last(side, plan) || to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    for end in [from, to] {
        let _ = end.shutdown(Shutdown::Both);
    }
}

fn is_last(side: Side, plan: &Plan) -> bool {
    let mut plan = plan.lock().unwrap();
    match plan.take() {
        Some((of, 0, then)) if of == side => {
            then();
            true
        }
        Some((of, left, then)) if of == side => {
            *plan = Some((of, left - 1, then));
            false
        }
        other => {
            *plan = other;
            false
        }
    }
}
