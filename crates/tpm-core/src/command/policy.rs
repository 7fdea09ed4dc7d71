//! Policies: their digests, computed here, and their steps, run in a session.

use sha2::{Digest, Sha256};

use crate::{
    Entity, Error, Name, Result,
    command::{
        Command, CommandCode,
        authorization::fresh_nonce,
        crypto::DIGEST,
        exception::Exception,
        session::{Session, Use},
    },
};

/// A policy digest, SHA-256.
pub(crate) type PolicyDigest = [u8; 32];

/// One alternative of a policy.
///
/// # Source
///
/// Part 1, section 19.7 "Enhanced Authorization"; each method names the command of part 3
/// whose digest it computes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Branch(PolicyDigest);

impl Branch {
    /// The empty policy.
    pub(crate) const fn new() -> Self {
        Self([0; 32])
    }

    fn extend(self, code: CommandCode, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(self.0);
        hash.update(code.value().to_be_bytes());
        parts.iter().for_each(|part| hash.update(part));
        Self(hash.finalize().into())
    }

    /// `TPM2_PolicyCommandCode`: allows only this command.
    pub(crate) fn command(self, code: CommandCode) -> Self {
        self.extend(
            CommandCode::PolicyCommandCode,
            &[&code.value().to_be_bytes()],
        )
    }

    /// `TPM2_PolicySecret`: needs the authorization value of the entity `name`.
    pub(crate) fn secret(self, name: &Name) -> Self {
        let Self(digest) = self.extend(CommandCode::PolicySecret, &[name.bytes()]);
        // PolicyUpdate() hashes a second time, over the empty policyRef.
        Self(Sha256::digest(digest).into())
    }

    /// `TPM2_PolicyAuthValue`: needs the object's own authorization value.
    pub(crate) fn auth_value(self) -> Self {
        self.extend(CommandCode::PolicyAuthValue, &[])
    }

    /// The digest.
    pub(crate) const fn digest(self) -> PolicyDigest {
        self.0
    }
}

/// `TPM2_PolicyOR`: one of the branches must be satisfied.
pub(crate) fn any_of(branches: &[Branch]) -> PolicyDigest {
    let parts: Vec<&[u8]> = branches.iter().map(|branch| &branch.0[..]).collect();
    Branch::new().extend(CommandCode::PolicyOr, &parts).digest()
}

/// The entity whose authorization value a policy asks for: its handle, its Name, and how errors
/// name it.
pub(crate) type Holder<'a> = (u32, &'a Name, Entity);

/// A hash that no command has. An authorization limited to it only tests a secret and authorizes
/// nothing.
pub(crate) fn no_command() -> [u8; DIGEST] {
    fresh_nonce()
}

impl<S> Session<'_, S> {
    /// Runs `TPM2_PolicyCommandCode`.
    pub(crate) fn allow_command(&self, code: CommandCode) -> Result<()> {
        let command = Command::new(CommandCode::PolicyCommandCode).permanent(self.handle());
        self.step(command.param_u32(code.value()))
    }

    /// Runs `TPM2_PolicyAuthValue`.
    pub(crate) fn prove_auth_value(&self) -> Result<()> {
        self.step(Command::new(CommandCode::PolicyAuthValue).permanent(self.handle()))?;
        self.requires_auth_value();
        Ok(())
    }

    /// Runs `TPM2_PolicyOR`.
    pub(crate) fn one_of(&self, branches: &[Branch]) -> Result<()> {
        let count = u32::try_from(branches.len()).map_err(|_| Error::Malformed("policy"))?;
        let command = Command::new(CommandCode::PolicyOr)
            .permanent(self.handle())
            .param_u32(count);
        self.step(
            branches
                .iter()
                .fold(command, |command, branch| command.param_sized(&branch.0)),
        )
    }

    fn step(&self, command: Command<'_>) -> Result<()> {
        self.op()
            .run_unauthenticated(command, Exception::PolicyStep)
            .map(drop)
    }

    /// Runs `TPM2_PolicySecret`: `proof` proves the entity's authorization value, and only the
    /// command with the hash `cp_hash` is then authorized.
    ///
    /// Without that limit, an attacker between this process and the chip could use the session for
    /// another command. The limit is not part of the policy's digest.
    pub(crate) fn prove_secret(
        &self,
        (handle, name, entity): Holder<'_>,
        proof: Use<'_>,
        cp_hash: &[u8; DIGEST],
    ) -> Result<()> {
        let command = Command::new(CommandCode::PolicySecret)
            .about(entity)
            .handle(handle, name)
            .permanent(self.handle())
            .session(proof)
            // nonceTPM: none. Then cpHashA; policyRef: none; expiration: never.
            .param_sized(&[])
            .param_sized(cp_hash)
            .param_sized(&[])
            .param_u32(0);
        self.op().run(command).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy of the TCG's endorsement keys is PolicySecret(endorsement hierarchy); its
    /// digest is printed in the EK Credential Profile, annex B.
    #[test]
    fn policy_secret_has_the_digest_that_the_tcg_prints() {
        let endorsement = Name::of_handle(0x4000_000b);
        let digest = Branch::new().secret(&endorsement).digest();
        assert_eq!(
            base16ct::lower::encode_string(&digest),
            "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
        );
    }

    #[test]
    fn the_order_of_the_steps_counts() {
        let name = Name::of_handle(0x4000_000b);
        let one = Branch::new().command(CommandCode::NvRead).secret(&name);
        let other = Branch::new().secret(&name).command(CommandCode::NvRead);
        assert_ne!(one.digest(), other.digest());
        assert_ne!(any_of(&[one, other]), any_of(&[other, one]));
    }
}
