//! Enrolments: authorities on the network that renew the certificates of keys.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    ObjectId, Result, SshCertificateId, Store, TokenId,
    object::{MAX_LABEL_LEN, MAX_VALUE_LEN, check_len, check_text},
    ssh_certificate::{self, key_of},
};

/// An enrolment's number in its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnrolmentId(i64);

/// What the owner of a key and an authority agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whether the certificates are a host's and not a user's. A key has at most one enrolment of each sort.
    pub is_host: bool,
    /// The address of the authority.
    pub server: String,
    /// Its name in proofs.
    pub audience: String,
    /// The principals that the certificates name.
    pub principals: Vec<String>,
    /// The role that was named, by its name at the authority; `None` if it was left to the authority.
    pub role: Option<String>,
    /// The type of the endorsement key that the authority knows, in the caller's words.
    pub ek_type: String,
    /// The keys and certificates that are trusted.
    pub trust: Trust,
}

/// The keys and certificates that are trusted at the next renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The authority's keys for users, as the SSH protocol carries them.
    pub user_cas: Vec<Vec<u8>>,
    /// The authority's keys for hosts.
    pub host_cas: Vec<Vec<u8>>,
    /// The number of the list in which the authority sent its keys; 0 if they came without a list.
    pub keys_number: u64,
    /// Certificates (PEM) that TLS trusts; `None`: those of the system.
    pub tls_roots: Option<Vec<u8>>,
}

/// An authority that certified a key, and what the next renewal needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enrolment {
    /// Its number in this store.
    pub id: EnrolmentId,
    /// The private half of the key pair.
    pub object: ObjectId,
    /// What was agreed on.
    pub terms: Terms,
    /// The last certificate, if it was not removed.
    pub certificate: Option<SshCertificateId>,
    /// When to renew it, in seconds since 1970.
    pub renew_at: u64,
    /// Until when it is good, in seconds since 1970.
    pub expires: u64,
    /// How many renewals have failed in a row.
    pub failures: u32,
    /// When a timer may try again, in seconds since 1970; 0 if nothing failed.
    pub next_try: u64,
    /// Why the last renewal failed.
    pub last_error: Option<String>,
}

const COLUMNS: &str = "e.id, object.id, e.is_host, e.server, e.audience, e.principals, e.tls_roots, \
     e.certificate, e.renew_at, e.expires, e.failures, e.next_try, e.last_error, e.ek_type, e.keys_number, e.role";

/// An enrolment, without the keys of its authority.
fn read(row: &Row<'_>) -> rusqlite::Result<Enrolment> {
    let principals: String = row.get(5)?;
    Ok(Enrolment {
        id: EnrolmentId(row.get(0)?),
        object: ObjectId(row.get(1)?),
        terms: Terms {
            is_host: row.get(2)?,
            server: row.get(3)?,
            audience: row.get(4)?,
            principals: principals.lines().map(str::to_owned).collect(),
            role: row.get(15)?,
            ek_type: row.get(13)?,
            trust: Trust {
                user_cas: Vec::new(),
                host_cas: Vec::new(),
                keys_number: row.get(14)?,
                tls_roots: row.get(6)?,
            },
        },
        certificate: row.get::<_, Option<i64>>(7)?.map(SshCertificateId::new),
        renew_at: row.get(8)?,
        expires: row.get(9)?,
        failures: row.get(10)?,
        next_try: row.get(11)?,
        last_error: row.get(12)?,
    })
}

/// The keys of an authority, for users or for hosts.
fn authorities(
    conn: &Connection,
    enrolment: EnrolmentId,
    is_host: bool,
) -> rusqlite::Result<Vec<Vec<u8>>> {
    let sql =
        "SELECT public FROM enrolment_authority WHERE enrolment = ? AND is_host = ? ORDER BY id";
    let mut query = conn.prepare_cached(sql)?;
    let keys = query.query_map(params![enrolment.0, is_host], |row| row.get(0))?;
    keys.collect()
}

/// Replaces the keys of an authority.
fn trust(conn: &Connection, enrolment: EnrolmentId, trust: &Trust) -> rusqlite::Result<()> {
    let sql = "UPDATE enrolment SET keys_number = ? WHERE id = ?";
    conn.execute(sql, params![trust.keys_number, enrolment.0])?;
    let sql = "DELETE FROM enrolment_authority WHERE enrolment = ?";
    conn.execute(sql, [enrolment.0])?;
    let sql = "INSERT INTO enrolment_authority (enrolment, is_host, public) VALUES (?, ?, ?)";
    for (is_host, keys) in [(false, &trust.user_cas), (true, &trust.host_cas)] {
        for key in keys {
            conn.execute(sql, params![enrolment.0, is_host, key])?;
        }
    }
    Ok(())
}

impl Store {
    /// The enrolments of a token's keys, oldest first.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn enrolments(&self, token: TokenId) -> Result<Vec<Enrolment>> {
        self.read(|tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM enrolment AS e JOIN object ON object.key = e.key \
                 AND object.class = 'private-key' WHERE object.token = ? ORDER BY e.id"
            );
            let mut query = tx.prepare_cached(&sql)?;
            let rows = query.query_map([token.0], read)?;
            let mut all = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            for it in &mut all {
                it.terms.trust.user_cas = authorities(tx, it.id, false)?;
                it.terms.trust.host_cas = authorities(tx, it.id, true)?;
            }
            Ok(all)
        })
    }

    /// Stores a certificate that an authority granted for the key pair of `object`, and its terms. They replace the last certificate and
    /// terms of this sort. Either both are stored or neither.
    ///
    /// The caller must check the certificate.
    ///
    /// # Errors
    ///
    /// As for [`Store::add_ssh_certificate`].
    pub fn enrol(
        &mut self,
        object: ObjectId,
        terms: &Terms,
        certificate: &[u8],
        renew_at: u64,
        expires: u64,
    ) -> Result<EnrolmentId> {
        check_len("certificate", certificate, MAX_VALUE_LEN)?;
        check_len(
            "certificates for TLS",
            terms.trust.tls_roots.as_deref().unwrap_or_default(),
            MAX_VALUE_LEN,
        )?;
        let texts = [&terms.server, &terms.audience, &terms.ek_type];
        for text in texts.into_iter().chain(&terms.role) {
            check_text("address of the authority", text, 1024)?;
        }
        let comment: String = terms.server.chars().take(MAX_LABEL_LEN).collect();
        self.write(|tx| {
            let key = key_of(tx, object)?;
            let last: Option<i64> = tx
                .query_row(
                    "SELECT certificate FROM enrolment WHERE key = ? AND is_host = ?",
                    params![key, terms.is_host],
                    |row| row.get(0),
                )
                .optional()?
                .flatten();
            if let Some(last) = last {
                tx.execute("DELETE FROM ssh_certificate WHERE id = ?", [last])?;
            }
            let certificate = ssh_certificate::add(tx, key, certificate, &comment)?;
            let id = tx.query_row(
                "INSERT INTO enrolment (key, is_host, server, audience, principals, tls_roots, \
                 certificate, renew_at, expires, ek_type, role, failures, next_try) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, 0) \
                 ON CONFLICT (key, is_host) DO UPDATE SET server = ?3, audience = ?4, principals = ?5, \
                 tls_roots = ?6, certificate = ?7, renew_at = ?8, expires = ?9, ek_type = ?10, role = ?11, failures = 0, \
                 next_try = 0, last_error = NULL RETURNING id",
                params![
                    key,
                    terms.is_host,
                    terms.server,
                    terms.audience,
                    terms.principals.join("\n"),
                    terms.trust.tls_roots,
                    certificate.get(),
                    renew_at,
                    expires,
                    terms.ek_type,
                    terms.role,
                ],
                |row| row.get(0),
            )?;
            let id = EnrolmentId(id);
            trust(tx, id, &terms.trust)?;
            Ok(id)
        })
    }

    /// Notes other keys of the authority of an enrolment, with the number of their list, unless a newer list was noted meanwhile. Returns
    /// whether they are noted.
    ///
    /// The caller must have checked them.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn trust_authorities(&mut self, id: EnrolmentId, keys: &Trust) -> Result<bool> {
        self.write(|tx| {
            let sql = "SELECT keys_number FROM enrolment WHERE id = ?";
            let number: Option<u64> = tx.query_row(sql, [id.0], |row| row.get(0)).optional()?;
            let is_newer = number.is_some_and(|number| number < keys.keys_number);
            if is_newer {
                trust(tx, id, keys)?;
            }
            Ok(is_newer)
        })
    }

    /// Notes that a renewal failed, why, and when a timer may try again (seconds since 1970).
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn note_failed_renewal(
        &mut self,
        id: EnrolmentId,
        error: &str,
        next_try: u64,
    ) -> Result<()> {
        self.write(|tx| {
            let sql = "UPDATE enrolment SET failures = failures + 1, last_error = ?, next_try = ? WHERE id = ?";
            tx.execute(sql, params![error, next_try, id.0])?;
            Ok(())
        })
    }

    /// Ends an enrolment; the key and its certificate stay. `false` if there is none with this number.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn end_enrolment(&mut self, id: EnrolmentId) -> Result<bool> {
        self.write(|tx| Ok(tx.execute("DELETE FROM enrolment WHERE id = ?", [id.0])? == 1))
    }
}
