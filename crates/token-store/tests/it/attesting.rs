//! What the TPM says of a key, and what that costs in commands (`TPM2_FlushContext` is not counted).

use testing::{Tap, assert_matches};
use token_store::{
    Error, Key, OpenToken, Tries, WallKind,
    attestation::{self, Activation, Asked},
};
use tpm_core::{Credential, EndorsementAuth, Scheme, ek::EkType};

use crate::{Bench, PIN, TestResult, failure, pin, tpm_at};

fn asked(key: &Key) -> Asked<'_> {
    Asked {
        key,
        qualifying: &[9; 32],
        scheme: Scheme::Ecdsa,
        digest: &[7; 32],
    }
}

fn endorsement() -> EndorsementAuth {
    tpm_core::AuthValue::empty().into()
}

/// A process that proves a key and ends: nothing is loaded twice, and no context is saved.
#[test]
fn a_login_for_one_answer_takes_five_commands_without_a_pin_and_nine_with_one() -> TestResult {
    for (wall, most) in [
        (WallKind::None, 5),
        (WallKind::Lockout, 8),
        (WallKind::Counter, 9),
    ] {
        let mut bench = Bench::new();
        let token = bench.token("work", wall);
        let secret = (wall != WallKind::None).then(|| pin(PIN));
        let open = OpenToken::open(&bench.store, &bench.tpm, &token, secret.as_ref())?;
        let _first = bench.key(&open);
        let key = bench.key(&open);
        drop(open);
        let ek_type = Some(EkType::EccP384);
        attestation::evidence(
            &mut bench.store,
            &bench.tpm,
            &token,
            ek_type,
            &endorsement(),
        )?;
        let tap = Tap::start(&bench.swtpm);
        let tpm = tpm_at(&tap.tcti());
        let (store, asked) = (&bench.store, asked(&key));
        let attested =
            attestation::log_in_and_attest(store, &tpm, &token, secret.as_ref(), &asked)?;
        assert!(tap.count() <= most, "{wall}: {:x?}", tap.commands());
        assert!(
            key.public()
                .verify(asked.scheme, asked.digest, &attested.signature)
        );
        // With a login that is there.
        let open = OpenToken::open(store, &tpm, &token, secret.as_ref())?;
        open.attest(store, &asked)?;
        tap.reset();
        open.attest(store, &asked)?;
        assert!(tap.count() <= 4, "{wall}: {:x?}", tap.commands());
    }
    Ok(())
}

/// The secret is brought out before the PIN is proven.
#[test]
fn a_challenge_for_another_tpm_spends_no_try() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN)?;
    let key = bench.key(&open);
    drop(open);
    let none = endorsement();
    let ek_type = EkType::EccP384;
    let shown = attestation::evidence(&mut bench.store, &bench.tpm, &token, Some(ek_type), &none)?;
    let activation = Activation {
        ek_type,
        endorsement: &none,
        credential: Credential {
            id_object: &[&[0, 32][..], &[5; 64]].concat(),
            // Any point of the curve will do; the endorsement key's own ends its public area.
            secret: &shown.ek[shown.ek.len() - 2 * (2 + 48)..],
        },
    };
    let wrong = pin("wrong");
    let (store, tpm) = (&bench.store, &bench.tpm);
    let answer = attestation::answer(store, tpm, &token, Some(&wrong), &activation, &asked(&key));
    let err = failure(answer);
    assert_matches!(err, Error::Tpm(_), "{err}");
    assert_eq!(err.kind().exit_code(), 6, "{err}");
    let tries = token_store::token::refresh_tries(store, tpm, &token)?;
    assert_eq!(tries, Some(Tries { left: 3, max: 3 }));
    // Without an activation, the PIN is what is wrong.
    let err = failure(attestation::log_in_and_attest(
        store,
        tpm,
        &token,
        Some(&wrong),
        &asked(&key),
    ));
    assert_matches!(err, Error::WrongPin { left: Some(2), .. }, "{err}");
    Ok(())
}

#[test]
fn without_a_request_from_this_store_nothing_is_attested() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN)?;
    let key = bench.key(&open);
    let asked = asked(&key);
    let err = failure(open.attest(&bench.store, &asked));
    assert_matches!(err, Error::NoAttestationKey);
    let wrong = pin("wrong");
    let (store, tpm) = (&bench.store, &bench.tpm);
    let outcome = attestation::log_in_and_attest(store, tpm, &token, Some(&wrong), &asked);
    assert_matches!(failure(outcome), Error::NoAttestationKey);
    let tries = token_store::token::refresh_tries(store, tpm, &token)?;
    assert_eq!(tries, Some(Tries { left: 3, max: 3 }), "no try is spent");
    Ok(())
}
