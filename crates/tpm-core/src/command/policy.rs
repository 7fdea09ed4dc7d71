//! Policies: their digests, computed here, and their steps, run in a session.

use sha2::{Digest, Sha256};

use crate::{
    Error, Name, Operation, Result,
    command::{
        Code, Command,
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
    /// The policy that nothing has been added to.
    pub(crate) const fn new() -> Self {
        Self([0; 32])
    }

    fn extend(self, code: Code, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(self.0);
        hash.update(code.value().to_be_bytes());
        parts.iter().for_each(|part| hash.update(part));
        Self(hash.finalize().into())
    }

    /// `TPM2_PolicyCommandCode`: for this command alone.
    pub(crate) fn command(self, code: Code) -> Self {
        self.extend(Code::PolicyCommandCode, &[&code.value().to_be_bytes()])
    }

    /// `TPM2_PolicySecret`: with the authorization value of the entity `name`.
    pub(crate) fn secret(self, name: &Name) -> Self {
        let Self(digest) = self.extend(Code::PolicySecret, &[name.bytes()]);
        // PolicyUpdate() hashes a second time, over the empty policyRef.
        Self(Sha256::digest(digest).into())
    }

    /// `TPM2_PolicyAuthValue`: with the object's own authorization value.
    pub(crate) fn auth_value(self) -> Self {
        self.extend(Code::PolicyAuthValue, &[])
    }

    /// The digest.
    pub(crate) const fn digest(self) -> PolicyDigest {
        self.0
    }
}

/// `TPM2_PolicyOR`: any of the branches.
pub(crate) fn any_of(branches: &[Branch]) -> PolicyDigest {
    let parts: Vec<&[u8]> = branches.iter().map(|branch| &branch.0[..]).collect();
    Branch::new().extend(Code::PolicyOr, &parts).digest()
}

impl Session<'_> {
    /// Runs `TPM2_PolicyCommandCode`.
    pub(crate) fn allow_command(&self, op: &Operation<'_>, code: Code) -> Result<()> {
        let command = Command::new(Code::PolicyCommandCode).permanent(self.handle());
        op.run(command.param_u32(code.value())).map(drop)
    }

    /// Runs `TPM2_PolicyAuthValue`.
    pub(crate) fn prove_auth_value(&self, op: &Operation<'_>) -> Result<()> {
        op.run(Command::new(Code::PolicyAuthValue).permanent(self.handle()))?;
        self.requires_auth_value();
        Ok(())
    }

    /// Runs `TPM2_PolicyOR`.
    pub(crate) fn one_of(&self, op: &Operation<'_>, branches: &[Branch]) -> Result<()> {
        let count = u32::try_from(branches.len()).map_err(|_| Error::Malformed("policy"))?;
        let command = Command::new(Code::PolicyOr)
            .permanent(self.handle())
            .param_u32(count);
        let command = branches
            .iter()
            .fold(command, |command, branch| command.param_sized(&branch.0));
        op.run(command).map(drop)
    }

    /// Runs `TPM2_PolicySecret` with the entity `handle`, which errors call `words`, proven
    /// by `proof`.
    pub(crate) fn prove_secret(
        &self,
        op: &Operation<'_>,
        entity: (u32, &Name, &'static str),
        proof: Use<'_>,
    ) -> Result<()> {
        let command = self.secret_of(entity).session(proof);
        op.run(without_limits(command)).map(drop)
    }

    /// Runs `TPM2_PolicySecret` with an entity whose authorization value is empty.
    pub(crate) fn prove_empty(
        &self,
        op: &Operation<'_>,
        entity: (u32, &Name, &'static str),
    ) -> Result<()> {
        let command = self.secret_of(entity).empty_auth();
        op.run(without_limits(command)).map(drop)
    }

    fn secret_of<'a>(&self, (handle, name, words): (u32, &'a Name, &'static str)) -> Command<'a> {
        Command::new(Code::PolicySecret)
            .about(words)
            .handle(handle, name)
            .permanent(self.handle())
    }
}

/// `TPM2_PolicySecret`'s nonceTPM, cpHashA, policyRef and expiration: all empty.
fn without_limits(command: Command<'_>) -> Command<'_> {
    command
        .param_sized(&[])
        .param_sized(&[])
        .param_sized(&[])
        .param_u32(0)
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
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
        );
    }

    #[test]
    fn the_order_of_the_steps_counts() {
        let name = Name::of_handle(0x4000_000b);
        let one = Branch::new().command(Code::NvRead).secret(&name);
        let other = Branch::new().secret(&name).command(Code::NvRead);
        assert_ne!(one.digest(), other.digest());
        assert_ne!(any_of(&[one, other]), any_of(&[other, one]));
    }
}
