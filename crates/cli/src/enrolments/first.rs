//! The first certificate of an authority: for a proof.

use enroll::{Authorities, Server, Wanted, pace};
use key_proof::{Identity, Kind};
use token_store::{Store, Terms, Trust};
use tpm_core::ek::EkType;

use super::options::Chosen;
use super::{Got, keep, random};
use crate::proofs::prover::{Prover, Purpose};
use crate::show::date;
use crate::show::output::tell;

/// Proves a key to an authority, and keeps its certificate. A certificate of another authority for this key and kind goes.
///
/// # Errors
///
/// Those of the authority and its answer, of the TPM, the PIN and the store. Nothing is kept then.
pub(crate) fn enrol(
    prover: &Prover<'_>,
    store: &mut Store,
    chosen: &Chosen,
    kind: Kind,
    principals: &[String],
) -> anyhow::Result<Got> {
    let purpose = Purpose {
        kind,
        principals,
        audience: &chosen.audience,
    };
    let got = proven(
        prover,
        store,
        &chosen.server,
        &purpose,
        chosen.ek_type,
        chosen.identity.clone(),
        chosen.authorities.as_ref(),
    )?;
    let terms = Terms {
        is_host: kind == Kind::Host,
        server: chosen.server.url().to_string(),
        audience: chosen.audience.clone(),
        principals: principals.to_vec(),
        ek_type: String::new(),
        trust: Trust {
            user_ca: Vec::new(),
            host_ca: Vec::new(),
            tls_roots: chosen.tls_roots.clone(),
        },
    };
    keep(store, prover.key, terms, &got)?;
    Ok(got)
}

/// Shows the keys that were taken from the first answer.
pub(crate) fn tell_believed(got: &Got) {
    tell(&format!(
        "tpmssh: from now on these keys of the authority are believed; compare them with its administrator's: users {}, hosts {}",
        got.authorities.user.fingerprint(),
        got.authorities.host.fingerprint()
    ));
}

/// Proves a key to an authority, and checks its answer.
pub(super) fn proven(
    prover: &Prover<'_>,
    store: &mut Store,
    server: &Server,
    purpose: &Purpose<'_>,
    ek_type: Option<EkType>,
    identity: Identity,
    trusted: Option<&Authorities>,
) -> anyhow::Result<Got> {
    let request = prover.request(store, purpose, ek_type, identity)?;
    let shown = EkType::of_public(&request.ek);
    let challenge = server.begin(&request)?;
    let (proof, _) = prover.answer(store, request, challenge)?;
    let granted = server.finish(&proof)?;
    let authorities = trusted.cloned().unwrap_or(granted.authorities);
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
        ek_type: shown,
    })
}
