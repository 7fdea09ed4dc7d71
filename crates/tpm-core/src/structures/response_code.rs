//! Response codes, their names and their meanings.

use std::fmt;

/// A TPM response code, 32 bits.
///
/// # Source
///
/// Part 2, section 6.6 "TPM_RC".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseCode(pub u32);

/// Bit 7: the code has the number of a handle, parameter or session.
const FORMAT_ONE: u32 = 0x80;
/// Bit 6 of such a code: the number is that of a parameter.
const PARAMETER: u32 = 0x40;
/// The layer of a resource manager's own errors.
const MANAGER: u32 = 0x000b_0000;
/// The layer of TPM response codes that a resource manager returns in place of the TPM.
const MANAGER_TPM: u32 = 0x000c_0000;

impl ResponseCode {
    /// The code without the number of the handle, parameter or session that it is about.
    ///
    /// Format-one codes (bit 7) have that number in bits 6 and 8 to 11. Codes of another layer (a
    /// resource manager) are returned unchanged.
    #[must_use]
    pub fn base(self) -> u32 {
        if self.0 & 0xffff_f000 == 0 && self.0 & FORMAT_ONE != 0 {
            self.0 & 0xbf
        } else {
            self.0
        }
    }

    /// The parameter that the code is about, counted from 1.
    #[must_use]
    pub fn parameter(self) -> Option<u32> {
        let about = self.0 & 0xffff_f000 == 0 && self.0 & (FORMAT_ONE | PARAMETER) == 0xc0;
        about.then_some(self.0 >> 8 & 0xf)
    }

    /// Whether the code says that it is about a handle or a session.
    pub(crate) fn is_about_handle(self) -> bool {
        self.0 & 0xffff_f000 == 0
            && self.0 & (FORMAT_ONE | PARAMETER) == FORMAT_ONE
            && self.0 & 0xf00 != 0
    }

    /// Whether it is one of the codes with which chips refuse the credential in a `TPM2_ActivateCredential`. Chips differ, and
    /// many omit the number of the parameter or give that of the key's handle.
    pub(crate) fn refuses_secret(self) -> bool {
        match self.base() {
            // A handle cannot be too short, so this is about a parameter even if it names a handle.
            rc::INSUFFICIENT => true,
            rc::FAILURE | rc::NO_RESULT | rc::SIZE | rc::VALUE | rc::INTEGRITY | rc::ECC_POINT => {
                !self.is_about_handle()
            }
            _ => self.parameter().is_some(),
        }
    }

    /// The TPM's code, also if a resource manager returned it in place of the TPM; `None` for other
    /// layers.
    pub(crate) fn of_tpm(self) -> Option<Self> {
        match self.0 & 0xffff_0000 {
            0 => Some(self),
            MANAGER_TPM => Some(Self(self.0 & 0xffff)),
            // Debian's tpm2-abrmd and the kernel use the resource manager's layer also for TPM
            // codes, which are 0x80 and above. Codes below are the manager's own.
            MANAGER if self.0 & 0xffff >= FORMAT_ONE => Some(Self(self.0 & 0xffff)),
            _ => None,
        }
    }

    /// Whether the code comes from the connection: the TPM itself has not answered.
    pub(crate) fn is_of_transport(self) -> bool {
        self.between().is_some() && self.0 & 0xffff_0000 != MANAGER
    }

    /// The layer between this process and the TPM that failed, and its error; `None` for the TPM's
    /// own codes.
    ///
    /// # Source
    ///
    /// TCG TSS 2.0 Overview and Common Structures Specification, "TSS2 Return Codes".
    #[must_use]
    pub fn between(self) -> Option<&'static str> {
        if self.of_tpm().is_some() {
            return None;
        }
        Some(match self.0 >> 16 {
            0x6..=0x9 => "the library below the resource manager failed",
            0xa => "the resource manager does not reach the TPM",
            0xb => "the resource manager refused the command",
            0xd => "the driver of the TPM failed",
            _ => "something between here and the TPM failed",
        })
    }

    /// Its name in the specification; `None` for a manufacturer's own codes.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|(name, _)| name)
    }

    /// Its meaning, worded as the end of a sentence.
    #[must_use]
    pub fn meaning(self) -> Option<&'static str> {
        self.entry().map(|(_, meaning)| meaning)
    }

    fn entry(self) -> Option<(&'static str, &'static str)> {
        lookup(self.of_tpm()?.base())
    }
}

impl fmt::Display for ResponseCode {
    /// Its meaning, and its name with the parameter; or its number, if it has no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.entry(), self.parameter()) {
            (Some((name, meaning)), Some(number)) => {
                write!(f, "{meaning} ({name}, parameter {number})")
            }
            (Some((name, meaning)), None) => write!(f, "{meaning} ({name})"),
            (None, _) => match self.between() {
                Some(what) => write!(f, "{what} (code {:#07x})", self.0),
                None => write!(f, "response code {:#05x} of the maker's own", self.0),
            },
        }
    }
}

macro_rules! response_codes {
    ($($name:ident = $value:literal, $full:literal, $meaning:literal;)+) => {
        /// The codes by name, as [`ResponseCode::base`] gives them.
        #[expect(dead_code, reason = "complete, so that each code has a name")]
        pub(crate) mod rc {
            $(pub(crate) const $name: u32 = $value;)+
        }

        fn lookup(base: u32) -> Option<(&'static str, &'static str)> {
            match base {
                $($value => Some(($full, $meaning)),)+
                _ => None,
            }
        }

        /// All of them, for the tests.
        #[cfg(test)]
        const ALL: &[u32] = &[$($value),+];
    };
}

response_codes! {
    SUCCESS = 0x000, "TPM_RC_SUCCESS", "nothing is wrong";
    BAD_TAG = 0x01e, "TPM_RC_BAD_TAG", "the TPM does not know this kind of command";

    INITIALIZE = 0x100, "TPM_RC_INITIALIZE", "the TPM has not been started";
    FAILURE = 0x101, "TPM_RC_FAILURE", "the TPM has failed its self test";
    SEQUENCE = 0x103, "TPM_RC_SEQUENCE", "a sequence of commands was used wrongly";
    PRIVATE = 0x10b, "TPM_RC_PRIVATE", "the TPM does not use this any more";
    HMAC = 0x119, "TPM_RC_HMAC", "the TPM does not use this any more";
    DISABLED = 0x120, "TPM_RC_DISABLED", "the command is switched off";
    EXCLUSIVE = 0x121, "TPM_RC_EXCLUSIVE", "another command came between those of an audit";
    AUTH_TYPE = 0x124, "TPM_RC_AUTH_TYPE", "the object cannot be authorized in this way";
    AUTH_MISSING = 0x125, "TPM_RC_AUTH_MISSING", "an authorization is missing";
    POLICY = 0x126, "TPM_RC_POLICY", "the policy does not fit the object";
    PCR = 0x127, "TPM_RC_PCR", "the machine's measurements are not the expected ones";
    PCR_CHANGED = 0x128, "TPM_RC_PCR_CHANGED", "the machine's measurements changed meanwhile";
    UPGRADE = 0x12d, "TPM_RC_UPGRADE", "the TPM is in the middle of a firmware update";
    TOO_MANY_CONTEXTS = 0x12e, "TPM_RC_TOO_MANY_CONTEXTS", "too many sessions have been saved since the TPM started";
    AUTH_UNAVAILABLE = 0x12f, "TPM_RC_AUTH_UNAVAILABLE", "the authorization is not available";
    REBOOT = 0x130, "TPM_RC_REBOOT", "the TPM works again only after a restart of the machine";
    UNBALANCED = 0x131, "TPM_RC_UNBALANCED", "the strengths of the algorithms do not fit together";
    COMMAND_SIZE = 0x142, "TPM_RC_COMMAND_SIZE", "the command is longer than the TPM takes";
    COMMAND_CODE = 0x143, "TPM_RC_COMMAND_CODE", "the TPM does not have this command";
    AUTHSIZE = 0x144, "TPM_RC_AUTHSIZE", "the authorizations have the wrong size";
    AUTH_CONTEXT = 0x145, "TPM_RC_AUTH_CONTEXT", "the command takes no session";
    NV_RANGE = 0x146, "TPM_RC_NV_RANGE", "more was asked for than the NV index holds";
    NV_SIZE = 0x147, "TPM_RC_NV_SIZE", "the TPM's NV memory has the wrong size for this";
    NV_LOCKED = 0x148, "TPM_RC_NV_LOCKED", "the NV index is locked";
    NV_AUTHORIZATION = 0x149, "TPM_RC_NV_AUTHORIZATION", "the NV index is not to be used in this way";
    NV_UNINITIALIZED = 0x14a, "TPM_RC_NV_UNINITIALIZED", "nothing was ever written to the NV index";
    NV_SPACE = 0x14b, "TPM_RC_NV_SPACE", "the TPM has no room for another NV index";
    NV_DEFINED = 0x14c, "TPM_RC_NV_DEFINED", "the NV index or handle is in use";
    BAD_CONTEXT = 0x150, "TPM_RC_BAD_CONTEXT", "the saved key is not of this TPM, or of before its reset";
    CPHASH = 0x151, "TPM_RC_CPHASH", "the policy allows another command";
    PARENT = 0x152, "TPM_RC_PARENT", "the key cannot be the parent of another";
    NEEDS_TEST = 0x153, "TPM_RC_NEEDS_TEST", "the TPM has not tested this yet";
    NO_RESULT = 0x154, "TPM_RC_NO_RESULT", "there is no result";
    SENSITIVE = 0x155, "TPM_RC_SENSITIVE", "the private part of the key is damaged";
    READ_ONLY = 0x156, "TPM_RC_READ_ONLY", "the TPM can only be read at present";

    ASYMMETRIC = 0x081, "TPM_RC_ASYMMETRIC", "the TPM lacks this asymmetric algorithm";
    ATTRIBUTES = 0x082, "TPM_RC_ATTRIBUTES", "the TPM does not take these attributes";
    HASH = 0x083, "TPM_RC_HASH", "the TPM lacks this hash, or it does not fit here";
    VALUE = 0x084, "TPM_RC_VALUE", "the TPM does not take this value";
    HIERARCHY = 0x085, "TPM_RC_HIERARCHY", "the hierarchy is switched off, or is the wrong one";
    KEY_SIZE = 0x087, "TPM_RC_KEY_SIZE", "the TPM lacks keys of this size";
    MGF = 0x088, "TPM_RC_MGF", "the TPM lacks this mask generation function";
    MODE = 0x089, "TPM_RC_MODE", "the TPM lacks this mode of encryption";
    TYPE = 0x08a, "TPM_RC_TYPE", "the TPM lacks this kind of key";
    HANDLE = 0x08b, "TPM_RC_HANDLE", "there is nothing at this handle";
    KDF = 0x08c, "TPM_RC_KDF", "the TPM lacks this key derivation";
    RANGE = 0x08d, "TPM_RC_RANGE", "a number is out of range";
    AUTH_FAIL = 0x08e, "TPM_RC_AUTH_FAIL", "the authorization was wrong, and counted";
    NONCE = 0x08f, "TPM_RC_NONCE", "a nonce has the wrong size";
    PP = 0x090, "TPM_RC_PP", "somebody has to be present at the machine";
    SCHEME = 0x092, "TPM_RC_SCHEME", "the TPM lacks this scheme, or it does not fit the key";
    SIZE = 0x095, "TPM_RC_SIZE", "the TPM does not take something of this length";
    SYMMETRIC = 0x096, "TPM_RC_SYMMETRIC", "the TPM lacks this encryption, or it does not fit here";
    TAG = 0x097, "TPM_RC_TAG", "a structure is not the expected one";
    SELECTOR = 0x098, "TPM_RC_SELECTOR", "a choice is not one of those offered";
    INSUFFICIENT = 0x09a, "TPM_RC_INSUFFICIENT", "something ends too early";
    SIGNATURE = 0x09b, "TPM_RC_SIGNATURE", "the signature is wrong";
    KEY = 0x09c, "TPM_RC_KEY", "the key is not of a kind that does this";
    POLICY_FAIL = 0x09d, "TPM_RC_POLICY_FAIL", "the policy is not satisfied";
    INTEGRITY = 0x09f, "TPM_RC_INTEGRITY", "something was changed, or is of another TPM";
    TICKET = 0x0a0, "TPM_RC_TICKET", "a ticket is not valid";
    RESERVED_BITS = 0x0a1, "TPM_RC_RESERVED_BITS", "the TPM is too old for one of these attributes";
    BAD_AUTH = 0x0a2, "TPM_RC_BAD_AUTH", "the authorization was wrong";
    EXPIRED = 0x0a3, "TPM_RC_EXPIRED", "the policy has expired";
    POLICY_CC = 0x0a4, "TPM_RC_POLICY_CC", "the policy is for another command";
    BINDING = 0x0a5, "TPM_RC_BINDING", "the two halves of the key do not belong together";
    CURVE = 0x0a6, "TPM_RC_CURVE", "the TPM lacks this elliptic curve";
    ECC_POINT = 0x0a7, "TPM_RC_ECC_POINT", "the point is not on the curve";
    FW_LIMITED = 0x0a8, "TPM_RC_FW_LIMITED", "the firmware may not do this";
    SVN_LIMITED = 0x0a9, "TPM_RC_SVN_LIMITED", "this version of the firmware may not do this";

    CONTEXT_GAP = 0x901, "TPM_RC_CONTEXT_GAP", "another program has kept a session for too long";
    OBJECT_MEMORY = 0x902, "TPM_RC_OBJECT_MEMORY", "the TPM has no free slot for another key";
    SESSION_MEMORY = 0x903, "TPM_RC_SESSION_MEMORY", "the TPM has no free slot for another session";
    MEMORY = 0x904, "TPM_RC_MEMORY", "the TPM has not enough memory at present";
    SESSION_HANDLES = 0x905, "TPM_RC_SESSION_HANDLES", "too many sessions are open";
    OBJECT_HANDLES = 0x906, "TPM_RC_OBJECT_HANDLES", "too many keys are loaded";
    LOCALITY = 0x907, "TPM_RC_LOCALITY", "only the platform may do this";
    YIELDED = 0x908, "TPM_RC_YIELDED", "the TPM had other work and asks for the command again";
    CANCELED = 0x909, "TPM_RC_CANCELED", "somebody stopped the command";
    TESTING = 0x90a, "TPM_RC_TESTING", "the TPM is still testing itself";
    REFERENCE_H0 = 0x910, "TPM_RC_REFERENCE_H0", "the first handle is not loaded";
    REFERENCE_H1 = 0x911, "TPM_RC_REFERENCE_H1", "the second handle is not loaded";
    REFERENCE_H2 = 0x912, "TPM_RC_REFERENCE_H2", "the third handle is not loaded";
    REFERENCE_H3 = 0x913, "TPM_RC_REFERENCE_H3", "the fourth handle is not loaded";
    REFERENCE_H4 = 0x914, "TPM_RC_REFERENCE_H4", "the fifth handle is not loaded";
    REFERENCE_H5 = 0x915, "TPM_RC_REFERENCE_H5", "the sixth handle is not loaded";
    REFERENCE_H6 = 0x916, "TPM_RC_REFERENCE_H6", "the seventh handle is not loaded";
    REFERENCE_S0 = 0x918, "TPM_RC_REFERENCE_S0", "the first session is not loaded";
    REFERENCE_S1 = 0x919, "TPM_RC_REFERENCE_S1", "the second session is not loaded";
    REFERENCE_S2 = 0x91a, "TPM_RC_REFERENCE_S2", "the third session is not loaded";
    REFERENCE_S3 = 0x91b, "TPM_RC_REFERENCE_S3", "the fourth session is not loaded";
    REFERENCE_S4 = 0x91c, "TPM_RC_REFERENCE_S4", "the fifth session is not loaded";
    REFERENCE_S5 = 0x91d, "TPM_RC_REFERENCE_S5", "the sixth session is not loaded";
    REFERENCE_S6 = 0x91e, "TPM_RC_REFERENCE_S6", "the seventh session is not loaded";
    NV_RATE = 0x920, "TPM_RC_NV_RATE", "the TPM limits how often its memory is written";
    LOCKOUT = 0x921, "TPM_RC_LOCKOUT", "the TPM is locked after too many wrong tries";
    RETRY = 0x922, "TPM_RC_RETRY", "the TPM asks for the command again";
    NV_UNAVAILABLE = 0x923, "TPM_RC_NV_UNAVAILABLE", "the TPM cannot reach its memory at present";
    NOT_USED = 0x97f, "TPM_RC_NOT_USED", "the TPM asks for patience";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_a_meaning() {
        let names: HashSet<_> = ALL
            .iter()
            .map(|&code| ResponseCode(code).name().expect("named"))
            .collect();
        assert_eq!(names.len(), ALL.len());
        for &code in ALL {
            let meaning = ResponseCode(code).meaning().expect("told");
            assert!(!meaning.ends_with('.') && meaning.len() > 10, "{meaning}");
            assert_eq!(ResponseCode(code).base(), code);
        }
    }

    /// The specification's own list, in tss-esapi's constants.
    #[test]
    fn the_codes_are_those_of_the_specification() {
        use tss_esapi::constants::tss as t;
        for (ours, theirs) in [
            (rc::INITIALIZE, t::TPM2_RC_INITIALIZE),
            (rc::UPGRADE, t::TPM2_RC_UPGRADE),
            (rc::NV_UNINITIALIZED, t::TPM2_RC_NV_UNINITIALIZED),
            (rc::SENSITIVE, t::TPM2_RC_SENSITIVE),
            (rc::SIZE, t::TPM2_RC_SIZE),
            (rc::RESERVED_BITS, t::TPM2_RC_RESERVED_BITS),
            (rc::BINDING, t::TPM2_RC_BINDING),
            (rc::CURVE, t::TPM2_RC_CURVE),
            (rc::CONTEXT_GAP, t::TPM2_RC_CONTEXT_GAP),
            (rc::MEMORY, t::TPM2_RC_MEMORY),
            (rc::CANCELED, t::TPM2_RC_CANCELED),
            (rc::NV_UNAVAILABLE, t::TPM2_RC_NV_UNAVAILABLE),
        ] {
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn a_code_is_shown_by_its_meaning() {
        assert_eq!(
            ResponseCode(0x1d5).to_string(),
            "the TPM does not take something of this length (TPM_RC_SIZE, parameter 1)"
        );
        assert_eq!(
            ResponseCode(0x923).to_string(),
            "the TPM cannot reach its memory at present (TPM_RC_NV_UNAVAILABLE)"
        );
        assert_eq!(
            ResponseCode(0x000b_0904).name(),
            Some("TPM_RC_MEMORY"),
            "of a resource manager"
        );
        assert_eq!(
            ResponseCode(0x500).to_string(),
            "response code 0x500 of the maker's own"
        );
    }

    #[test]
    fn a_parameter_is_told_from_a_handle_and_a_session() {
        assert_eq!(ResponseCode(0x1d5).parameter(), Some(1));
        assert_eq!(ResponseCode(0x2e1).parameter(), Some(2));
        assert_eq!(ResponseCode(0x18b).parameter(), None, "a handle");
        assert_eq!(ResponseCode(0x98e).parameter(), None, "a session");
        assert_eq!(ResponseCode(0x14b).parameter(), None, "of format zero");
    }
}
