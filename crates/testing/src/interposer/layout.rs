//! The layouts of commands and their responses.
//!
//! # Source
//!
//! Part 3 of the TPM 2.0 Library Specification, revision 1.59: the tables of each command.

use super::{
    reader::{Part, Type},
    structure,
};

/// The handles and parameters of a command and its response.
pub(super) struct Layout {
    pub(super) code: u32,
    pub(super) name: &'static str,
    pub(super) handles: &'static [&'static str],
    pub(super) parameters: &'static [Part],
    /// The handle before the parameters of the response.
    pub(super) reply_handle: Option<&'static str>,
    pub(super) reply: &'static [Part],
}

/// The layout of a command; `None` if this crate does not know it.
pub(super) fn of(code: u32) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| layout.code == code)
}

use Type::{Buffer, Flags, List, Sized, SizedUnion, Structure, U8, U16, U32, U64, Union};

const PUBLIC: Type = SizedUnion(structure::public);
const SENSITIVE: Type = Sized(&[("userAuth", Buffer), ("data", Buffer)]);
const SELECTION: Type = Union(structure::pcr_selection);
const SELECTIONS: Type = List(&SELECTION);
const SCHEME: Type = Union(structure::scheme);
const SYMMETRIC: Type = Union(structure::symmetric);
const SIGNATURE: Type = Union(structure::signature);
const DIGESTS: Type = List(&Union(structure::digest));
/// Every `TPMT_TK_*`.
const TICKET: Type = Structure(&[("tag", U16), ("hierarchy", U32), ("digest", Buffer)]);
const CREATION: Type = Sized(&[
    ("pcrSelect", SELECTIONS),
    ("pcrDigest", Buffer),
    ("locality", U8),
    ("parentNameAlg", U16),
    ("parentName", Buffer),
    ("parentQualifiedName", Buffer),
    ("outsideInfo", Buffer),
]);
const NV_PUBLIC: Type = Sized(&[
    ("nvIndex", U32),
    ("nameAlg", U16),
    ("attributes", Flags),
    ("authPolicy", Buffer),
    ("dataSize", U16),
]);
const CONTEXT: Type = Structure(&[
    ("sequence", U64),
    ("savedHandle", U32),
    ("hierarchy", U32),
    ("contextBlob", Buffer),
]);
const CLOCK: Type = Structure(&[
    ("time", U64),
    ("clock", U64),
    ("resetCount", U32),
    ("restartCount", U32),
    ("safe", U8),
]);
const CREATION_PARAMETERS: &[Part] = &[
    ("inSensitive", SENSITIVE),
    ("inPublic", PUBLIC),
    ("outsideInfo", Buffer),
    ("creationPCR", SELECTIONS),
];
const ATTESTED: &[Part] = &[("certifyInfo", Buffer), ("signature", SIGNATURE)];

macro_rules! layouts {
    ($($constant:ident = $code:literal $name:literal
        [$($handle:literal),*] $parameters:expr =>
        [$($reply_handle:literal)?] $reply:expr;)+) => {
        /// The codes of the supported commands, `TPM_CC_…`.
        ///
        /// # Source
        ///
        /// Part 2, section 6.5.2 "TPM_CC Listing".
        pub mod cc {
            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: u32 = $code;
            )+
        }

        const LAYOUTS: &[Layout] = &[$(Layout {
            code: $code,
            name: $name,
            handles: &[$($handle),*],
            parameters: $parameters,
            reply_handle: { let none: &[&str] = &[$($reply_handle)?]; first(none) },
            reply: $reply,
        }),+];
    };
}

const fn first(names: &[&'static str]) -> Option<&'static str> {
    match names {
        [name, ..] => Some(*name),
        [] => None,
    }
}

layouts! {
    NV_UNDEFINE_SPACE_SPECIAL = 0x11f "TPM2_NV_UndefineSpaceSpecial" ["nvIndex", "platform"] &[] => [] &[];
    EVICT_CONTROL = 0x120 "TPM2_EvictControl" ["auth", "objectHandle"] &[("persistentHandle", U32)] => [] &[];
    HIERARCHY_CONTROL = 0x121 "TPM2_HierarchyControl" ["authHandle"] &[("enable", U32), ("state", U8)] => [] &[];
    NV_UNDEFINE_SPACE = 0x122 "TPM2_NV_UndefineSpace" ["authHandle", "nvIndex"] &[] => [] &[];
    CHANGE_EPS = 0x124 "TPM2_ChangeEPS" ["authHandle"] &[] => [] &[];
    CHANGE_PPS = 0x125 "TPM2_ChangePPS" ["authHandle"] &[] => [] &[];
    CLEAR = 0x126 "TPM2_Clear" ["authHandle"] &[] => [] &[];
    CLEAR_CONTROL = 0x127 "TPM2_ClearControl" ["auth"] &[("disable", U8)] => [] &[];
    CLOCK_SET = 0x128 "TPM2_ClockSet" ["auth"] &[("newTime", U64)] => [] &[];
    HIERARCHY_CHANGE_AUTH = 0x129 "TPM2_HierarchyChangeAuth" ["authHandle"] &[("newAuth", Buffer)] => [] &[];
    NV_DEFINE_SPACE = 0x12a "TPM2_NV_DefineSpace" ["authHandle"] &[("auth", Buffer), ("publicInfo", NV_PUBLIC)] => [] &[];
    CREATE_PRIMARY = 0x131 "TPM2_CreatePrimary" ["primaryHandle"] CREATION_PARAMETERS => ["objectHandle"] &[
        ("outPublic", PUBLIC), ("creationData", CREATION), ("creationHash", Buffer),
        ("creationTicket", TICKET), ("name", Buffer),
    ];
    NV_GLOBAL_WRITE_LOCK = 0x132 "TPM2_NV_GlobalWriteLock" ["authHandle"] &[] => [] &[];
    NV_INCREMENT = 0x134 "TPM2_NV_Increment" ["authHandle", "nvIndex"] &[] => [] &[];
    NV_SET_BITS = 0x135 "TPM2_NV_SetBits" ["authHandle", "nvIndex"] &[("bits", U64)] => [] &[];
    NV_EXTEND = 0x136 "TPM2_NV_Extend" ["authHandle", "nvIndex"] &[("data", Buffer)] => [] &[];
    NV_WRITE = 0x137 "TPM2_NV_Write" ["authHandle", "nvIndex"] &[("data", Buffer), ("offset", U16)] => [] &[];
    NV_WRITE_LOCK = 0x138 "TPM2_NV_WriteLock" ["authHandle", "nvIndex"] &[] => [] &[];
    DICTIONARY_ATTACK_LOCK_RESET = 0x139 "TPM2_DictionaryAttackLockReset" ["lockHandle"] &[] => [] &[];
    DICTIONARY_ATTACK_PARAMETERS = 0x13a "TPM2_DictionaryAttackParameters" ["lockHandle"] &[
        ("newMaxTries", U32), ("newRecoveryTime", U32), ("lockoutRecovery", U32),
    ] => [] &[];
    NV_CHANGE_AUTH = 0x13b "TPM2_NV_ChangeAuth" ["nvIndex"] &[("newAuth", Buffer)] => [] &[];
    PCR_EVENT = 0x13c "TPM2_PCR_Event" ["pcrHandle"] &[("eventData", Buffer)] => [] &[("digests", DIGESTS)];
    PCR_RESET = 0x13d "TPM2_PCR_Reset" ["pcrHandle"] &[] => [] &[];
    INCREMENTAL_SELF_TEST = 0x142 "TPM2_IncrementalSelfTest" [] &[("toTest", List(&U16))] => [] &[("toDoList", List(&U16))];
    SELF_TEST = 0x143 "TPM2_SelfTest" [] &[("fullTest", U8)] => [] &[];
    STARTUP = 0x144 "TPM2_Startup" [] &[("startupType", U16)] => [] &[];
    SHUTDOWN = 0x145 "TPM2_Shutdown" [] &[("shutdownType", U16)] => [] &[];
    STIR_RANDOM = 0x146 "TPM2_StirRandom" [] &[("inData", Buffer)] => [] &[];
    ACTIVATE_CREDENTIAL = 0x147 "TPM2_ActivateCredential" ["activateHandle", "keyHandle"] &[
        ("credentialBlob", Buffer), ("secret", Buffer),
    ] => [] &[("certInfo", Buffer)];
    CERTIFY = 0x148 "TPM2_Certify" ["objectHandle", "signHandle"] &[("qualifyingData", Buffer), ("inScheme", SCHEME)] => [] ATTESTED;
    POLICY_NV = 0x149 "TPM2_PolicyNV" ["authHandle", "nvIndex", "policySession"] &[
        ("operandB", Buffer), ("offset", U16), ("operation", U16),
    ] => [] &[];
    CERTIFY_CREATION = 0x14a "TPM2_CertifyCreation" ["signHandle", "objectHandle"] &[
        ("qualifyingData", Buffer), ("creationHash", Buffer), ("inScheme", SCHEME), ("creationTicket", TICKET),
    ] => [] ATTESTED;
    DUPLICATE = 0x14b "TPM2_Duplicate" ["objectHandle", "newParentHandle"] &[
        ("encryptionKeyIn", Buffer), ("symmetricAlg", SYMMETRIC),
    ] => [] &[("encryptionKeyOut", Buffer), ("duplicate", Buffer), ("outSymSeed", Buffer)];
    NV_READ = 0x14e "TPM2_NV_Read" ["authHandle", "nvIndex"] &[("size", U16), ("offset", U16)] => [] &[("data", Buffer)];
    NV_READ_LOCK = 0x14f "TPM2_NV_ReadLock" ["authHandle", "nvIndex"] &[] => [] &[];
    OBJECT_CHANGE_AUTH = 0x150 "TPM2_ObjectChangeAuth" ["objectHandle", "parentHandle"] &[("newAuth", Buffer)] => [] &[("outPrivate", Buffer)];
    POLICY_SECRET = 0x151 "TPM2_PolicySecret" ["authHandle", "policySession"] &[
        ("nonceTPM", Buffer), ("cpHashA", Buffer), ("policyRef", Buffer), ("expiration", U32),
    ] => [] &[("timeout", Buffer), ("policyTicket", TICKET)];
    REWRAP = 0x152 "TPM2_Rewrap" ["oldParent", "newParent"] &[
        ("inDuplicate", Buffer), ("name", Buffer), ("inSymSeed", Buffer),
    ] => [] &[("outDuplicate", Buffer), ("outSymSeed", Buffer)];
    CREATE = 0x153 "TPM2_Create" ["parentHandle"] CREATION_PARAMETERS => [] &[
        ("outPrivate", Buffer), ("outPublic", PUBLIC), ("creationData", CREATION),
        ("creationHash", Buffer), ("creationTicket", TICKET),
    ];
    ECDH_ZGEN = 0x154 "TPM2_ECDH_ZGen" ["keyHandle"] &[("inPoint", Sized(structure::POINT))] => [] &[("outPoint", Sized(structure::POINT))];
    IMPORT = 0x156 "TPM2_Import" ["parentHandle"] &[
        ("encryptionKey", Buffer), ("objectPublic", PUBLIC), ("duplicate", Buffer),
        ("inSymSeed", Buffer), ("symmetricAlg", SYMMETRIC),
    ] => [] &[("outPrivate", Buffer)];
    LOAD = 0x157 "TPM2_Load" ["parentHandle"] &[("inPrivate", Buffer), ("inPublic", PUBLIC)] => ["objectHandle"] &[("name", Buffer)];
    QUOTE = 0x158 "TPM2_Quote" ["signHandle"] &[
        ("qualifyingData", Buffer), ("inScheme", SCHEME), ("PCRselect", SELECTIONS),
    ] => [] &[("quoted", Buffer), ("signature", SIGNATURE)];
    RSA_DECRYPT = 0x159 "TPM2_RSA_Decrypt" ["keyHandle"] &[
        ("cipherText", Buffer), ("inScheme", SCHEME), ("label", Buffer),
    ] => [] &[("message", Buffer)];
    CONTEXT_LOAD = 0x161 "TPM2_ContextLoad" [] &[("context", CONTEXT)] => ["loadedHandle"] &[];
    CONTEXT_SAVE = 0x162 "TPM2_ContextSave" ["saveHandle"] &[] => [] &[("context", CONTEXT)];
    ECDH_KEY_GEN = 0x163 "TPM2_ECDH_KeyGen" ["keyHandle"] &[] => [] &[("zPoint", Sized(structure::POINT)), ("pubPoint", Sized(structure::POINT))];
    FLUSH_CONTEXT = 0x165 "TPM2_FlushContext" [] &[("flushHandle", U32)] => [] &[];
    LOAD_EXTERNAL = 0x167 "TPM2_LoadExternal" [] &[
        ("inPrivate", Buffer), ("inPublic", PUBLIC), ("hierarchy", U32),
    ] => ["objectHandle"] &[("name", Buffer)];
    MAKE_CREDENTIAL = 0x168 "TPM2_MakeCredential" ["handle"] &[("credential", Buffer), ("objectName", Buffer)] => [] &[
        ("credentialBlob", Buffer), ("secret", Buffer),
    ];
    NV_READ_PUBLIC = 0x169 "TPM2_NV_ReadPublic" ["nvIndex"] &[] => [] &[("nvPublic", NV_PUBLIC), ("nvName", Buffer)];
    POLICY_AUTH_VALUE = 0x16b "TPM2_PolicyAuthValue" ["policySession"] &[] => [] &[];
    POLICY_COMMAND_CODE = 0x16c "TPM2_PolicyCommandCode" ["policySession"] &[("code", U32)] => [] &[];
    POLICY_OR = 0x171 "TPM2_PolicyOR" ["policySession"] &[("pHashList", List(&Buffer))] => [] &[];
    READ_PUBLIC = 0x173 "TPM2_ReadPublic" ["objectHandle"] &[] => [] &[
        ("outPublic", PUBLIC), ("name", Buffer), ("qualifiedName", Buffer),
    ];
    RSA_ENCRYPT = 0x174 "TPM2_RSA_Encrypt" ["keyHandle"] &[
        ("message", Buffer), ("inScheme", SCHEME), ("label", Buffer),
    ] => [] &[("outData", Buffer)];
    START_AUTH_SESSION = 0x176 "TPM2_StartAuthSession" ["tpmKey", "bind"] &[
        ("nonceCaller", Buffer), ("encryptedSalt", Buffer), ("sessionType", U8),
        ("symmetric", SYMMETRIC), ("authHash", U16),
    ] => ["sessionHandle"] &[("nonceTPM", Buffer)];
    VERIFY_SIGNATURE = 0x177 "TPM2_VerifySignature" ["keyHandle"] &[("digest", Buffer), ("signature", SIGNATURE)] => [] &[("validation", TICKET)];
    GET_CAPABILITY = 0x17a "TPM2_GetCapability" [] &[("capability", U32), ("property", U32), ("propertyCount", U32)] => [] &[
        ("moreData", U8), ("capabilityData", Union(structure::capability)),
    ];
    GET_RANDOM = 0x17b "TPM2_GetRandom" [] &[("bytesRequested", U16)] => [] &[("randomBytes", Buffer)];
    GET_TEST_RESULT = 0x17c "TPM2_GetTestResult" [] &[] => [] &[("outData", Buffer), ("testResult", U32)];
    HASH = 0x17d "TPM2_Hash" [] &[("data", Buffer), ("hashAlg", U16), ("hierarchy", U32)] => [] &[("outHash", Buffer), ("validation", TICKET)];
    PCR_READ = 0x17e "TPM2_PCR_Read" [] &[("pcrSelectionIn", SELECTIONS)] => [] &[
        ("pcrUpdateCounter", U32), ("pcrSelectionOut", SELECTIONS), ("pcrValues", List(&Buffer)),
    ];
    POLICY_PCR = 0x17f "TPM2_PolicyPCR" ["policySession"] &[("pcrDigest", Buffer), ("pcrs", SELECTIONS)] => [] &[];
    POLICY_RESTART = 0x180 "TPM2_PolicyRestart" ["sessionHandle"] &[] => [] &[];
    READ_CLOCK = 0x181 "TPM2_ReadClock" [] &[] => [] &[("currentTime", CLOCK)];
    PCR_EXTEND = 0x182 "TPM2_PCR_Extend" ["pcrHandle"] &[("digests", DIGESTS)] => [] &[];
    NV_CERTIFY = 0x184 "TPM2_NV_Certify" ["signHandle", "authHandle", "nvIndex"] &[
        ("qualifyingData", Buffer), ("inScheme", SCHEME), ("size", U16), ("offset", U16),
    ] => [] ATTESTED;
    POLICY_DUPLICATION_SELECT = 0x188 "TPM2_PolicyDuplicationSelect" ["policySession"] &[
        ("objectName", Buffer), ("newParentName", Buffer), ("includeObject", U8),
    ] => [] &[];
    POLICY_GET_DIGEST = 0x189 "TPM2_PolicyGetDigest" ["policySession"] &[] => [] &[("policyDigest", Buffer)];
    TEST_PARMS = 0x18a "TPM2_TestParms" [] &[("parameters", Union(structure::public_parameters))] => [] &[];
    SIGN = 0x15d "TPM2_Sign" ["keyHandle"] &[
        ("digest", Buffer), ("inScheme", SCHEME), ("validation", TICKET),
    ] => [] &[("signature", SIGNATURE)];
    UNSEAL = 0x15e "TPM2_Unseal" ["itemHandle"] &[] => [] &[("outData", Buffer)];
    POLICY_PASSWORD = 0x18c "TPM2_PolicyPassword" ["policySession"] &[] => [] &[];
    CREATE_LOADED = 0x191 "TPM2_CreateLoaded" ["parentHandle"] &[("inSensitive", SENSITIVE), ("inPublic", Buffer)] => ["objectHandle"] &[
        ("outPrivate", Buffer), ("outPublic", PUBLIC), ("name", Buffer),
    ];
}
