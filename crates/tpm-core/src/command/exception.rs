//! The commands whose replies no session authenticates, each with its reason.
//!
//! [`Operation::run`](crate::Operation) takes a command only in a session that is salted to the
//! storage root key. What goes without one names its reason here, and a reason covers the
//! commands that it lists. ARCHITECTURE.md has the same table.

use crate::command::CommandCode;

/// Why a reply need not be authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exception {
    /// A session begins. Only the holder of the storage root key can read the salt, and no
    /// secret is used in the session before a reply in it has shown that.
    SessionStart,
    /// A step of a policy. The chip compares the digest that the steps give with the policy of
    /// what is used, so that a step left out, added or changed makes the use fail.
    PolicyStep,
    /// Contexts, which take no session at all (part 3, section 28). What comes back is used under
    /// its Name, which HMACs cover, or for a signature that is checked.
    Context,
    /// A signature, and on a token without a PIN the loading of the key that makes it: it is
    /// checked with the stored public key before anybody gets it.
    CheckedSignature,
    /// A storage root key whose Name must be the pinned one. Sessions are salted to the pinned
    /// public key, whatever the chip says.
    PinnedName,
    /// A storage root key that nobody has pinned yet. Its Name is shown and kept; the chip
    /// then shows that it holds the private half.
    FirstUse,
    /// The public area of what is at a handle. Its Name is computed from it, and the command that
    /// does something with the handle carries that Name in its HMAC, so that a wrong one makes
    /// the command fail.
    ClaimedName,
    /// Facts that a person is shown, and that decide nothing.
    Shown,
}

impl Exception {
    /// Whether `code` is one of the commands that this is a reason for.
    pub(crate) fn covers(self, code: CommandCode) -> bool {
        use CommandCode::{
            ContextLoad, ContextSave, CreatePrimary, FlushContext, GetCapability, GetRandom,
            GetTestResult, IncrementalSelfTest, Load, NvRead, NvReadPublic, PolicyAuthValue,
            PolicyCommandCode, PolicyOr, ReadPublic, RsaDecrypt, SelfTest, Sign, StartAuthSession,
            TestParms,
        };
        let covered: &[CommandCode] = match self {
            Self::SessionStart => &[StartAuthSession],
            Self::PolicyStep => &[PolicyAuthValue, PolicyCommandCode, PolicyOr],
            Self::Context => &[ContextLoad, ContextSave, FlushContext],
            Self::CheckedSignature => &[Load, RsaDecrypt, Sign],
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

    /// Whatever makes, writes, changes or unseals something has no excuse.
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
        ];
        for (why, code) in all.iter().flat_map(|why| never.map(|code| (why, code))) {
            assert!(!why.covers(code), "{why:?} {code:?}");
        }
    }
}
