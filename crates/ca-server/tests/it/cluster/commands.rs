//! The commands about the database: their output, errors and exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testing::Postgres;

use super::{is_noted, node, rows};
use crate::node::{Node, host, run, shown};
use crate::registry::prepared;

fn prepare(node: &Node, url: &str) -> (i32, String, String) {
    node.run(&["database", "prepare", url, "--role", "node"])
}

#[test]
fn tables_are_made_once_and_nodes_may_not_delete_what_counts() {
    let database = Postgres::start();
    let node = Node::initialised();
    let url = database.url("owner", "postgres");
    let as_node = database.url("node", "postgres");
    let (code, _, said) = prepare(&node, &url);
    assert_eq!(code, 1);
    assert!(said.contains("role \"node\" does not exist"), "{said}");
    // The failed attempt leaves nothing behind.
    assert_eq!(rows(&database, "pg_tables WHERE schemaname = 'public'"), 0);
    let _ = database.sql("postgres", "CREATE ROLE node LOGIN");
    let unprepared = "tpmssh-ca: the registry is not available: the database has no tables of tpmssh-ca (tpmssh-ca database prepare)\n";
    let asked = node.command(&["init", "--database", &as_node, "--audience", "x"]);
    let (code, _, said) = init(asked, &node, "other");
    assert_eq!((code, said.as_str()), (1, unprepared));
    assert!(!node.at("other").exists());
    for _ in 0..2 {
        let done = "the tables are there, and \"node\" can use them\n";
        assert_eq!(prepare(&node, &url), (0, done.to_owned(), String::new()));
    }
    for forbidden in [
        "DELETE FROM issued",
        "DELETE FROM revocation",
        "UPDATE issued SET not_after = 0",
        "UPDATE revocation SET ssh_key = ''",
        "UPDATE ca_key SET public = ''",
        "DELETE FROM ca_key",
        "DELETE FROM device",
        "DELETE FROM binding",
        "TRUNCATE issued",
        "DROP TABLE issued",
        "CREATE TABLE t (n INT)",
        "SELECT drop_partitions(0)",
        "UPDATE schema_version SET version = 0",
    ] {
        let mut psql = database.psql("postgres");
        let output = psql.args(["-U", "node", "-c", forbidden]).output().unwrap();
        let (code, _, said) = shown(&output);
        assert_eq!(code, 1, "{forbidden}");
        assert!(
            said.contains("permission denied") || said.contains("must be owner"),
            "{forbidden}: {said}"
        );
    }
    let _ = database.sql("postgres", "UPDATE schema_version SET version = 99");
    let newer = "tpmssh-ca: the registry is not available: the tables in the database are those of a newer tpmssh-ca\n";
    assert_eq!(prepare(&node, &url), (1, String::new(), newer.to_owned()));
    let _ = database.sql("postgres", "CREATE DATABASE other");
    let _ = database.sql("other", "CREATE TABLE orders (n INT)");
    let foreign = "tpmssh-ca: the registry is not available: the database has tables, and they are none of tpmssh-ca\n";
    assert_eq!(
        prepare(&node, &database.url("owner", "other")),
        (1, String::new(), foreign.to_owned())
    );
}

fn init(mut command: std::process::Command, node: &Node, dir: &str) -> (i32, String, String) {
    command.arg("--dir").arg(node.at(dir));
    command.arg("--agent").arg(node.at("agent"));
    command.arg("--user-ca").arg(node.at("user.pub"));
    command.arg("--host-ca").arg(node.at("host.pub"));
    shown(&command.output().unwrap())
}

#[test]
fn a_url_that_is_not_safe_or_not_whole_is_refused() {
    let node = Node::initialised();
    let open = node.at("open");
    fs::write(&open, "*:*:*:*:x\n").unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o640)).unwrap();
    let empty = node.at("empty");
    fs::write(&empty, "").unwrap();
    for (url, why) in [
        (
            "host=db user=u dbname=d",
            "a database is a URL: postgresql://USER@HOST/DATABASE",
        ),
        (
            "postgresql://u:secret@db/d",
            "the URL of the database has a password, which others can read: put it into a file (PGPASSFILE)",
        ),
        ("postgresql://db/d", "the URL of the database names no user"),
        (
            "postgresql://u@db",
            "the URL of the database names no database",
        ),
        ("postgresql://u@/d", "the URL of the database names no host"),
        (
            "postgresql://u@db/d?nonsense=1",
            "the URL of the database: invalid connection string: unknown option `nonsense`",
        ),
        (
            "postgresql://u@db/d?sslmode=require",
            "sslmode in the URL of the database is verify-full or disable: nothing between them keeps others out",
        ),
        (
            "postgresql://u@db/d",
            "the database is on another machine: sslrootcert=FILE in its URL names the certificate that it is known by",
        ),
        (
            "postgresql://u@db/d?sslmode=disable",
            "the database is on another machine: sslrootcert=FILE in its URL names the certificate that it is known by",
        ),
        (
            "postgresql://u@127.0.0.1/d",
            "the database is on another machine: sslrootcert=FILE in its URL names the certificate that it is known by",
        ),
        (
            "postgresql://u@%2Frun/d?hostaddr=10.0.0.5",
            "hostaddr in the URL of the database is not taken: name the host",
        ),
        (
            "postgresql://u@db/d?sslrootcert=%zz",
            "\"%zz\" in the URL of the database is not percent-encoded",
        ),
        (
            &format!("postgresql://u@db/d?sslrootcert={}", empty.display()),
            &format!(
                "{} has no certificate to know the database by",
                empty.display()
            ),
        ),
        (
            &format!("postgresql://u@%2Frun/d?passfile={}", open.display()),
            &format!(
                "others can read the password file {}: chmod 600",
                open.display()
            ),
        ),
    ] {
        let (code, out, said) = node.run(&["database", "prepare", url]);
        assert_eq!((code, out.as_str()), (1, ""), "{url}");
        assert_eq!(said, format!("tpmssh-ca: {why}\n"), "{url}");
        assert!(!said.contains("secret"));
    }
}

#[test]
fn the_registry_of_a_file_is_copied_and_the_nodes_go_on_with_it() {
    let database = Postgres::start();
    drop(prepared(&database));
    let owner = database.url("owner", "postgres");
    let as_node = database.url("node", "postgres");
    let mut node = Node::start();
    let tpm = node.host("web1");
    node.renew(&tpm).certificate();
    node.host("web2");
    node.ok(&["device", "revoke", "2", "--reason", "stolen"]);
    let waiting = node.token("host", "web3");
    let list = node.ok(&["device", "list"]);
    let before = node.get("/v1/krl");
    let (code, _, said) = node.run(&["database", "migrate", &owner]);
    let runs = format!(
        "tpmssh-ca: another node runs here: {}\n",
        node.own("admin.sock").display()
    );
    assert_eq!((code, said), (1, runs));
    assert_eq!(node.terminate(), Some(0));
    let (code, _, said) = node.run(&["database", "use", &as_node]);
    let first = format!(
        "tpmssh-ca: the registry is in {}: tpmssh-ca database migrate copies it first\n",
        node.own("registry.db").display()
    );
    assert_eq!((code, said), (1, first));
    assert_eq!(
        node.ok(&["database", "migrate", &owner]),
        format!(
            "copied: 2 devices, 3 certificates, 1 revocations; the file is now {}\n\
             next: tpmssh-ca database use URL, with the user of the nodes\n",
            node.own("registry.db.migrated").display()
        )
    );
    let none = format!(
        "tpmssh-ca: there is no registry in a file here: {}\n",
        node.own("registry.db").display()
    );
    let again = node.run(&["database", "migrate", &owner]);
    assert_eq!(again, (1, String::new(), none));
    assert_eq!(
        node.ok(&["database", "use", &as_node]),
        "the node uses this database from its next start on\n"
    );
    node.serve();
    assert_eq!(node.ok(&["device", "list"]), list);
    assert!(is_noted(&database, &node.renew(&tpm)));
    let new = host("web3", &waiting);
    assert!(is_noted(&database, &node.enrol(&new)));
    assert_eq!(rows(&database, "issued"), 5);
    // The list of revoked keys is the same, and so is its number.
    let list = node.get("/v1/krl");
    assert!(list.head.contains("etag: \"1\""), "{}", list.head);
    assert_eq!(list.body, before.body);
    // A second registry cannot be copied into the same database.
    let other = Node::initialised();
    let (code, _, said) = other.run(&["database", "migrate", &owner]);
    let used = "tpmssh-ca: the registry is not available: the database has the registry of an authority already\n";
    assert_eq!((code, said.as_str()), (1, used));
    assert!(other.own("registry.db").exists());
}

#[test]
fn the_shared_keys_are_for_the_node_alone() {
    let database = Postgres::start();
    let mut node = node(&database);
    assert_eq!(node.terminate(), Some(0));
    let keys = node.own("ticket-keys");
    let shown = keys.display();
    for (content, mode, why) in [
        ("", 0o600, format!("{shown} has no key")),
        (
            "12\n",
            0o600,
            format!("{shown}, line 1: a key has 64 hexadecimal digits"),
        ),
        ("12\n", 0o640, format!("others can read {shown}: chmod 600")),
    ] {
        fs::write(&keys, content).unwrap();
        fs::set_permissions(&keys, fs::Permissions::from_mode(mode)).unwrap();
        let (code, _, said) = node.run(&["serve"]);
        assert_eq!((code, said), (1, format!("tpmssh-ca: {why}\n")));
    }
}

/// A certificate for `name` by a new authority: the files of the authority's certificate, the server's certificate, and the server's key.
fn certificates(dir: &Path, name: &str) -> (String, String) {
    let at = |file: &str| dir.join(file).display().to_string();
    let ec = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ];
    let mut root = std::process::Command::new("openssl");
    root.args(["req", "-x509", "-subj", "/CN=root"]).args(ec);
    run(root.args(["-keyout", &at("root.key"), "-out", &at("root.pem")]));
    let mut own = std::process::Command::new("openssl");
    own.args([
        "req",
        "-x509",
        "-subj",
        "/CN=db",
        "-addext",
        &format!("subjectAltName={name}"),
    ]);
    own.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    own.args(ec)
        .args(["-CA", &at("root.pem"), "-CAkey", &at("root.key")]);
    run(own.args(["-keyout", &at("own.key"), "-out", &at("own.pem")]));
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap();
    (read("own.pem"), read("own.key"))
}

/// Over TCP, the database is authenticated by its certificate, and the node by a password from a file.
#[test]
fn over_a_network_both_sides_show_who_they_are() {
    let node = Node::initialised();
    let dir = node.dir.path();
    let (certificate, key) = certificates(dir, "IP:127.0.0.1");
    let database = Postgres::with_tls(&certificate, &key);
    let _ = database.sql("postgres", "ALTER ROLE owner PASSWORD 'it:s \\ me'");
    let _ = database.sql("postgres", "CREATE ROLE node LOGIN");
    let passwords = node.at("passwords");
    let port = database.port();
    let line = format!(
        "# of this test\nelsewhere:*:*:*:wrong\n127.0.0.1:{port}:postgres:owner:it\\:s \\\\ me\n"
    );
    fs::write(&passwords, line).unwrap();
    fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).unwrap();
    let prepare = |host: &str, root: &str, file: &Path| {
        let root = node.at(root).display().to_string();
        let url = format!(
            "postgresql://owner@{host}:{port}/postgres?sslrootcert={root}&sslmode=verify-full"
        );
        let mut command = node.command(&["database", "prepare", &url, "--role", "node"]);
        shown(&command.env("PGPASSFILE", file).output().unwrap())
    };
    let wrong = node.at("wrong");
    fs::write(&wrong, "*:*:*:*:wrong\n").unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, _, said) = prepare("127.0.0.1", "root.pem", &wrong);
    assert_eq!(code, 1);
    assert!(said.contains("password authentication failed"), "{said}");
    // The server's certificate is for another name, or by another authority.
    let (code, _, said) = prepare("localhost", "root.pem", &passwords);
    assert_eq!(code, 1);
    assert!(said.contains("not valid for name"), "{said}");
    let strangers = tempfile::tempdir().unwrap();
    certificates(strangers.path(), "IP:127.0.0.1");
    fs::copy(strangers.path().join("root.pem"), node.at("strange.pem")).unwrap();
    let (code, _, said) = prepare("127.0.0.1", "strange.pem", &passwords);
    assert_eq!(code, 1);
    assert!(said.contains("invalid peer certificate"), "{said}");
    let done = "the tables are there, and \"node\" can use them\n";
    assert_eq!(
        prepare("127.0.0.1", "root.pem", &passwords),
        (0, done.to_owned(), String::new())
    );
}
