//! A registry of either kind, and machines with verified proofs.

use std::sync::OnceLock;

use ca_server::Refusal;
use ca_server::policy::Rebind;
use ca_server::registry::postgres::{self, Location, Postgres};
use ca_server::registry::sqlite::Sqlite;
use ca_server::registry::{
    Admission, Answer, Assignment, Bound, Custody, Enrolment, Outcome, Registry, Signed, TokenLine,
};
use key_proof::{Kind, TpmTime, Verified};
use rand_core::{OsRng, RngCore};
use ssh_format::{AnyKey, CertificateKind, CertificateRequest, Curve, PublicKey, Signature};
use tempfile::TempDir;

use crate::pair::{Hash, Pair};
use crate::software_tpm::{NOW, SoftwareTpm, any_tpm, check};

/// A registry, and the authority's key.
pub(crate) struct World {
    pub(crate) registry: Box<dyn Registry>,
    database: Database,
    pub(crate) ca: Ca,
}

enum Database {
    Sqlite(TempDir),
    Postgres(testing::Postgres),
}

/// The key that signs certificates.
pub(crate) struct Ca {
    pair: Pair,
    pub(crate) key: AnyKey,
    pub(crate) number: i64,
}

/// The parameters of an enrolment.
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a str,
    pub(crate) token: Option<[u8; 32]>,
    pub(crate) approve_first: bool,
    pub(crate) rebind: Rebind,
    /// Used if there is no token.
    pub(crate) admission: Admission,
    pub(crate) body: [u8; 32],
}

impl<'a> Wish<'a> {
    pub(crate) fn new(name: &'a str, token: Option<[u8; 32]>) -> Self {
        Self {
            name,
            token,
            approve_first: false,
            rebind: Rebind::Approve,
            admission: Admission::Known,
            body: [1; 32],
        }
    }
}

/// An answer to a nonce for a renewal.
#[derive(Clone, Copy)]
pub(crate) struct Come<'a> {
    pub(crate) names: &'a [&'a str],
    pub(crate) time: (u64, u32, u32),
    pub(crate) nonce: [u8; 32],
    pub(crate) body: [u8; 32],
    pub(crate) now: u64,
}

impl<'a> Come<'a> {
    pub(crate) fn at(clock: u64, names: &'a [&'a str]) -> Self {
        Self {
            names,
            time: (clock, 0, 0),
            nonce: random(),
            body: [1; 32],
            now: NOW,
        }
    }
}

impl World {
    pub(crate) fn sqlite() -> Self {
        let dir = testing::memory_dir();
        let registry = Sqlite::open(&dir.path().join("registry.db")).unwrap();
        Self::new(Box::new(registry), Database::Sqlite(dir))
    }

    /// A registry in PostgreSQL, with only the rights of `role.sql`.
    pub(crate) fn postgres() -> Self {
        let server = testing::Postgres::start();
        let registry = prepared(&server);
        Self::new(Box::new(registry), Database::Postgres(server))
    }

    fn new(registry: Box<dyn Registry>, database: Database) -> Self {
        let pair = Pair::p256();
        let key = public(&pair);
        let number = registry
            .ca_key("host", key.blob(), &Custody::default())
            .unwrap();
        let ca = Ca { pair, key, number };
        Self {
            registry,
            database,
            ca,
        }
    }

    /// Opens the same database again, like another node.
    pub(crate) fn again(&self) -> Box<dyn Registry> {
        match &self.database {
            Database::Sqlite(dir) => {
                Box::new(Sqlite::open(&dir.path().join("registry.db")).unwrap())
            }
            Database::Postgres(server) => Box::new(opened(server).unwrap()),
        }
    }

    /// The number of rows of a table.
    pub(crate) fn rows(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        match &self.database {
            Database::Sqlite(dir) => {
                let path = dir.path().join("registry.db");
                let db = rusqlite::Connection::open(path).unwrap();
                db.query_row(&sql, [], |row| row.get(0)).unwrap()
            }
            Database::Postgres(server) => server.sql("postgres", &sql).parse().unwrap(),
        }
    }

    /// A join token for `name`, valid for 100 s.
    pub(crate) fn token(&self, name: &str) -> [u8; 32] {
        let hash = random();
        self.add_token(hash, name, NOW + 100, 1);
        hash
    }

    pub(crate) fn add_token(&self, hash: [u8; 32], name: &str, expires: u64, uses: u32) {
        let token = TokenLine {
            hash,
            assignment: assignment(name),
            uses,
            expires,
            by: "uid 0".to_owned(),
        };
        self.registry.add_join_token(&token).unwrap();
    }

    /// Signs a certificate for a key.
    pub(crate) fn sign(&self, key: &AnyKey) -> Signed {
        let request = CertificateRequest {
            key: key.clone(),
            serial: OsRng.next_u64().max(1),
            kind: CertificateKind::Host,
            key_id: "v1 a test".to_owned(),
            // The registry does not read this.
            principals: vec!["test".to_owned()],
            valid_after: NOW,
            valid_before: NOW + 86_400,
            critical_options: Vec::new(),
            extensions: Vec::new(),
        };
        let unsigned = request.unsigned(&[0; 32], &self.ca.key).unwrap();
        let numbers = self.ca.pair.sign(Hash::Sha256, unsigned.bytes());
        let signature = Signature::ecdsa(Curve::NistP256, &numbers[0], &numbers[1]).unwrap();
        Signed {
            certificate: unsigned.signed(&signature).unwrap(),
            ca: self.ca.number,
        }
    }

    /// Enrols with a verified proof.
    pub(crate) fn enrol(&self, proof: &Verified, wish: &Wish<'_>) -> Outcome {
        self.try_enrol(proof, wish).unwrap()
    }

    pub(crate) fn try_enrol(&self, proof: &Verified, wish: &Wish<'_>) -> Result<Outcome, Refusal> {
        let mut sign = || Ok(self.sign(&proof.key));
        self.enrol_by(proof, wish, &mut sign)
    }

    pub(crate) fn enrol_by(
        &self,
        proof: &Verified,
        wish: &Wish<'_>,
        sign: &mut dyn FnMut() -> Result<Signed, Refusal>,
    ) -> Result<Outcome, Refusal> {
        let admission = match wish.token {
            Some(token) => Admission::Token(token),
            None => wish.admission.clone(),
        };
        let enrolment = Enrolment {
            verified: proof,
            assignment: &assignment(wish.name),
            admission: &admission,
            answer: Answer {
                nonce: &proof.nonce,
                expires: proof.expires,
                body: &wish.body,
                now: NOW,
            },
            approve_first: wish.approve_first,
            rebind: wish.rebind,
        };
        self.registry.enrol(&enrolment, &proof.principals, sign)
    }

    /// A machine that has enrolled with the name.
    pub(crate) fn host(&self, name: &str) -> SoftwareTpm {
        let tpm = host(name);
        let outcome = self.enrol(&verified(&tpm), &Wish::new(name, Some(self.token(name))));
        assert!(matches!(outcome, Outcome::Issued(_)), "{outcome:?}");
        tpm
    }

    /// The entries of a machine's key: one for each role.
    pub(crate) fn bound(&self, tpm: &SoftwareTpm) -> Vec<Bound> {
        let proof = verified(tpm);
        self.registry
            .bound(&proof.attestation_key, &proof.binding.key)
            .unwrap()
    }

    pub(crate) fn renew(&self, tpm: &SoftwareTpm, come: &Come<'_>) -> Outcome {
        let bound = self.bound(tpm)[0].clone();
        self.try_renew(&bound, come).unwrap()
    }

    pub(crate) fn try_renew(&self, bound: &Bound, come: &Come<'_>) -> Result<Outcome, Refusal> {
        let mut sign = || Ok(self.sign(&bound.binding.ssh_key));
        self.renew_by(bound.id, come, &mut sign)
    }

    pub(crate) fn renew_by(
        &self,
        bound: i64,
        come: &Come<'_>,
        sign: &mut dyn FnMut() -> Result<Signed, Refusal>,
    ) -> Result<Outcome, Refusal> {
        // Only `verify` can make a `Verified`.
        static TIME: OnceLock<TpmTime> = OnceLock::new();
        let mut time = *TIME.get_or_init(|| verified(&host("x")).time);
        (time.clock, time.resets, time.restarts) = come.time;
        let answer = Answer {
            nonce: &come.nonce,
            expires: come.now + 60,
            body: &come.body,
            now: come.now,
        };
        self.registry
            .renew(bound, &names(come.names), time, answer, sign)
    }
}

/// A registry in a new database, with the rights of a node.
pub(crate) fn prepared(server: &testing::Postgres) -> Postgres {
    let _ = server.sql("postgres", "CREATE ROLE node LOGIN");
    let owner = Location::parse(&server.url("owner", "postgres")).unwrap();
    postgres::prepare(owner, Some("node")).unwrap();
    opened(server).unwrap()
}

pub(crate) fn opened(server: &testing::Postgres) -> Result<Postgres, Refusal> {
    Postgres::open(Location::parse(&server.url("node", "postgres")).unwrap())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&it| it.to_owned()).collect()
}

pub(crate) fn assignment(name: &str) -> Assignment {
    Assignment {
        role: "host".to_owned(),
        name: name.to_owned(),
    }
}

/// A machine that asks for a certificate of the host `name`.
pub(crate) fn host(name: &str) -> SoftwareTpm {
    let mut tpm = SoftwareTpm::new();
    tpm.behind_nothing();
    tpm.kind = Kind::Host;
    tpm.principals = vec![name.to_owned()];
    tpm
}

/// A verified proof of the machine for a new challenge.
pub(crate) fn verified(tpm: &SoftwareTpm) -> Verified {
    check(&tpm.proof(), &any_tpm()).unwrap()
}

pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

fn public(pair: &Pair) -> AnyKey {
    let (x, y) = pair.point();
    let key = PublicKey::ecdsa(Curve::NistP256, &x, &y).unwrap();
    AnyKey::from_blob(key.blob()).unwrap()
}

/// The certificate of an outcome.
#[track_caller]
pub(crate) fn issued(outcome: Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Issued(blob) => blob,
        other => panic!("nothing was issued: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn pending(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Pending(id) => id,
        other => panic!("it does not wait: {other:?}"),
    }
}

/// A signer that is not available.
pub(crate) fn no_signer() -> Result<Signed, Refusal> {
    Err(Refusal::Signer("the agent is away".into()))
}
