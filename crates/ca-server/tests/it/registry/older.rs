//! Registries of older versions, in which keys of the authority had no state.

use ca_server::registry::postgres::{self, Location};
use ca_server::registry::sqlite::Sqlite;
use ca_server::registry::{Custody, Registry};

use super::world::opened;

/// The registry has one key. The key is not published before a node starts with it, and keeps its number.
fn is_past_until_a_node_starts_with_it(registry: &dyn Registry) {
    let all = registry.ca_keys().unwrap();
    let states: Vec<_> = all.keys.iter().map(|key| key.state.as_str()).collect();
    assert_eq!(states, ["past", "past"]);
    assert_eq!(all.number, 0);
    let node = Custody {
        place: "agent",
        node: "node1",
    };
    assert_eq!(registry.ca_key("user", b"used", &node).unwrap(), 2);
    let all = registry.ca_keys().unwrap();
    let active: Vec<_> = all.active("user").map(|key| key.public.clone()).collect();
    assert_eq!((all.number, active), (1, vec![b"used".to_vec()]));
    assert!(
        registry
            .revoked(None, 0, 60)
            .unwrap()
            .unwrap()
            .keys
            .is_empty()
    );
}

const KEYS: &str = "INSERT INTO ca_key (kind, public) VALUES ('user', 'given up'); \
                    INSERT INTO ca_key (kind, public) VALUES ('user', 'used')";

#[test]
fn a_file_of_version_3_has_keys_that_nobody_publishes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    for schema in [
        include_str!("../../../src/registry/schema_1.sql"),
        include_str!("../../../src/registry/schema_2.sql"),
        include_str!("../../../src/registry/schema_3.sql"),
        // "tpCA".
        "PRAGMA application_id = 1953514305; PRAGMA user_version = 3;",
        "INSERT INTO ca_key (kind, public) VALUES ('user', CAST('given up' AS BLOB)), ('user', CAST('used' AS BLOB))",
    ] {
        db.execute_batch(schema).unwrap();
    }
    drop(db);
    is_past_until_a_node_starts_with_it(&Sqlite::open(&path).unwrap());
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE ca_key SET state = 'retired' WHERE id = 1", [])
        .unwrap();
    let back = db.execute("UPDATE ca_key SET state = 'active' WHERE id = 1", []);
    assert!(back.unwrap_err().to_string().contains("stays retired"));
}

/// The update works also if the rights of the nodes are not given again.
#[test]
fn a_database_of_version_2_has_keys_that_nobody_publishes() {
    let server = testing::Postgres::start();
    let _ = server.sql("postgres", "CREATE ROLE node LOGIN");
    let as_owner = |sql: &str| {
        let mut psql = server.psql("postgres");
        crate::node::run(psql.args(["-v", "ON_ERROR_STOP=1", "-U", "owner", "-c", sql]));
    };
    as_owner(include_str!("../../../src/registry/postgres/schema_1.sql"));
    as_owner(include_str!("../../../src/registry/postgres/schema_2.sql"));
    as_owner("UPDATE schema_version SET version = 2");
    as_owner(KEYS);
    for right in [
        "USAGE ON SCHEMA public",
        "SELECT ON ALL TABLES IN SCHEMA public",
        "INSERT ON ca_key, issued, revocation",
        "UPDATE ON meta",
        "USAGE ON ALL SEQUENCES IN SCHEMA public",
    ] {
        as_owner(&format!("GRANT {right} TO node"));
    }
    assert!(opened(&server).is_err(), "an older version");
    let owner = || Location::parse(&server.url("owner", "postgres")).unwrap();
    postgres::prepare(owner(), None).unwrap();
    is_past_until_a_node_starts_with_it(&opened(&server).unwrap());
    // An attacker on a node cannot undo it.
    let as_node = |sql: &str| {
        let mut psql = server.psql("postgres");
        psql.args(["-U", "node", "-c", sql]).output().unwrap()
    };
    let retire = "UPDATE ca_key SET state = 'retired' WHERE id = 1";
    assert!(as_node(retire).status.success());
    for forbidden in [
        "UPDATE ca_key SET state = 'active' WHERE id = 1",
        "UPDATE ca_key SET public = 'other' WHERE id = 1",
        "DELETE FROM ca_key",
    ] {
        assert!(!as_node(forbidden).status.success(), "{forbidden}");
    }
}
