//! A failure at each step of a renewal and of an enrolment. Each message between the node and the database is a step.

use rustix::process::{Pid, Signal, kill_process};
use testing::Postgres;

use super::cut::{Side, Wire};
use super::{assert_sent_away, is_noted, rows};
use crate::node::{Answer, Node, host, renewal, wait};
use crate::registry::prepared;
use crate::software_tpm::SoftwareTpm;

/// The request, which is repeated until there is an answer.
#[derive(Debug, Clone, Copy)]
enum Act {
    Renew,
    Enrol,
}

impl Act {
    /// The least number of messages that the node sends to the database, and of those that it receives.
    fn messages(self) -> usize {
        match self {
            // The key is looked up, and everything is changed.
            Self::Renew => 2,
            Self::Enrol => 3,
        }
    }
}

/// The failure.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// The connection to the database is closed.
    Connection,
    /// The node is killed (SIGKILL).
    Node,
    /// The database's process for the connection is killed (SIGKILL). The database then restarts all its processes.
    Backend,
    /// All processes of the database are killed (SIGKILL).
    Database,
}

#[test]
fn the_connection_is_lost_at_every_step() {
    at_every_step(End::Connection);
}

#[test]
fn the_node_is_killed_at_every_step() {
    at_every_step(End::Node);
}

#[test]
fn the_process_of_the_connection_is_killed_at_every_step() {
    at_every_step(End::Backend);
}

#[test]
fn the_database_is_killed_at_every_step() {
    at_every_step(End::Database);
}

/// A database, a connection that can be cut, and a node.
struct World {
    node: Node,
    wire: Wire,
    database: Postgres,
    machines: usize,
}

fn at_every_step(end: End) {
    for act in [Act::Renew, Act::Enrol] {
        let mut world = World::new();
        let steps = world.every_step(act, end);
        assert!(steps >= 2 * act.messages(), "{steps}");
        let said = world.node.ok(&["audit", "verify"]);
        assert!(said.contains(" lines, each follows"), "{said}");
    }
}

impl World {
    fn new() -> Self {
        let database = Postgres::start();
        drop(prepared(&database));
        let wire = Wire::new(database.host());
        let mut node = Node::initialised_with(&["--database", &wire.url()]);
        node.serve();
        Self {
            node,
            wire,
            database,
            machines: 0,
        }
    }

    /// Fails at each step in turn, and returns the number of steps. Each time the machine repeats its answer, and gets a certificate with exactly one row.
    fn every_step(&mut self, act: Act, end: End) -> usize {
        let mut steps = 0;
        for side in [Side::Question, Side::Answer] {
            for number in 0.. {
                let (path, body) = self.prepare(act);
                let before = rows(&self.database, "issued");
                let killed = self.ended_by(end);
                let all = killed.clone();
                self.wire.cut(side, number, move || {
                    for pid in all {
                        let _ = kill_process(pid, Signal::KILL);
                    }
                });
                let answer = self.node.try_post(path, body.as_bytes());
                if self.wire.cancel() {
                    // The request was finished before this number of messages.
                    assert!(is_noted(&self.database, &answer.unwrap()));
                    assert!(number >= act.messages(), "{side:?} {number}");
                    break;
                }
                steps += 1;
                self.begin_again(end, &killed, answer);
                let noted = rows(&self.database, "issued") - before;
                assert!((0..=1).contains(&noted), "{side:?} {number}: {noted}");
                let again = self.until_it_is_back(path, &body);
                assert!(is_noted(&self.database, &again), "{side:?} {number}");
                let issued = rows(&self.database, "issued");
                assert_eq!(issued, before + 1, "{side:?} {number}");
            }
        }
        steps
    }

    fn prepare(&mut self, act: Act) -> (&'static str, String) {
        self.machines += 1;
        let (node, name) = (&self.node, format!("web{}", self.machines));
        match act {
            Act::Renew => {
                let tpm = node.host(&name);
                // The statements are prepared before, so that each message is a step of the request.
                node.renew(&tpm).certificate();
                ("/v1/renew", renewal(&tpm, node.nonce()).to_json())
            }
            Act::Enrol => {
                node.host(&format!("{name}-before"));
                let tpm: SoftwareTpm = host(&name, &node.token("host", &name));
                ("/v1/enroll/finish", node.proof(&tpm).to_json())
            }
        }
    }

    /// The processes to kill.
    fn ended_by(&self, end: End) -> Vec<Pid> {
        let pid = |number: u32| Pid::from_raw(i32::try_from(number).unwrap()).unwrap();
        match end {
            End::Connection => Vec::new(),
            End::Node => vec![pid(self.node.pid())],
            End::Backend => {
                let sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'node'";
                let pids = self.database.sql("postgres", sql);
                pids.lines().map(|it| pid(it.parse().unwrap())).collect()
            }
            End::Database => {
                let server = pid(self.database.pid().unwrap());
                let mut all = vec![server];
                all.extend(self.database.children());
                all
            }
        }
    }

    /// Restarts the database, and the node if it was killed. A node that was not killed continues, and has answered 503.
    fn begin_again(&mut self, end: End, killed: &[Pid], answer: Option<Answer>) {
        if end == End::Node {
            assert_eq!(answer, None);
            self.node.kill();
            self.node.serve();
            return;
        }
        assert_sent_away(&answer.unwrap());
        if end == End::Database {
            self.database.kill();
            self.database.restart();
        }
        wait(|| {
            let children = self.database.children();
            let are_gone = !children.iter().any(|pid| killed.contains(pid));
            are_gone && self.database.is_ready()
        });
    }

    /// The first answer that is not 503. A node may have several closed connections, and notices them one by one.
    fn until_it_is_back(&self, path: &str, body: &str) -> Answer {
        let mut answer = self.node.post(path, body.as_bytes());
        wait(|| {
            let is_back = answer.status != 503;
            if !is_back {
                answer = self.node.post(path, body.as_bytes());
            }
            is_back
        });
        answer
    }
}
