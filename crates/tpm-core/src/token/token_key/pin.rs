//! Changing the PIN of a token key behind the chip's lockout.

use super::TokenKey;
use crate::{
    Blob, Entity, Error, Name, OpenSrk, PinAuth, Result, SoAuth, SoObject, Wall,
    command::{
        Authentic, Command, CommandCode,
        session::{SaltKey, Session},
    },
    token::wall::branches,
};

impl TokenKey {
    /// Changes the PIN value of a token key behind the chip's lockout. Returns the same key with a
    /// new private part. A copy of the old private part still works with the old value.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`]; [`Error::InvalidArgument`] with another wall.
    pub fn change_auth(&self, root: &OpenSrk<'_>, old: &PinAuth, new: &PinAuth) -> Result<Self> {
        let so = self.lockout_so()?;
        root.within(|| {
            let policy = Session::policy(root.op(), root)?;
            // The chip proves that it is the right one, in the session that then proves the old
            // PIN.
            let key = self.load(root, policy.plain())?;
            policy.allow_command(CommandCode::ObjectChangeAuth)?;
            policy.prove_auth_value()?;
            policy.one_of(&branches(so))?;
            let command = Command::new(CommandCode::ObjectChangeAuth)
                .about(Entity::TokenKey)
                .handle(key.handle(), key.name())
                .handle(root.handle(), root.name())
                .session(policy.authorizes(old.value()).hide_command().last())
                .param_sized(new.value().bytes());
            self.with_private(root, command)
        })
    }

    /// Sets a new PIN value of a token key behind the chip's lockout. This needs the SO value and
    /// not the old PIN value.
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] for a wrong SO value; [`Error::InvalidArgument`] with another
    /// wall.
    pub fn reset_auth(
        &self,
        root: &OpenSrk<'_>,
        so: &SoObject,
        so_auth: &SoAuth,
        new: &PinAuth,
    ) -> Result<Self> {
        let so_name = self.lockout_so()?;
        root.within(|| {
            // Starts both sessions before anything is loaded, because a chip has few slots.
            let policy = Session::policy(root.op(), root)?;
            policy.allow_command(CommandCode::ObjectChangeAuth)?;
            let hiding = Session::proven(root.op(), root)?;
            let key = self.load(root, hiding.plain())?;
            let mut command = Command::new(CommandCode::ObjectChangeAuth)
                .about(Entity::TokenKey)
                .handle(key.handle(), key.name())
                .handle(root.handle(), root.name())
                .session(policy.plain().last())
                .session(hiding.plain().hide_command().last())
                .param_sized(new.value().bytes());
            let cp_hash = command.cp_hash()?;
            so.prove_in(root, so_auth, &policy, &cp_hash)?;
            policy.one_of(&branches(so_name))?;
            self.with_private(root, command)
        })
    }

    fn lockout_so(&self) -> Result<&Name> {
        match &self.wall {
            Wall::Lockout { so } => Ok(so),
            Wall::Counter(_) | Wall::None => Err(Error::InvalidArgument(
                "the PIN is not this token key's own authorization value",
            )),
        }
    }

    /// Runs a `TPM2_ObjectChangeAuth` and returns this key with the new private part.
    fn with_private(&self, root: &OpenSrk<'_>, command: Command<'_, Authentic>) -> Result<Self> {
        let private = root.op().run(command)?.reader().sized()?.to_vec();
        let blob = Blob {
            public: self.blob.public.clone(),
            private,
        };
        Self::from_parts(blob, self.wall.clone())
    }
}
