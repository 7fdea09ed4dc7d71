//! The digests of TPM policies. A policy says what a TPM asks for before it uses an object.
//!
//! # Source
//!
//! Part 1, section 19.7 "Enhanced Authorization"; each method names the command of part 3 whose digest it computes.

use crate::{HashAlg, Name};

const POLICY_OR: u32 = 0x0171;

/// Commands that the policies of tpmssh name (part 2, section 6.5.2).
pub(crate) mod command {
    pub(crate) const NV_WRITE: u32 = 0x0137;
    pub(crate) const NV_CHANGE_AUTH: u32 = 0x013b;
    pub(crate) const NV_READ: u32 = 0x014e;
    pub(crate) const OBJECT_CHANGE_AUTH: u32 = 0x0150;
}

/// A policy digest, SHA-256 unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyDigest {
    hash: HashAlg,
    digest: Vec<u8>,
}

impl PolicyDigest {
    /// The empty policy.
    pub(crate) fn new(hash: HashAlg) -> Self {
        let digest = vec![0; hash.size()];
        Self { hash, digest }
    }

    fn extend(self, command: u32, parts: &[&[u8]]) -> Self {
        let head = [&self.digest[..], &command.to_be_bytes()].concat();
        let parts: Vec<&[u8]> = [&[&head[..]], parts].concat();
        let digest = self.hash.digest(&parts);
        Self { digest, ..self }
    }

    /// Adds `TPM2_PolicyCommandCode`: the policy is only for this command.
    pub(crate) fn command(self, code: u32) -> Self {
        self.extend(0x016c, &[&code.to_be_bytes()])
    }

    /// Adds `TPM2_PolicySecret`: it needs the authorization value of the entity with the Name `name`.
    pub(crate) fn secret(self, name: &[u8]) -> Self {
        let first = self.extend(0x0151, &[name]);
        // PolicyUpdate() hashes a second time, over the empty policyRef.
        let digest = first.hash.digest(&[&first.digest]);
        Self { digest, ..first }
    }

    /// Adds `TPM2_PolicyAuthValue`: it needs the object's own authorization value.
    pub(crate) fn auth_value(self) -> Self {
        self.extend(0x016b, &[])
    }

    /// Adds `TPM2_PolicyAuthorizeNV`: it needs the policy that is stored in the NV index with the Name `name`.
    #[cfg(test)]
    pub(crate) fn authorized_by_nv(self, name: &[u8]) -> Self {
        self.extend(0x0192, &[name])
    }

    /// `TPM2_PolicyOR`: one of the branches is enough.
    pub(crate) fn any_of(hash: HashAlg, branches: &[Self]) -> Self {
        let parts: Vec<&[u8]> = branches.iter().map(|it| &it.digest[..]).collect();
        Self::new(hash).extend(POLICY_OR, &parts)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.digest
    }
}

/// The policy of a token key behind the PIN counter `counter`.
pub(crate) fn behind_counter(counter: &Name) -> PolicyDigest {
    PolicyDigest::new(HashAlg::Sha256).secret(counter.bytes())
}

/// The policy of a token key behind the chip's lockout: its authorization value is changed with the SO PIN or with the old value.
pub(crate) fn behind_lockout(so: &Name) -> PolicyDigest {
    let change = PolicyDigest::new(HashAlg::Sha256).command(command::OBJECT_CHANGE_AUTH);
    let branches = [change.clone().secret(so.bytes()), change.auth_value()];
    PolicyDigest::any_of(HashAlg::Sha256, &branches)
}

/// The policy of a PIN counter. The SO writes the counter and sets the PIN, the user changes the PIN with the change guard and the old PIN,
/// and everybody may read the counter.
pub(crate) fn of_counter(so: &Name, guard: &Name) -> PolicyDigest {
    let start = || PolicyDigest::new(HashAlg::Sha256);
    let change = || start().command(command::NV_CHANGE_AUTH);
    let branches = [
        start().command(command::NV_WRITE).secret(so.bytes()),
        change().secret(so.bytes()),
        change().secret(guard.bytes()).auth_value(),
        start().command(command::NV_READ),
    ];
    PolicyDigest::any_of(HashAlg::Sha256, &branches)
}
