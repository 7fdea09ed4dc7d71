//! The commands whose replies are not authenticated by a session, each with its reason.
//!
//! `Operation::run` takes a command only in a session that is salted to the storage root key. A
//! command without such a session needs one of these reasons, and each reason lists the commands
//! that it covers. ARCHITECTURE.md has the same table.

use crate::command::CommandCode;

/// Why a reply need not be authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exception {
    /// The start of a session. Only the holder of the storage root key can read the salt. No secret
    /// is used in the session before a reply in it has proven that the chip read the salt.
    SessionStart,
    /// A step of a policy. The chip compares the digest of all steps with the policy of the object,
    /// so an omitted, added or changed step makes the use of the object fail.
    PolicyStep,
    /// Saving, loading and flushing contexts, which take no session at all (part 3, section 28). A
    /// loaded object is then used under its Name, which HMACs cover, or for a signature that is
    /// checked.
    Context,
    /// A signature, and for a token without a PIN the loading of the signing key. The signature is
    /// verified with the stored public key before it is returned. An attestation is a signature as well.
    CheckedSignature,
    /// A storage root key whose Name must be the pinned one. Sessions are salted to the pinned
    /// public key and not to the one in the reply.
    PinnedName,
    /// A storage root key that is not pinned yet. Its Name is shown and stored. The chip then
    /// proves that it holds the private half.
    FirstUse,
    /// The public area of an object or index. The Name is computed from it, and the next command
    /// that uses the handle has that Name in its HMAC. A forged public area makes that command
    /// fail.
    ClaimedName,
    /// Facts that are shown to a person and that no code decides by.
    Shown,
}

impl Exception {
    /// Whether this reason covers the command `code`.
    pub(crate) fn covers(self, code: CommandCode) -> bool {
        use CommandCode::{
            Certify, ContextLoad, ContextSave, CreatePrimary, FlushContext, GetCapability,
            GetRandom, GetTestResult, IncrementalSelfTest, Load, NvRead, NvReadPublic,
            PolicyAuthValue, PolicyCommandCode, PolicyOr, ReadPublic, RsaDecrypt, SelfTest, Sign,
            StartAuthSession, TestParms,
        };
        let covered: &[CommandCode] = match self {
            Self::SessionStart => &[StartAuthSession],
            Self::PolicyStep => &[PolicyAuthValue, PolicyCommandCode, PolicyOr],
            Self::Context => &[ContextLoad, ContextSave, FlushContext],
            Self::CheckedSignature => &[Certify, Load, RsaDecrypt, Sign],
            Self::PinnedName | Self::FirstUse => &[CreatePrimary, ReadPublic],
            Self::ClaimedName => &[NvReadPublic, ReadPublic],
            Self::Shown => &[
                GetCapability,
                GetRandom,
                GetTestResult,
                IncrementalSelfTest,
                NvRead,
                NvReadPublic,
                ReadPublic,
                SelfTest,
                TestParms,
            ],
        };
        covered.contains(&code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that makes, writes, changes or unseals something is covered by no reason.
    #[test]
    fn no_reason_covers_a_command_that_changes_anything() {
        let all = [
            Exception::SessionStart,
            Exception::PolicyStep,
            Exception::Context,
            Exception::CheckedSignature,
            Exception::PinnedName,
            Exception::FirstUse,
            Exception::ClaimedName,
            Exception::Shown,
        ];
        let never = [
            CommandCode::Create,
            CommandCode::Import,
            CommandCode::NvDefineSpace,
            CommandCode::NvWrite,
            CommandCode::NvChangeAuth,
            CommandCode::NvUndefineSpace,
            CommandCode::ObjectChangeAuth,
            CommandCode::HierarchyChangeAuth,
            CommandCode::EvictControl,
            CommandCode::Clear,
            CommandCode::DictionaryAttackLockReset,
            CommandCode::DictionaryAttackParameters,
            CommandCode::PolicySecret,
            CommandCode::Unseal,
            CommandCode::EcdhZGen,
            CommandCode::ActivateCredential,
        ];
        for (why, code) in all.iter().flat_map(|why| never.map(|code| (why, code))) {
            assert!(!why.covers(code), "{why:?} {code:?}");
        }
    }
}
