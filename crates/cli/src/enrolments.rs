//! Certificates that an authority over the network (`tpmssh-ca`) gives for some hours, and gives again.

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
use crate::fail::error::Error;
use crate::keys::signing::{self, SigningKey};
use crate::options::EkTypeArg;
use crate::proofs::prover::{Prover, Purpose};
use crate::show::date;

/// A certificate that was got and is kept.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) certificate: Certificate,
    /// When to get the next one, in seconds since 1970.
    pub(crate) renew_at: u64,
    pub(crate) authorities: Authorities,
    /// The endorsement key that was shown; `None` if none was.
    ek_type: Option<EkType>,
}

/// A key that an authority certifies.
pub(crate) struct Enrolled {
    pub(crate) key: SigningKey,
    pub(crate) enrolment: Enrolment,
}

/// The enrolments of the tokens that are meant.
///
/// # Errors
///
/// Whatever is wrong with the store.
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
/// [`Error::NotEnrolled`], and those of [`all`].
pub(crate) fn named(app: &App, store: &Store, key: Option<&str>) -> anyhow::Result<Vec<Enrolled>> {
    let mut all = all(app, store)?;
    if key.is_some() {
        let key = signing::find(signing::all(app, store)?, key)?;
        all.retain(|it| it.key.object == key.object);
    }
    if all.is_empty() {
        return Err(Error::NotEnrolled.into());
    }
    Ok(all)
}

/// The type of endorsement key with this name; `None` for one that this version does not know.
fn ek_type(name: &str) -> Option<EkType> {
    EkTypeArg::from_str(name, false).ok().map(EkType::from)
}

/// A random number for the pace.
pub(crate) fn random() -> u32 {
    OsRng.next_u32()
}

/// Whom the store says to believe.
///
/// # Errors
///
/// If the store has no keys there.
pub(crate) fn authorities(trust: &Trust) -> anyhow::Result<Authorities> {
    Ok(Authorities {
        user: AnyKey::from_blob(&trust.user_ca)?,
        host: AnyKey::from_blob(&trust.host_ca)?,
    })
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
    }
}

/// The answer of an authority, checked. If it has other keys than those that are trusted, they count if the trusted ones signed them; without
/// any, those in the answer count.
fn checked(
    prover: &Prover<'_>,
    server: &Server,
    trusted: Option<&Authorities>,
    granted: Granted,
    purpose: &Purpose<'_>,
) -> anyhow::Result<Got> {
    let authorities = match trusted {
        Some(trusted) if granted.authorities != *trusted => trusted.successor(&server.keys()?)?,
        _ => granted.authorities,
    };
    let now = date::now();
    let wanted = Wanted {
        key: &prover.key.public,
        kind: purpose.kind,
        principals: purpose.principals,
    };
    wanted.check(&granted.certificate, &authorities, now)?;
    let expires = granted.certificate.valid_before();
    Ok(Got {
        renew_at: pace::renewal(now, expires, granted.renew_after, random()),
        certificate: granted.certificate,
        authorities,
        ek_type: None,
    })
}

/// Keeps a certificate that was checked, in the place of the last one.
fn keep(
    store: &mut Store,
    key: &SigningKey,
    terms: Terms,
    got: &Got,
) -> anyhow::Result<EnrolmentId> {
    let trust = Trust {
        user_ca: got.authorities.user.blob().to_vec(),
        host_ca: got.authorities.host.blob().to_vec(),
        ..terms.trust
    };
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
