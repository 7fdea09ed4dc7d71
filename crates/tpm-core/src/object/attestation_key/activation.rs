//! Recovering a verifier's secret (`TPM2_ActivateCredential`), alone or as the first step of the answer to its challenge.

use std::fmt;

use zeroize::Zeroizing;

use super::{AttestationKey, Certified};
use crate::{
    EndorsementAuth, Entity, KeyBlob, Name, OpenSrk, PinAuth, ReadyKey, Result, TokenKey,
    command::{Command, CommandCode, session::Session},
    hierarchy::ek::{self, EkType},
    object::{create_load, transient::Transient},
    structures::hierarchy::permanent,
    token::token_key::Sessions,
};

/// A secret for one chip and one attestation key in it, as `TPM2_MakeCredential` gives it.
#[derive(Debug, Clone, Copy)]
pub struct Credential<'a> {
    /// The contents of the `TPM2B_ID_OBJECT`.
    pub id_object: &'a [u8],
    /// The contents of the `TPM2B_ENCRYPTED_SECRET`.
    pub secret: &'a [u8],
}

impl AttestationKey {
    /// Recovers the secret of `credential`, which was made for this chip's endorsement key `ek_type` and for this key.
    ///
    /// The reply comes encrypted and authenticated in a session that is salted to the storage root key. With an endorsement key
    /// at its persistent handle this takes 6 commands for RSA-2048 and P-256 of the low range and 4 for keys of the high range. A missing
    /// one is made for this one use, with one command more. `endorsement` is used for keys of the low range, and to make a key.
    ///
    /// # Errors
    ///
    /// [`Error::OtherChallenge`](crate::Error::OtherChallenge) for a credential for another chip or another attestation key;
    /// [`Error::AuthRejected`](crate::Error::AuthRejected) for a wrong `endorsement`;
    /// [`Error::HierarchyDisabled`](crate::Error::HierarchyDisabled); [`Error::OtherTpm`](crate::Error::OtherTpm).
    ///
    /// # Source
    ///
    /// Part 3, section 12.5 "TPM2_ActivateCredential"; TCG EK Credential Profile, annex B (policies of the templates).
    pub fn activate(
        &self,
        root: &OpenSrk<'_>,
        ek_type: EkType,
        endorsement: &EndorsementAuth,
        credential: &Credential<'_>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let answer = self.begin_answer(root, ek_type, endorsement, credential)?;
        Ok(answer.secret)
    }

    /// Recovers the secret as [`AttestationKey::activate`] does, as the first step of an answer that needs a login as well. The
    /// later steps use the same sessions and the loaded attestation key: with a PIN counter, the whole answer with its
    /// certificate and one signature takes at most 12 commands.
    ///
    /// # Errors
    ///
    /// As for [`AttestationKey::activate`].
    pub fn begin_answer<'op>(
        &'op self,
        root: &OpenSrk<'op>,
        ek_type: EkType,
        endorsement: &EndorsementAuth,
        credential: &Credential<'_>,
    ) -> Result<ChallengeAnswer<'op>> {
        let op = root.op();
        root.within(|| {
            let witness = Session::hmac(op, root)?;
            let command = root
                .parent_of(CommandCode::Load)
                .about(Entity::AttestationKey)
                .session(witness.plain().hide_response());
            let loaded =
                create_load::loaded(op, create_load::with_blob(command, &self.blob), &self.blob)?;
            let ek = ek::in_use(op, ek_type, &witness, endorsement)?;
            let policy = match ek_type.asks_endorsement() {
                true => Some(Session::unsalted_policy(op)?),
                false => None,
            };
            let command = Command::new(CommandCode::ActivateCredential)
                .about(Entity::EndorsementKey)
                .handle(loaded.handle(), loaded.name())
                .handle(ek.handle(), ek.name())
                .empty_auth();
            let command = match &policy {
                Some(policy) => command.unsalted(policy.plain()),
                None => command.empty_auth(),
            };
            let mut command = command
                .session(witness.plain().hide_response())
                .param_sized(credential.id_object)
                .param_sized(credential.secret);
            if let Some(policy) = &policy {
                let cp_hash = command.cp_hash()?;
                let name = Name::of_handle(permanent::ENDORSEMENT);
                let holder = (permanent::ENDORSEMENT, &name, Entity::Endorsement);
                policy.prove_secret(holder, witness.authorizes(endorsement.value()), &cp_hash)?;
            }
            let response = op.run(command)?;
            drop(ek);
            let mut reader = response.reader();
            let secret = Zeroizing::new(reader.sized()?.to_vec());
            reader.finish()?;
            Ok(ChallengeAnswer {
                key: self,
                secret,
                sessions: Some(Sessions { witness, policy }),
                // A storage root key without a persistent handle occupies one of the three slots, so this key is flushed.
                loaded: root.srk().is_persistent().then_some(loaded),
            })
        })
    }
}

/// An answer to a challenge whose secret the chip has recovered. Its other steps run in the same operation.
#[must_use = "a key and two sessions stay in the chip until this is dropped"]
pub struct ChallengeAnswer<'op> {
    key: &'op AttestationKey,
    secret: Zeroizing<Vec<u8>>,
    /// The sessions of the activation. They are declared before the key, so that their slots are freed first.
    sessions: Option<Sessions<'op>>,
    /// The attestation key, if it stays loaded.
    loaded: Option<Transient<'op>>,
}

impl<'op> ChallengeAnswer<'op> {
    /// Loads `key`, which is below `token_key`, as [`TokenKey::load_key`] does, in the sessions that recovered the secret.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::load_key`].
    pub fn load_key(
        &mut self,
        root: &OpenSrk<'op>,
        token_key: &'op TokenKey,
        pin: &'op PinAuth,
        key: &KeyBlob,
    ) -> Result<ReadyKey> {
        token_key.load_key_in(root, pin, key, self.sessions.take())
    }

    /// Has the chip certify `key`, as [`AttestationKey::certify`] does, and returns the secret and the certificate.
    ///
    /// # Errors
    ///
    /// As for [`AttestationKey::certify`].
    pub fn certify(
        self,
        root: &OpenSrk<'_>,
        key: &ReadyKey,
        qualifying: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, Certified)> {
        // They are not used any more, and a resource manager would save and load them around each command.
        drop(self.sessions);
        let certified = self
            .key
            .certify_loaded(root, key, qualifying, self.loaded)?;
        Ok((self.secret, certified))
    }
}

impl fmt::Debug for ChallengeAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeAnswer")
            .field("key", self.key.name())
            .finish_non_exhaustive()
    }
}
