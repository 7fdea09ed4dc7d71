//! Secrets sealed below a token key.

use super::{TokenKey, unlocked::Then};
use crate::{
    Blob, Entity, GuardAuth, OpenSrk, PinAuth, Result,
    command::{CommandCode, session::Session},
    object::{create_load, sealed},
    structures::template::{self, Tries},
};

impl TokenKey {
    /// Seals `secret` below this key, so that unsealing needs the PIN.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`].
    pub fn seal(&self, root: &OpenSrk<'_>, pin: &PinAuth, secret: &GuardAuth) -> Result<Blob> {
        root.within(|| {
            // The proof comes before the token key is loaded, because a chip has few slots.
            let hiding = Session::proven(root.op(), root)?;
            let unlocked = self.unlock(root, pin)?;
            let command = unlocked
                .command(CommandCode::Create, Then::Done)
                .session(hiding.plain().hide_command().last())
                .param_sized(&sealed::unguarded(secret.value().bytes()))
                .param_sized(&template::sealed_object(Tries::Uncounted)?);
            let command = unlocked.prove(create_load::finished(command))?;
            create_load::created(root.op(), command)
        })
    }

    /// Unseals a secret that [`TokenKey::seal`] sealed.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`]; [`Error::Integrity`](crate::Error::Integrity) if `blob` is not
    /// of this token.
    pub fn unseal(&self, root: &OpenSrk<'_>, pin: &PinAuth, blob: &Blob) -> Result<GuardAuth> {
        root.within(|| {
            let unlocked = self.unlock(root, pin)?;
            let command = unlocked.command(CommandCode::Load, Then::More);
            let command = create_load::with_blob(command, blob);
            let command = unlocked.prove(command)?;
            let sealed = Entity::SealedSecret;
            let object = create_load::loaded(root.op(), command, blob)
                .map_err(|err| create_load::about_child(err, sealed))?;
            let witness = unlocked.into_witness();
            sealed::unseal(root.op(), &object, sealed, witness.plain()).map(GuardAuth::from)
        })
    }
}
