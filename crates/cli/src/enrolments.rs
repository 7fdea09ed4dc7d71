//! Certificates by an authority over the network (`tpmssh-ca`), which are valid for some hours and are renewed.

pub(crate) mod again;
pub(crate) mod first;
pub(crate) mod options;
pub(crate) mod revoked;

use clap::ValueEnum;
use enroll::{Authorities, Granted, Server, Wanted, pace};
use key_proof::Kind;
use rand_core::{OsRng, RngCore};
use ssh_format::{AnyKey, Certificate};
use token_store::{Enrolment, EnrolmentId, Store, Terms, Trust};
use tpm_core::ek::EkType;

use crate::app::App;
use crate::fail::error::EnrolmentError;
use crate::keys::signing::{self, SigningKey};
use crate::options::EkTypeArg;
use crate::proofs::prover::{Prover, Purpose};
use crate::show::date;
use crate::show::output::{error_line, tell};

/// A certificate that was issued and is stored.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) certificate: Certificate,
    /// When to renew it, in seconds since 1970.
    pub(crate) renew_at: u64,
    pub(crate) authorities: Authorities,
    /// The endorsement key of the proof; `None` for a renewal without a proof.
    ek_type: Option<EkType>,
}

/// A key that an authority certifies.
pub(crate) struct Enrolled {
    pub(crate) key: SigningKey,
    pub(crate) enrolment: Enrolment,
}

/// The enrolments of the tokens that the options select.
///
/// # Errors
///
/// Errors of the store.
pub(crate) fn all(app: &App, store: &Store) -> anyhow::Result<Vec<Enrolled>> {
    let keys = signing::all(app, store)?;
    let mut all = Vec::new();
    for token in app.some_tokens(store)? {
        for enrolment in store.enrolments(token.id)? {
            let key = keys.iter().find(|key| key.object == enrolment.object);
            if let Some(key) = key.cloned() {
                all.push(Enrolled { key, enrolment });
            }
        }
    }
    Ok(all)
}

/// The enrolments of the key with this name, or all without one.
///
/// # Errors
///
/// [`EnrolmentError::NotEnrolled`], and those of [`all`].
pub(crate) fn named(app: &App, store: &Store, key: Option<&str>) -> anyhow::Result<Vec<Enrolled>> {
    let mut all = all(app, store)?;
    if key.is_some() {
        let key = signing::find(signing::all(app, store)?, key)?;
        all.retain(|it| it.key.object == key.object);
    }
    if all.is_empty() {
        return Err(EnrolmentError::NotEnrolled.into());
    }
    Ok(all)
}

/// The type of endorsement key with this name; `None` for one that this version does not know.
fn ek_type(name: &str) -> Option<EkType> {
    EkTypeArg::from_str(name, false).ok().map(EkType::from)
}

/// A random number for [`enroll::pace`].
pub(crate) fn random() -> u32 {
    OsRng.next_u32()
}

/// The authority's keys that the store has for an enrolment.
///
/// # Errors
///
/// If the store has no keys there.
pub(crate) fn authorities(trust: &Trust) -> anyhow::Result<Authorities> {
    let keys = |blobs: &[Vec<u8>]| {
        let keys = blobs.iter().map(|blob| AnyKey::from_blob(blob));
        keys.collect::<ssh_format::Result<Vec<_>>>()
    };
    Ok(Authorities {
        users: keys(&trust.user_cas)?,
        hosts: keys(&trust.host_cas)?,
        number: trust.keys_number,
    })
}

/// The fingerprints of keys.
pub(crate) fn fingerprints(keys: &[AnyKey]) -> Vec<String> {
    keys.iter()
        .map(|key| key.fingerprint().to_string())
        .collect()
}

/// The authority's keys in the form of the store.
fn trust(authorities: &Authorities, tls_roots: Option<Vec<u8>>) -> Trust {
    let blobs = |keys: &[AnyKey]| keys.iter().map(|key| key.blob().to_vec()).collect();
    Trust {
        user_cas: blobs(&authorities.users),
        host_cas: blobs(&authorities.hosts),
        keys_number: authorities.number,
        tls_roots,
    }
}

fn purpose(terms: &Terms) -> Purpose<'_> {
    Purpose {
        kind: if terms.is_host {
            Kind::Host
        } else {
            Kind::User
        },
        principals: &terms.principals,
        audience: &terms.audience,
        role: terms.role.as_deref(),
    }
}

/// Checks the answer of an authority.
///
/// If the authority has other keys than the trusted ones, they are accepted if a trusted key signed them. Without trusted keys, those in the answer are
/// accepted. If the other keys are not accepted, a certificate by a trusted key still is.
fn checked(
    prover: &Prover<'_>,
    server: &Server,
    trusted: Option<&Authorities>,
    granted: Granted,
    purpose: &Purpose<'_>,
) -> anyhow::Result<Got> {
    let now = date::now();
    let wanted = Wanted {
        key: &prover.key.public,
        kind: purpose.kind,
        principals: purpose.principals,
    };
    let check = |by: &Authorities| wanted.check(&granted.certificate, by, now);
    let authorities = match trusted {
        Some(trusted) if granted.authorities != *trusted => {
            match new_keys(server, trusted, purpose.audience) {
                Ok(new) => new.unwrap_or_else(|| trusted.clone()),
                Err(err) if check(trusted).is_ok() => {
                    let why = error_line(&err);
                    tell(&format!(
                        "tpmssh: the authority has other keys, which are not taken: {why}"
                    ));
                    trusted.clone()
                }
                Err(err) => return Err(err),
            }
        }
        _ => granted.authorities.clone(),
    };
    check(&authorities)?;
    let expires = granted.certificate.valid_before();
    Ok(Got {
        renew_at: pace::renewal(now, expires, granted.renew_after, random()),
        certificate: granted.certificate,
        authorities,
        ek_type: None,
    })
}

/// The authority's keys that replace the trusted ones; `None` if the authority has no others.
///
/// # Errors
///
/// Errors of the authority, and of an answer that is refused.
fn new_keys(
    server: &Server,
    trusted: &Authorities,
    audience: &str,
) -> anyhow::Result<Option<Authorities>> {
    // Keys that a person gave come from no list, so the whole list is asked for.
    let known = Some(trusted.number).filter(|&number| number > 0);
    let Some(signed) = server.keys(known)? else {
        return Ok(None);
    };
    let keys = trusted.successor(&signed, audience, date::now())?;
    Ok(Some(keys).filter(|keys| keys != trusted))
}

/// Asks the authority of an enrolment for its keys, and stores new ones. Returns the keys that are trusted from now on.
///
/// # Errors
///
/// Errors of the authority, of an answer that is refused, and of the store. The stored keys are not changed then.
pub(crate) fn refresh_keys(
    store: &mut Store,
    enrolment: &Enrolment,
    server: &Server,
) -> anyhow::Result<Authorities> {
    let terms = &enrolment.terms;
    let trusted = authorities(&terms.trust)?;
    let Some(new) = new_keys(server, &trusted, &terms.audience)? else {
        return Ok(trusted);
    };
    let kept = trust(&new, terms.trust.tls_roots.clone());
    if store.trust_authorities(enrolment.id, &kept)? {
        tell_changed(&trusted, &new);
    }
    Ok(new)
}

/// Prints the lines of `known_hosts` for keys that are new, or that the authority no longer has.
fn tell_changed(before: &Authorities, now: &Authorities) {
    let line = |key: &AnyKey| format!("@cert-authority * {}", key.line("tpmssh-ca"));
    for key in now.hosts.iter().filter(|it| !before.hosts.contains(it)) {
        tell(&format!(
            "tpmssh: the authority has a new key for hosts; known_hosts believes it with: {}",
            line(key)
        ));
    }
    for key in before.hosts.iter().filter(|it| !now.hosts.contains(it)) {
        tell(&format!(
            "tpmssh: the authority has retired a key for hosts; take it out of known_hosts: {}",
            key.line("")
        ));
    }
}

/// Stores a certificate that was checked. It replaces the last one.
fn keep(
    store: &mut Store,
    key: &SigningKey,
    terms: Terms,
    got: &Got,
) -> anyhow::Result<EnrolmentId> {
    // At a first enrolment, all keys are shown elsewhere.
    if let Ok(before) = authorities(&terms.trust)
        && !before.hosts.is_empty()
    {
        tell_changed(&before, &got.authorities);
    }
    let trust = trust(&got.authorities, terms.trust.tls_roots);
    let terms = Terms {
        trust,
        ek_type: got
            .ek_type
            .and_then(EkTypeArg::word)
            .unwrap_or(terms.ek_type),
        ..terms
    };
    let (blob, expires) = (got.certificate.blob(), got.certificate.valid_before());
    Ok(store.enrol(key.object, &terms, blob, got.renew_at, expires)?)
}
