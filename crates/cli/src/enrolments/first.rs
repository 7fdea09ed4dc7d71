//! An enrolment: the first certificate by an authority, for a proof.

use enroll::{Authorities, Server};
use key_proof::Kind;
use token_store::{Store, Terms, Trust};
use tpm_core::ek::EkType;

use super::options::Chosen;
use super::{Got, checked, keep};
use crate::proofs::identity::Source;
use crate::proofs::prover::{Prover, Purpose};
use crate::show::output::tell;

/// Proves a key to an authority, and stores the certificate. It replaces a certificate of another authority for the same key and kind.
///
/// `before_kept` runs before the certificate is stored. If it fails, nothing is stored.
///
/// # Errors
///
/// Errors of the authority and its answer, of the TPM, the PIN and the store, and of `before_kept`. Nothing is stored then.
pub(crate) fn enrol(
    prover: &Prover<'_>,
    store: &mut Store,
    chosen: &Chosen,
    kind: Kind,
    principals: &[String],
    before_kept: impl FnOnce(&Got) -> anyhow::Result<()>,
) -> anyhow::Result<Got> {
    let purpose = Purpose {
        kind,
        principals,
        audience: &chosen.audience,
        role: chosen.role.as_deref(),
    };
    let (is_host, url) = (kind == Kind::Host, chosen.server.url().to_string());
    // Only the first answer of an authority may introduce its keys.
    let earlier = store
        .enrolments(prover.key.token.id)?
        .into_iter()
        .find(|it| {
            it.object == prover.key.object && it.terms.is_host == is_host && it.terms.server == url
        });
    let known = match (&chosen.authorities, earlier) {
        (Some(given), _) => Some(given.clone()),
        (None, Some(it)) => Some(super::authorities(&it.terms.trust)?),
        (None, None) => None,
    };
    let got = proven(
        prover,
        store,
        &chosen.server,
        &purpose,
        chosen.ek_type,
        &chosen.identity,
        known.as_ref(),
    )?;
    if known.is_none() {
        tell_believed(&got);
    }
    before_kept(&got)?;
    let terms = Terms {
        is_host,
        server: url,
        audience: chosen.audience.clone(),
        principals: principals.to_vec(),
        role: chosen.role.clone(),
        ek_type: String::new(),
        trust: Trust {
            user_cas: Vec::new(),
            host_cas: Vec::new(),
            keys_number: 0,
            tls_roots: chosen.tls_roots.clone(),
        },
    };
    keep(store, prover.key, terms, &got)?;
    Ok(got)
}

/// Shows the keys that were taken from the first answer.
fn tell_believed(got: &Got) {
    tell(&format!(
        "tpmssh: from now on these keys of the authority are believed; compare them with its administrator's: users {}, hosts {}",
        super::fingerprints(&got.authorities.users).join(", "),
        super::fingerprints(&got.authorities.hosts).join(", ")
    ));
}

/// Proves a key to an authority, and checks its answer.
pub(super) fn proven(
    prover: &Prover<'_>,
    store: &mut Store,
    server: &Server,
    purpose: &Purpose<'_>,
    ek_type: Option<EkType>,
    identity: &Source,
    trusted: Option<&Authorities>,
) -> anyhow::Result<Got> {
    let request = prover.request(store, purpose, ek_type, identity)?;
    let shown = EkType::of_public(&request.ek);
    let challenge = server.begin(&request)?;
    let (proof, _) = prover.answer(store, request, challenge)?;
    let granted = server.finish(&proof)?;
    let got = checked(prover, server, trusted, granted, purpose)?;
    Ok(Got {
        ek_type: shown,
        ..got
    })
}
