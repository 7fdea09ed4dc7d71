//! The renewal of a certificate: the TPM answers a nonce of the authority.

use anyhow::Context;
use enroll::{Error as EnrollError, Server, Url, pace};
use ssh_format::text::shown;
use token_store::{Enrolment, Store};

use super::{Enrolled, Got, authorities, checked, ek_type, first, keep, purpose, random};
use crate::app::App;
use crate::fail::error::EnrolmentError;
use crate::options::{EndorsementAuthArgs, UserPinArgs};
use crate::proofs::identity::Source;
use crate::proofs::prover::Prover;
use crate::show::date;
use crate::show::output::error_line;

/// Which enrolments are renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that are due.
    Due,
    /// Those that are due, but after a failure only when the wait is over. Nobody is asked for a PIN.
    Unattended,
    /// All.
    All,
}

impl Which {
    /// Whether an enrolment is renewed at `now`.
    pub(crate) fn takes(self, enrolled: &Enrolled, now: u64) -> bool {
        let it = &enrolled.enrolment;
        self.takes_one(it.renew_at, it.next_try, now)
    }

    fn takes_one(self, renew_at: u64, next_try: u64, now: u64) -> bool {
        match self {
            Self::All => true,
            Self::Due => renew_at <= now,
            // A time that is farther away than the longest wait was written while the clock was wrong.
            Self::Unattended => {
                let waits = next_try.saturating_sub(now);
                renew_at <= now && (waits == 0 || waits > pace::LONGEST_RETRY.as_secs())
            }
        }
    }
}

/// Gets the next certificate and stores it. A failure is recorded in the store.
///
/// # Errors
///
/// Errors of the authority and its answer, of the TPM, the PIN and the store. The old certificate stays.
pub(crate) fn renew(
    app: &App,
    store: &mut Store,
    enrolled: &Enrolled,
    pin: &UserPinArgs,
    unattended: bool,
) -> anyhow::Result<Got> {
    let no_password = EndorsementAuthArgs::default();
    let prover = Prover {
        app,
        key: &enrolled.key,
        pin,
        endorsement: &no_password,
        unattended,
    };
    let renewed = try_renew(&prover, store, enrolled);
    if let Err(err) = &renewed {
        let it = &enrolled.enrolment;
        let next_try = date::now().saturating_add(wait(err, it.failures));
        // If the failure cannot be recorded, only the failure itself is reported.
        let _ = store.note_failed_renewal(it.id, &error_line(err), next_try);
    }
    renewed.with_context(|| format!("key \"{}\" is not renewed", shown(&enrolled.key.label)))
}

/// How long a timer waits before it asks the authority again, in seconds.
fn wait(err: &anyhow::Error, failures: u32) -> u64 {
    match err.downcast_ref::<EnrollError>() {
        // The failure is on this machine: a locked token may be open the next time.
        None => 0,
        Some(EnrollError::Busy { retry_after }) => {
            pace::retry(failures.saturating_add(1), *retry_after, random()).as_secs()
        }
        Some(_) => pace::retry(failures.saturating_add(1), None, random()).as_secs(),
    }
}

fn try_renew(prover: &Prover<'_>, store: &mut Store, enrolled: &Enrolled) -> anyhow::Result<Got> {
    let terms = &enrolled.enrolment.terms;
    let roots = terms.trust.tls_roots.as_deref();
    let server = Server::new(Url::parse(&terms.server)?, roots)?;
    let trusted = authorities(&terms.trust)?;
    let purpose = purpose(terms);
    let granted = server
        .nonce()
        .map_err(anyhow::Error::from)
        .and_then(|nonce| prover.renewal(store, &purpose, nonce))
        .and_then(|renewal| Ok(server.renew(&renewal)?));
    let got = match granted {
        Ok(granted) => checked(prover, &server, Some(&trusted), granted, &purpose)?,
        // The authority's policy is stricter now, or its registry was lost. The machine enrols again without a token, because its TPM may be known.
        Err(err) if is_gone(&err) => first::proven(
            prover,
            store,
            &server,
            &purpose,
            ek_type(&terms.ek_type),
            &Source::None,
            Some(&trusted),
        )?,
        Err(err) => return Err(err),
    };
    // Somebody may have ended or replaced it while the authority was asked.
    let is_same = |it: &Enrolment| it.id == enrolled.enrolment.id && it.terms == *terms;
    if !store.enrolments(prover.key.token.id)?.iter().any(is_same) {
        return Err(EnrolmentError::NotEnrolled.into());
    }
    keep(store, prover.key, terms.clone(), &got)?;
    Ok(got)
}

fn is_gone(err: &anyhow::Error) -> bool {
    matches!(err.downcast_ref(), Some(EnrollError::Gone))
        || matches!(
            err.downcast_ref(),
            // Another TPM or store made the attestation key that the authority knows.
            Some(token_store::Error::NoAttestationKey)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_a_wrong_clock_has_written_is_no_wait() {
        let hour = 60 * 60;
        for (renew_at, next_try, taken) in [
            (100, 0, true),
            (101, 0, false),
            (100, 101, false),
            (100, 100 + hour, false),
            (100, 100 + 10 * 365 * 24 * hour, true),
        ] {
            let taken_now = Which::Unattended.takes_one(renew_at, next_try, 100);
            assert_eq!(taken_now, taken, "{renew_at} {next_try}");
        }
        assert!(Which::Due.takes_one(100, 101, 100));
        assert!(Which::All.takes_one(200, 201, 100));
    }
}
