//! What a thief tries, with another TPM library (tss-esapi) as his tool.
//!
//! The first test is the control: the same tool does steal a key that may be stolen.

use testing::{Swtpm, assert_matches};
use tpm_core::{
    AuthValue, Blob, ChangeGuard, Entity, Error, KeyBlob, KeyType, OwnerAuth, PinCounter, Presence,
    Scheme, SoObject, Srk, TokenKey, Tpm, Usage,
};

use crate::empty;
use tss_esapi::{
    Context,
    attributes::{NvIndexAttributes, ObjectAttributesBuilder, SessionAttributesBuilder},
    constants::{CommandCode, SessionType},
    handles::{KeyHandle, NvIndexTpmHandle, ObjectHandle, PersistentTpmHandle, TpmHandle},
    interface_types::{
        algorithm::{HashingAlgorithm, PublicAlgorithm},
        ecc::EccCurve,
        resource_handles::{NvAuth, Provision},
        session_handles::{AuthSession, PolicySession},
    },
    structures::{
        Auth, Digest, EccPoint, EccScheme, KeyDerivationFunctionScheme, MaxNvBuffer,
        NvPublicBuilder, Private, Public, PublicBuilder, PublicEccParameters, SymmetricDefinition,
        SymmetricDefinitionObject,
    },
    tcti_ldr::{NetworkTPMConfig, TctiNameConf},
    traits::{Marshall, UnMarshall},
};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A token of tpm-core with one key, and what a thief copies from its disk.
struct Victim {
    srk: Srk,
    token_key: TokenKey,
    counter: PinCounter,
    so: SoObject,
    guard: ChangeGuard,
    /// The guard's secret, sealed below the token key.
    secret: Blob,
    key: Blob,
}

fn auth<A: From<AuthValue>>(text: &str) -> A {
    AuthValue::new(text.as_bytes()).expect("short").into()
}

fn tpm(swtpm: &Swtpm) -> Tpm {
    Tpm::new(swtpm.tcti().parse().expect("a TCTI of the test crate"))
}

fn victim(tpm: &Tpm) -> Result<Victim, Error> {
    let op = tpm.begin()?;
    let owner = OwnerAuth::empty();
    let srk = Srk::find_or_create(&op, &owner)?;
    let so = SoObject::create(&srk.open(&op)?, &auth("so"), &auth("secret"))?;
    let guard = ChangeGuard::create(&srk.open(&op)?, &auth("secret"))?;
    let handle = PinCounter::pick_handle(&op)?;
    let counter = PinCounter::from_parts(handle, so.name(), guard.name());
    counter.define(&srk.open(&op)?, &owner, &so, &auth("so"), &auth("pin"), 5)?;
    let token_key = TokenKey::behind_counter(&srk.open(&op)?, counter.clone())?;
    let secret = token_key.seal(&srk.open(&op)?, &auth("pin"), &auth("secret"))?;
    let key = token_key.create_key(&srk.open(&op)?, &auth("pin"), KeyType::EccP256, Usage::SIGN)?;
    Ok(Victim {
        srk,
        token_key,
        counter,
        so,
        guard,
        secret,
        key,
    })
}

fn thief(swtpm: &Swtpm) -> Result<Context, tss_esapi::Error> {
    let config = format!("host=127.0.0.1,port={}", swtpm.port()).parse::<NetworkTPMConfig>()?;
    let mut context = Context::new(TctiNameConf::Swtpm(config))?;
    context.set_sessions((Some(AuthSession::Password), None, None));
    Ok(context)
}

fn srk_handle(context: &mut Context) -> Result<KeyHandle, tss_esapi::Error> {
    let handle = TpmHandle::Persistent(PersistentTpmHandle::new(0x8100_0001)?);
    context
        .execute_without_session(|context| context.tr_from_tpm_public(handle))
        .map(Into::into)
}

fn load(
    context: &mut Context,
    parent: KeyHandle,
    blob: &Blob,
) -> Result<KeyHandle, tss_esapi::Error> {
    let public = Public::unmarshall(&blob.public)?;
    context.load(parent, Private::try_from(blob.private.clone())?, public)
}

/// A policy session that allows `TPM2_Duplicate`.
fn may_duplicate(
    context: &mut Context,
    kind: SessionType,
) -> Result<PolicySession, tss_esapi::Error> {
    context.execute_without_session(|context| {
        let session = context
            .start_auth_session(
                None,
                None,
                None,
                kind,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )?
            .expect("a session");
        let (attributes, mask) = SessionAttributesBuilder::new().build();
        context.tr_sess_set_attributes(session, attributes, mask)?;
        let session = PolicySession::try_from(session)?;
        context.policy_command_code(session, CommandCode::Duplicate)?;
        Ok(session)
    })
}

/// Duplicates `key` to nobody in particular: without encryption.
fn duplicate(context: &mut Context, key: KeyHandle) -> Result<Vec<u8>, tss_esapi::Error> {
    let session = may_duplicate(context, SessionType::Policy)?;
    context.set_sessions((Some(session.into()), None, None));
    let result = context.duplicate(
        ObjectHandle::from(key),
        ObjectHandle::Null,
        None,
        SymmetricDefinitionObject::Null,
    );
    context.set_sessions((Some(AuthSession::Password), None, None));
    result.map(|(_, private, _)| private.to_vec())
}

fn signing_template(
    attributes: ObjectAttributesBuilder,
    policy: Digest,
) -> Result<Public, tss_esapi::Error> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes.build()?)
        .with_auth_policy(policy)
        .with_ecc_parameters(PublicEccParameters::new(
            SymmetricDefinitionObject::Null,
            EccScheme::Null,
            EccCurve::NistP256,
            KeyDerivationFunctionScheme::Null,
        ))
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

#[test]
fn a_key_that_may_leave_is_stolen_and_is_refused_here() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    Srk::find_or_create(&tpm.begin()?, &empty())?;
    let mut context = thief(&swtpm)?;
    let parent = srk_handle(&mut context)?;
    let trial = may_duplicate(&mut context, SessionType::Trial)?;
    let policy = context.execute_without_session(|context| context.policy_get_digest(trial))?;
    let attributes = ObjectAttributesBuilder::new()
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(true);
    let template = signing_template(attributes, policy)?;
    let made = context.create(parent, template, None, None, None, None)?;
    let public = made.out_public.marshall()?;
    let blob = Blob {
        public,
        private: made.out_private.to_vec(),
    };
    let key = load(&mut context, parent, &blob)?;

    let stolen = duplicate(&mut context, key)?;
    // TPM2B_SENSITIVE: size, type ECC, then authorization, seed and the private number.
    assert_eq!(stolen[2..4], [0x00, 0x23], "a sensitive area in the clear");
    assert!(stolen.len() >= 2 + 2 + 2 + 2 + 2 + 32);

    let refused = KeyBlob::parse(blob);
    assert_matches!(
        refused,
        Err(Error::KeyRefused("it can be duplicated out of the TPM"))
    );
    Ok(())
}

#[test]
fn our_key_cannot_be_duplicated() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let (srk, token_key, key) = {
        let op = tpm.begin()?;
        let srk = Srk::find_or_create(&op, &empty())?;
        // No PIN: the thief may load and use everything. He still cannot take it away.
        let token_key = TokenKey::without_pin(&srk.open(&op)?)?;
        let key = token_key.create_key(&srk.open(&op)?, &empty(), KeyType::EccP256, Usage::SIGN)?;
        (srk, token_key, key)
    };
    let mut context = thief(&swtpm)?;
    let root = srk_handle(&mut context)?;
    let parent = load(&mut context, root, token_key.blob())?;
    let handle = load(&mut context, parent, &key)?;
    // TPM_RC_ATTRIBUTES: fixedTPM forbids it, whatever the policy.
    assert!(duplicate(&mut context, handle).is_err());
    assert!(duplicate(&mut context, parent).is_err());
    drop(context);
    // The owner can still use it.
    let op = tpm.begin()?;
    let ready = token_key.load_key(&srk.open(&op)?, &empty(), &KeyBlob::parse(key)?)?;
    ready.sign(&op, Scheme::Ecdsa, &[1; 32])?;
    Ok(())
}

#[test]
fn a_token_key_does_not_open_without_its_policy() -> TestResult {
    let swtpm = Swtpm::start();
    let victim = victim(&tpm(&swtpm))?;
    let mut context = thief(&swtpm)?;
    let root = srk_handle(&mut context)?;
    let parent = load(&mut context, root, victim.token_key.blob())?;
    let err = load(&mut context, parent, &victim.key).expect_err("the PIN was not proven");
    assert!(
        err.to_string().contains("authPolicy is not available"),
        "{err}"
    );
    Ok(())
}

/// With the owner's authorization, which is empty, the thief deletes the PIN counter and
/// defines it again with a PIN of his own.
#[test]
fn a_counter_that_a_thief_defines_again_opens_nothing_and_the_so_restores_it() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let victim = victim(&tpm)?;
    let index = victim.counter.handle();
    {
        let mut context = thief(&swtpm)?;
        let nv_handle = NvIndexTpmHandle::new(index)?;
        let object = context
            .execute_without_session(|c| c.tr_from_tpm_public(TpmHandle::NvIndex(nv_handle)))?;
        let (public, _) = context.execute_without_session(|c| c.nv_read_public(object.into()))?;
        context.nv_undefine_space(Provision::Owner, object.into())?;
        let unwritten = NvIndexAttributes(public.attributes().0 & !(1 << 29));
        let again = NvPublicBuilder::new()
            .with_nv_index(nv_handle)
            .with_index_name_algorithm(HashingAlgorithm::Sha256)
            .with_index_attributes(unwritten)
            .with_index_auth_policy(public.authorization_policy().clone())
            .with_data_area_size(8)
            .build()?;
        let pin = Auth::try_from(b"thief".to_vec())?;
        let again = context.nv_define_space(Provision::Owner, Some(pin), again)?;
        // He cannot write it, neither as the owner nor with its authorization value.
        let contents = MaxNvBuffer::try_from(vec![0, 0, 0, 0, 0, 0, 0, 5])?;
        for role in [NvAuth::Owner, NvAuth::NvIndex(again)] {
            assert!(context.nv_write(role, again, contents.clone(), 0).is_err());
        }
    }
    let op = tpm.begin()?;
    let opened = victim
        .token_key
        .verify(&victim.srk.open(&op)?, &auth("thief"));
    assert_matches!(opened, Err(Error::PinExhausted), "0x12f: {opened:?}");
    let opened = victim
        .token_key
        .verify(&victim.srk.open(&op)?, &auth("pin"));
    assert!(opened.is_err(), "{opened:?}");
    assert_eq!(victim.counter.presence(&op)?, Presence::Unwritten);

    // The SO deletes the thief's index and makes the counter again: the keys work as before.
    victim.counter.undefine(&victim.srk.open(&op)?, &empty())?;
    let owner = OwnerAuth::empty();
    let (so_pin, new_pin) = (auth("so"), auth("new pin"));
    victim.counter.define(
        &victim.srk.open(&op)?,
        &owner,
        &victim.so,
        &so_pin,
        &new_pin,
        5,
    )?;
    assert_eq!(victim.counter.presence(&op)?, Presence::Ready);
    let key = KeyBlob::parse(victim.key)?;
    victim
        .token_key
        .load_key(&victim.srk.open(&op)?, &auth("new pin"), &key)?;
    Ok(())
}

#[test]
fn another_so_object_cannot_reset_the_counter() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let victim = victim(&tpm)?;
    let op = tpm.begin()?;
    let forged = SoObject::create(&victim.srk.open(&op)?, &auth("thief"), &auth("x"))?;
    let reset = victim
        .counter
        .reset(&victim.srk.open(&op)?, &forged, &auth("thief"), 1000);
    // TPM2_PolicyOR finds no branch (TPM_RC_VALUE), as the Name differs.
    assert_matches!(
        reset,
        Err(Error::Command {
            command: tpm_core::CommandCode::PolicyOr,
            ..
        })
    );
    Ok(())
}

#[test]
fn an_old_copy_of_the_store_with_the_old_pin_opens_nothing_after_a_change() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let victim = victim(&tpm)?;
    let op = tpm.begin()?;
    let (srk, pin) = (&victim.srk, auth("pin"));
    let secret = victim
        .token_key
        .unseal(&srk.open(&op)?, &pin, &victim.secret)?;
    let change = (&victim.guard, &secret);
    victim
        .counter
        .change_auth(&srk.open(&op)?, change, &pin, &auth("another"))?;
    // Everything in `victim` is the old copy; the chip alone knows of the change.
    let key = KeyBlob::parse(victim.key)?;
    let old = victim
        .token_key
        .load_key(&victim.srk.open(&op)?, &auth("pin"), &key);
    assert_matches!(old, Err(Error::AuthRejected { .. }));
    victim
        .token_key
        .load_key(&victim.srk.open(&op)?, &auth("another"), &key)?;
    Ok(())
}

/// Every bit of the public part, and every byte of the private one, is protected.
#[test]
fn a_changed_blob_is_refused_and_costs_no_try() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let victim = victim(&tpm)?;
    let op = tpm.begin()?;
    for bit in 0..victim.key.public.len() * 8 {
        let mut blob = victim.key.clone();
        blob.public[bit / 8] ^= 1 << (bit % 8);
        // Nearly all of them are refused without the chip, the rest (a point that is on the
        // curve by chance) by it.
        if let Ok(key) = KeyBlob::parse(blob) {
            let loaded = victim
                .token_key
                .load_key(&victim.srk.open(&op)?, &auth("pin"), &key);
            assert_matches!(
                loaded,
                Err(Error::Integrity(Entity::Key)),
                "bit {bit}: {loaded:?}"
            );
        }
    }
    for byte in (0..victim.key.private.len()).step_by(5) {
        let mut blob = victim.key.clone();
        blob.private[byte] ^= 0x40;
        let key = KeyBlob::parse(blob)?;
        let loaded = victim
            .token_key
            .load_key(&victim.srk.open(&op)?, &auth("pin"), &key);
        assert!(loaded.is_err(), "byte {byte}");
    }
    assert_eq!(victim.counter.state(&victim.srk.open(&op)?)?.count, 0);
    Ok(())
}
