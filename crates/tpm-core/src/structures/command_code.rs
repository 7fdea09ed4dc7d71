//! The commands that this crate sends.

use std::fmt;

use tss_esapi::constants::tss as cc;

macro_rules! codes {
    ($($variant:ident = $value:ident, $name:literal;)+) => {
        /// A command that this crate sends. Its [`Display`](fmt::Display) form is its name in the
        /// specification, such as `TPM2_Sign`.
        ///
        /// # Source
        ///
        /// Part 2, section 6.5.2 "TPM_CC Listing".
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum CommandCode {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )+
        }

        impl CommandCode {
            /// The number (`TPM_CC`).
            #[must_use]
            pub const fn value(self) -> u32 {
                match self {
                    $(Self::$variant => cc::$value,)+
                }
            }

            /// Its name in the specification.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

codes! {
    ActivateCredential = TPM2_CC_ActivateCredential, "TPM2_ActivateCredential";
    Certify = TPM2_CC_Certify, "TPM2_Certify";
    Clear = TPM2_CC_Clear, "TPM2_Clear";
    ContextLoad = TPM2_CC_ContextLoad, "TPM2_ContextLoad";
    ContextSave = TPM2_CC_ContextSave, "TPM2_ContextSave";
    Create = TPM2_CC_Create, "TPM2_Create";
    CreatePrimary = TPM2_CC_CreatePrimary, "TPM2_CreatePrimary";
    DictionaryAttackLockReset = TPM2_CC_DictionaryAttackLockReset, "TPM2_DictionaryAttackLockReset";
    DictionaryAttackParameters = TPM2_CC_DictionaryAttackParameters, "TPM2_DictionaryAttackParameters";
    EcdhZGen = TPM2_CC_ECDH_ZGen, "TPM2_ECDH_ZGen";
    EvictControl = TPM2_CC_EvictControl, "TPM2_EvictControl";
    FlushContext = TPM2_CC_FlushContext, "TPM2_FlushContext";
    GetCapability = TPM2_CC_GetCapability, "TPM2_GetCapability";
    GetRandom = TPM2_CC_GetRandom, "TPM2_GetRandom";
    GetTestResult = TPM2_CC_GetTestResult, "TPM2_GetTestResult";
    HierarchyChangeAuth = TPM2_CC_HierarchyChangeAuth, "TPM2_HierarchyChangeAuth";
    Import = TPM2_CC_Import, "TPM2_Import";
    IncrementalSelfTest = TPM2_CC_IncrementalSelfTest, "TPM2_IncrementalSelfTest";
    Load = TPM2_CC_Load, "TPM2_Load";
    NvChangeAuth = TPM2_CC_NV_ChangeAuth, "TPM2_NV_ChangeAuth";
    NvDefineSpace = TPM2_CC_NV_DefineSpace, "TPM2_NV_DefineSpace";
    NvRead = TPM2_CC_NV_Read, "TPM2_NV_Read";
    NvReadPublic = TPM2_CC_NV_ReadPublic, "TPM2_NV_ReadPublic";
    NvUndefineSpace = TPM2_CC_NV_UndefineSpace, "TPM2_NV_UndefineSpace";
    NvWrite = TPM2_CC_NV_Write, "TPM2_NV_Write";
    ObjectChangeAuth = TPM2_CC_ObjectChangeAuth, "TPM2_ObjectChangeAuth";
    PolicyAuthValue = TPM2_CC_PolicyAuthValue, "TPM2_PolicyAuthValue";
    PolicyCommandCode = TPM2_CC_PolicyCommandCode, "TPM2_PolicyCommandCode";
    PolicyOr = TPM2_CC_PolicyOR, "TPM2_PolicyOR";
    PolicySecret = TPM2_CC_PolicySecret, "TPM2_PolicySecret";
    ReadPublic = TPM2_CC_ReadPublic, "TPM2_ReadPublic";
    RsaDecrypt = TPM2_CC_RSA_Decrypt, "TPM2_RSA_Decrypt";
    SelfTest = TPM2_CC_SelfTest, "TPM2_SelfTest";
    Sign = TPM2_CC_Sign, "TPM2_Sign";
    TestParms = TPM2_CC_TestParms, "TPM2_TestParms";
    StartAuthSession = TPM2_CC_StartAuthSession, "TPM2_StartAuthSession";
    Unseal = TPM2_CC_Unseal, "TPM2_Unseal";
}

impl fmt::Display for CommandCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl CommandCode {
    /// Whether the response has a handle before its parameters.
    pub(crate) const fn returns_handle(self) -> bool {
        matches!(
            self,
            Self::ContextLoad | Self::CreatePrimary | Self::Load | Self::StartAuthSession
        )
    }
}
