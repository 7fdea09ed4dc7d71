//! Several nodes with one database, and a database that fails at the worst moments.

mod commands;
mod cut;
mod keys;
mod steps;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ca_server::audit::Audit;
use ca_server::authority::{Authority, Rules, now};
use ca_server::policy::{Files, Policy};
use ca_server::signer::Agent;
use key_proof::Anchors;
use testing::Postgres;

use crate::node::{Answer, Node, host, renewal};
use crate::registry::{opened, prepared};
use crate::software_tpm::SoftwareTpm;

/// A database, and a node that uses it.
pub(crate) fn node(database: &Postgres) -> Node {
    drop(prepared(database));
    let mut node = Node::initialised_with(&["--database", &database.url("node", "postgres")]);
    node.serve();
    node
}

/// A second node of the same authority.
pub(crate) fn second(first: &Node, database: &Postgres) -> Node {
    let mut node = Node::beside(first, &["--database", &database.url("node", "postgres")]);
    fs::copy(first.own("ticket-keys"), node.own("ticket-keys")).unwrap();
    node.serve();
    node
}

fn rows(database: &Postgres, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    database.sql("postgres", &sql).parse().unwrap()
}

/// Whether the database has a row for the certificate in an answer.
fn is_noted(database: &Postgres, answer: &Answer) -> bool {
    let serial = answer.certificate().serial().cast_signed();
    rows(database, &format!("issued WHERE serial = {serial}")) == 1
}

#[track_caller]
fn assert_sent_away(answer: &Answer) {
    assert_eq!(answer.refused().0, 503);
    assert_eq!(answer.refused().1, "busy");
    let again = answer.retry_after();
    assert!((30..=60).contains(&again), "{}", answer.head);
}

/// The first answer that is not "busy". A node may notice only at the next request that a connection was closed.
fn once_it_can(mut ask: impl FnMut() -> Answer) -> Answer {
    let mut last = None;
    testing::eventually(|| last.insert(ask()).status != 503);
    last.expect("there was at least one request")
}

#[test]
fn two_nodes_are_one_authority() {
    let database = Postgres::start();
    let first = node(&database);
    let second = second(&first, &database);
    // Begun at one node, finished at the other.
    let tpm = host("web1", &first.token("host", "web1"));
    let proof = first.proof(&tpm);
    let answer = second.finish(&proof);
    assert!(is_noted(&database, &answer));
    assert_eq!(
        first.finish(&proof).certificate().blob(),
        answer.certificate().blob(),
        "the same answer at the other node"
    );
    assert_eq!(rows(&database, "issued"), 1);
    // A nonce of one node is accepted by the other, once.
    let body = renewal(&tpm, first.nonce()).to_json();
    let got = second.post("/v1/renew", body.as_bytes()).certificate();
    let again = first.post("/v1/renew", body.as_bytes()).certificate();
    assert_eq!(got.blob(), again.blob());
    assert_eq!(rows(&database, "issued"), 2);
    // Revoked at one node, refused by the other at once.
    second.ok(&["device", "revoke", "1"]);
    assert_eq!(first.renew(&tpm).refused().0, 410);
    assert_eq!(first.begin(&tpm).refused().0, 403);
    // Both nodes give the same list of revoked keys the same number, because clients refuse a smaller one.
    let lists = [&first, &second].map(|node| node.get("/v1/krl"));
    assert_eq!(lists[0].body, lists[1].body);
    assert!(lists.iter().all(|it| it.head.contains("etag: \"1\"")));
}

/// Files for a policy that names none.
struct NoFiles;

impl Files for NoFiles {
    fn roots(&mut self, path: &Path, _: &mut Anchors) -> Result<(), String> {
        Err(format!("{} is not read", path.display()))
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        Err(format!("{} is not read", path.display()))
    }
}

/// The clock of the node dates certificates, so the clocks of all nodes have to agree.
#[test]
fn a_node_whose_clock_is_not_that_of_the_database_is_not_ready() {
    let database = Postgres::start();
    drop(prepared(&database));
    let node = Node::initialised();
    let policy = fs::read_to_string(node.own("policy.toml")).unwrap();
    // Ten minutes before and after, and some seconds more than allowed, in case this machine is slow.
    for (shift, is_right) in [
        (-600, false),
        (-60, false),
        (0, true),
        (20, false),
        (600, false),
    ] {
        let rules = Rules {
            policy: Policy::parse(&policy, &mut NoFiles).unwrap(),
            tickets: Vec::new(),
            tickets_since: 0,
        };
        let registry = Box::new(opened(&database).unwrap());
        let signer = Box::new(Agent::new(node.at("agent")));
        let audit = Audit::open(&node.at("audit.log")).unwrap();
        let authority = Authority::new(rules, registry, signer, audit).unwrap();
        let missing = authority.missing(now().saturating_add_signed(shift));
        let expected = if is_right {
            &["ticket-key"][..]
        } else {
            &["clock", "ticket-key"]
        };
        assert_eq!(missing, expected, "{shift}");
    }
}

#[test]
fn without_the_shared_keys_the_other_node_takes_no_answer() {
    let database = Postgres::start();
    let first = node(&database);
    let mut second = Node::beside(&first, &["--database", &database.url("node", "postgres")]);
    second.serve();
    let tpm = host("web1", &first.token("host", "web1"));
    let proof = first.proof(&tpm);
    assert_eq!(second.finish(&proof).refused().1, "V7");
    first.finish(&proof).certificate();
}

#[test]
fn a_database_that_is_away_gives_no_certificate_and_comes_back() {
    let mut database = Postgres::start();
    let mut node = node(&database);
    let tpm = node.host("web1");
    let new = host("web2", &node.token("host", "web2"));
    let proof = node.proof(&new);
    for ends_well in [true, false] {
        if ends_well {
            database.stop();
        } else {
            database.kill();
        }
        assert_sent_away(&node.renew(&tpm));
        assert_sent_away(&node.finish(&proof));
        assert_sent_away(&node.begin(&new));
        database.restart();
        assert!(is_noted(&database, &node.renew(&tpm)));
    }
    assert!(is_noted(&database, &node.finish(&proof)));
    assert_eq!(node.terminate(), Some(0));
    node.wait_until_printed("tpmssh-ca: the registry is not available: ");
}

#[test]
fn a_database_that_hangs_gives_no_certificate_and_goes_on() {
    let database = Postgres::start();
    let node = node(&database);
    let tpm = node.host("web1");
    let body = renewal(&tpm, node.nonce()).to_json();
    database.freeze(true);
    assert_sent_away(&node.post("/v1/renew", body.as_bytes()));
    database.freeze(false);
    let answer = node.post("/v1/renew", body.as_bytes());
    assert!(is_noted(&database, &answer));
}

#[test]
fn a_database_that_cannot_be_written_gives_no_certificate() {
    let database = Postgres::start();
    let node = node(&database);
    let tpm = node.host("web1");
    let new = host("web2", &node.token("host", "web2"));
    let proof = node.proof(&new);
    let set = |on: &str| {
        let sql = format!("ALTER DATABASE postgres SET default_transaction_read_only = {on}");
        // Open connections keep the setting.
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'node'";
        let change = "SET default_transaction_read_only = off";
        let mut psql = database.psql("postgres");
        crate::node::run(psql.args(["-c", change, "-c", &sql, "-c", end]));
    };
    set("on");
    assert_sent_away(&node.renew(&tpm));
    assert_sent_away(&node.finish(&proof));
    set("off");
    assert!(is_noted(&database, &once_it_can(|| node.renew(&tpm))));
    assert!(is_noted(&database, &once_it_can(|| node.finish(&proof))));
    assert_eq!(rows(&database, "issued"), 3);
}

/// Writing a certificate takes longer than a node waits. The machine gets 503 in time, and a certificate when the database is fast again.
#[test]
fn a_database_that_is_slow_gives_no_certificate() {
    let database = Postgres::start();
    let node = node(&database);
    let tpm = node.host("web1");
    let new = host("web2", &node.token("host", "web2"));
    let proof = node.proof(&new);
    let body = renewal(&tpm, node.nonce()).to_json();
    let slow = "CREATE FUNCTION slow() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE INSERT ON issued FOR EACH ROW EXECUTE FUNCTION slow()";
    let _ = database.sql("postgres", slow);
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        let finish = scope.spawn(|| node.finish(&proof));
        assert_sent_away(&node.post("/v1/renew", body.as_bytes()));
        assert_sent_away(&finish.join().unwrap());
    });
    // The statements were cancelled, not waited for.
    assert!(begun.elapsed().as_secs() < 18, "{:?}", begun.elapsed());
    let _ = database.sql("postgres", "DROP FUNCTION slow CASCADE");
    assert_eq!(rows(&database, "issued"), 1);
    let answer = node.post("/v1/renew", body.as_bytes());
    assert!(is_noted(&database, &answer));
    assert!(is_noted(&database, &node.finish(&proof)));
}

/// Another program has locked a row. The machine gets 503, and its nonce stays valid.
#[test]
fn a_row_that_is_locked_for_long_sends_the_machine_away() {
    let database = Postgres::start();
    let node = node(&database);
    let tpm = node.host("web1");
    let body = renewal(&tpm, node.nonce()).to_json();
    let mut psql = database.psql("postgres");
    let lock = "BEGIN; SELECT id FROM binding FOR UPDATE; SELECT pg_sleep(60)";
    let mut locked = psql.args(["-c", lock]).spawn().unwrap();
    crate::node::wait(|| rows(&database, "pg_stat_activity WHERE wait_event = 'PgSleep'") == 1);
    assert_sent_away(&node.post("/v1/renew", body.as_bytes()));
    let _ = database.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    );
    locked.wait().unwrap();
    let answer = node.post("/v1/renew", body.as_bytes());
    assert!(is_noted(&database, &answer));
}

/// Another renewal has stored a later time of the TPM, and commits while this one waits for the row. This one has to use the new time, not the
/// one that it has read before.
#[test]
fn v14_a_renewal_that_waited_for_another_one_sees_its_time() {
    let database = Postgres::start();
    let node = node(&database);
    let mut tpm = node.host("web1");
    tpm.time = (1_000_000, 0, 0);
    node.renew(&tpm).certificate();
    tpm.time = (1_500_000, 0, 0);
    let body = renewal(&tpm, node.nonce()).to_json();
    let mut psql = database.psql("postgres");
    let mut other = psql.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut says = other.stdin.take().unwrap();
    says.write_all(b"BEGIN; UPDATE binding SET clock = 2000000;\n")
        .unwrap();
    let waits = |what: &str| rows(&database, &format!("pg_stat_activity WHERE {what}")) == 1;
    crate::node::wait(|| waits("state = 'idle in transaction' AND usename = 'owner'"));
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| node.post("/v1/renew", body.as_bytes()));
        // The renewal may also have waited too long.
        let is_there = || answer.is_finished() || waits("wait_event_type = 'Lock'");
        crate::node::wait(is_there);
        says.write_all(b"COMMIT;\n").unwrap();
        drop(says);
        answer.join().unwrap()
    });
    other.wait().unwrap();
    // "busy" on a slow machine, if the wait for the row was too long.
    let code = answer.refused().1;
    assert!(["V14", "busy"].contains(&code.as_str()), "{code}");
    assert_eq!(rows(&database, "issued"), 2);
    tpm.time = (2_000_000, 0, 0);
    assert!(is_noted(&database, &node.renew(&tpm)));
}

/// Renewals without a pause while the database is killed and restarted.
#[test]
fn no_certificate_is_without_a_row_whenever_the_database_is_killed() {
    let mut database = Postgres::start();
    let node = node(&database);
    let machines: Vec<SoftwareTpm> = (0..4).map(|it| node.host(&format!("web{it}"))).collect();
    let ended = AtomicBool::new(false);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let all: Vec<_> = machines
            .iter()
            .map(|tpm| {
                scope.spawn(|| {
                    let mut got = Vec::new();
                    while !ended.load(Ordering::SeqCst) {
                        let answer = node.renew(tpm);
                        match answer.status {
                            200 => got.push(answer),
                            503 => {}
                            _ => panic!("{:?}", answer.refused()),
                        }
                    }
                    got
                })
            })
            .collect();
        for wait in [300, 70, 150, 20] {
            std::thread::sleep(std::time::Duration::from_millis(wait));
            database.kill();
            database.restart();
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        ended.store(true, Ordering::SeqCst);
        all.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    assert!(answers.len() > 4, "{}", answers.len());
    assert!(answers.iter().all(|it| is_noted(&database, it)));
}
