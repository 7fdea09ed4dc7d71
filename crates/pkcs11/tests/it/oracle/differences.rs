//! Where the modules differ, and why ours does what it does.

/// Cases in which the modules give different answers, for one reason.
pub(super) struct Difference {
    pub(super) reason: &'static str,
    /// The name of the case, our answer and SoftHSM's.
    pub(super) cases: &'static [(&'static str, &'static str, &'static str)],
}

pub(super) const ALL: &[Difference] = &[
    Difference {
        reason: "SoftHSM says nothing of the mechanisms that a key may be used with; ours says \
                 which they are.",
        cases: &[
            ("EC private CKA_ALLOWED_MECHANISMS", "40 bytes", "0 bytes"),
            ("EC public CKA_ALLOWED_MECHANISMS", "40 bytes", "0 bytes"),
            ("RSA private CKA_ALLOWED_MECHANISMS", "96 bytes", "0 bytes"),
            ("RSA public CKA_ALLOWED_MECHANISMS", "96 bytes", "0 bytes"),
        ],
    },
    Difference {
        reason: "A token has a key once, so that deleting it deletes it. CKA_COPYABLE says so, and \
                 pkcs11-provider asks for it before it copies.",
        cases: &[
            ("EC private CKA_COPYABLE", "0", "1"),
            ("RSA private CKA_COPYABLE", "0", "1"),
            (
                "copy of a private key for everybody",
                "ACTION_PROHIBITED",
                "TEMPLATE_INCONSISTENT",
            ),
            (
                "copy of a private key of the token",
                "ACTION_PROHIBITED",
                "OK",
            ),
        ],
    },
    Difference {
        reason: "Ours also has the public part of a key: with it, programs such as libp11 need \
                 no second object.",
        cases: &[
            (
                "EC private CKA_EC_POINT",
                "67 bytes",
                "ATTRIBUTE_TYPE_INVALID",
            ),
            ("EC private CKA_PUBLIC_KEY_INFO", "91 bytes", "0 bytes"),
            ("EC public CKA_PUBLIC_KEY_INFO", "91 bytes", "0 bytes"),
            (
                "RSA private CKA_MODULUS_BITS",
                "0x800",
                "ATTRIBUTE_TYPE_INVALID",
            ),
            ("RSA private CKA_PUBLIC_KEY_INFO", "294 bytes", "0 bytes"),
            ("RSA public CKA_PUBLIC_KEY_INFO", "294 bytes", "0 bytes"),
        ],
    },
    Difference {
        reason: "An attribute of PKCS#11 3.0, which SoftHSM 2.6 does not know.",
        cases: &[
            (
                "EC private CKA_UNIQUE_ID",
                "1 bytes",
                "ATTRIBUTE_TYPE_INVALID",
            ),
            (
                "EC public CKA_UNIQUE_ID",
                "1 bytes",
                "ATTRIBUTE_TYPE_INVALID",
            ),
            (
                "RSA private CKA_UNIQUE_ID",
                "1 bytes",
                "ATTRIBUTE_TYPE_INVALID",
            ),
            (
                "RSA public CKA_UNIQUE_ID",
                "1 bytes",
                "ATTRIBUTE_TYPE_INVALID",
            ),
            (
                "create: data with a unique id",
                "ATTRIBUTE_READ_ONLY",
                "ATTRIBUTE_TYPE_INVALID",
            ),
        ],
    },
    Difference {
        reason: "Flags for uses that no key of this type has, or that the module does not do \
                 (wrapping, recovery). SoftHSM repeats what the template said, or its default.",
        cases: &[
            ("EC private CKA_DECRYPT", "0", "1"),
            ("EC private CKA_SIGN_RECOVER", "0", "1"),
            ("EC private CKA_UNWRAP", "0", "1"),
            ("EC public CKA_ENCRYPT", "0", "1"),
            ("EC public CKA_VERIFY_RECOVER", "0", "1"),
            ("EC public CKA_WRAP", "0", "1"),
            ("RSA private CKA_SIGN_RECOVER", "0", "1"),
            ("RSA private CKA_UNWRAP", "0", "1"),
            ("RSA public CKA_VERIFY_RECOVER", "0", "1"),
            ("RSA public CKA_WRAP", "0", "1"),
            ("silent EC private CKA_DECRYPT", "0", "1"),
            ("silent EC public CKA_ENCRYPT", "0", "1"),
        ],
    },
    Difference {
        reason: "Templates for wrapping: no key is wrapped here.",
        cases: &[
            (
                "EC private CKA_UNWRAP_TEMPLATE",
                "ATTRIBUTE_TYPE_INVALID",
                "0 bytes",
            ),
            (
                "EC public CKA_WRAP_TEMPLATE",
                "ATTRIBUTE_TYPE_INVALID",
                "0 bytes",
            ),
            (
                "RSA private CKA_UNWRAP_TEMPLATE",
                "ATTRIBUTE_TYPE_INVALID",
                "0 bytes",
            ),
            (
                "RSA public CKA_WRAP_TEMPLATE",
                "ATTRIBUTE_TYPE_INVALID",
                "0 bytes",
            ),
        ],
    },
    Difference {
        reason: "A private key never leaves the chip, and none is made outside of it: it is \
                 sensitive from the beginning, and a template that says otherwise is refused.",
        cases: &[
            (
                "change of a private key: CKA_SENSITIVE false",
                "ATTRIBUTE_READ_ONLY",
                "OK",
            ),
            ("create: a private key", "TEMPLATE_INCONSISTENT", "OK"),
            ("create: a secret key", "TEMPLATE_INCONSISTENT", "OK"),
            (
                "generate: CKA_EXTRACTABLE true",
                "TEMPLATE_INCONSISTENT",
                "OK",
            ),
            (
                "generate: CKA_SENSITIVE false",
                "TEMPLATE_INCONSISTENT",
                "OK",
            ),
            ("silent EC private CKA_ALWAYS_SENSITIVE", "1", "0"),
            ("silent EC private CKA_SENSITIVE", "1", "0"),
            ("silent RSA private CKA_ALWAYS_SENSITIVE", "1", "0"),
            ("silent RSA private CKA_SENSITIVE", "1", "0"),
        ],
    },
    Difference {
        reason: "It is so already: nothing changes.",
        cases: &[(
            "change of a private key: CKA_EXTRACTABLE false",
            "OK",
            "ATTRIBUTE_READ_ONLY",
        )],
    },
    Difference {
        reason: "Ours has this attribute (above), and it does not change.",
        cases: &[(
            "change of a private key: CKA_EC_POINT",
            "ATTRIBUTE_READ_ONLY",
            "ATTRIBUTE_TYPE_INVALID",
        )],
    },
    Difference {
        reason: "The standard lets the value of data be changed if the object is modifiable.",
        cases: &[("change of a value of data", "OK", "ATTRIBUTE_READ_ONLY")],
    },
    Difference {
        reason: "A template is applied as a whole, or not at all.",
        cases: &[(
            "change of one good and one bad",
            "ATTRIBUTE_READ_ONLY, then before",
            "ATTRIBUTE_READ_ONLY, then after",
        )],
    },
    Difference {
        reason: "An attribute with two values is a contradiction; SoftHSM takes the last one.",
        cases: &[(
            "create: data with two values",
            "TEMPLATE_INCONSISTENT",
            "OK",
        )],
    },
    Difference {
        reason: "The templates have two faults, of which ours meets the other one first: the \
                 value is no certificate, and the point is missing.",
        cases: &[
            (
                "create: a certificate without a type",
                "ATTRIBUTE_VALUE_INVALID",
                "TEMPLATE_INCOMPLETE",
            ),
            (
                "create: an EC key with CKA_LOCAL",
                "TEMPLATE_INCOMPLETE",
                "ATTRIBUTE_READ_ONLY",
            ),
        ],
    },
    Difference {
        reason: "A value of another length than its type has is an error in the caller.",
        cases: &[(
            "generate: a class of four bytes",
            "ATTRIBUTE_VALUE_INVALID",
            "OK",
        )],
    },
    Difference {
        reason: "C_GenerateKeyPair in the standard: a template that contradicts the mechanism is \
                 CKR_TEMPLATE_INCONSISTENT.",
        cases: &[
            (
                "generate: the wrong class",
                "TEMPLATE_INCONSISTENT",
                "ATTRIBUTE_VALUE_INVALID",
            ),
            (
                "generate: the wrong class of the private half",
                "TEMPLATE_INCONSISTENT",
                "ATTRIBUTE_VALUE_INVALID",
            ),
        ],
    },
    Difference {
        reason: "The chip makes RSA keys of 2048 and 3072 bits with the exponent 65537. \
                 CKR_KEY_SIZE_RANGE and CKR_ATTRIBUTE_VALUE_INVALID say more than \
                 CKR_GENERAL_ERROR.",
        cases: &[
            ("generate: RSA of 1024 bits", "KEY_SIZE_RANGE", "OK"),
            (
                "generate: RSA of 64 bits",
                "KEY_SIZE_RANGE",
                "GENERAL_ERROR",
            ),
            (
                "generate: RSA with an even exponent",
                "ATTRIBUTE_VALUE_INVALID",
                "GENERAL_ERROR",
            ),
            (
                "generate: RSA with an exponent of nothing",
                "ATTRIBUTE_VALUE_INVALID",
                "GENERAL_ERROR",
            ),
        ],
    },
    Difference {
        reason: "The caller learns what is wrong; SoftHSM says CKR_GENERAL_ERROR.",
        cases: &[
            (
                "PSS with another hash",
                "OK, DATA_LEN_RANGE",
                "OK, GENERAL_ERROR",
            ),
            (
                "PSS with more salt than fits",
                "MECHANISM_PARAM_INVALID",
                "OK, GENERAL_ERROR",
            ),
            (
                "PSS with more salt than fits over data",
                "MECHANISM_PARAM_INVALID",
                "MECHANISM_INVALID",
            ),
            (
                "PSS with no end of salt",
                "MECHANISM_PARAM_INVALID",
                "OK, GENERAL_ERROR",
            ),
            (
                "PSS with no end of salt over data",
                "MECHANISM_PARAM_INVALID",
                "MECHANISM_INVALID",
            ),
            (
                "decrypt a short message",
                "ENCRYPTED_DATA_LEN_RANGE",
                "GENERAL_ERROR",
            ),
            (
                "decrypt nothing",
                "ENCRYPTED_DATA_LEN_RANGE",
                "GENERAL_ERROR",
            ),
            (
                "decrypt what is too large a number",
                "ENCRYPTED_DATA_INVALID",
                "GENERAL_ERROR",
            ),
            ("encrypt too much", "DATA_LEN_RANGE", "GENERAL_ERROR"),
            (
                "generate: a curve that is no DER",
                "CURVE_NOT_SUPPORTED",
                "GENERAL_ERROR",
            ),
            (
                "generate: a curve that nobody has",
                "CURVE_NOT_SUPPORTED",
                "GENERAL_ERROR",
            ),
            (
                "sign too much with CKM_RSA_PKCS",
                "OK, DATA_LEN_RANGE",
                "OK, GENERAL_ERROR",
            ),
        ],
    },
    Difference {
        reason: "C_SignInit in the standard: a wrong parameter is CKR_MECHANISM_PARAM_INVALID.",
        cases: &[
            (
                "PSS with another hash over data",
                "MECHANISM_PARAM_INVALID",
                "ARGUMENTS_BAD",
            ),
            (
                "PSS with no hash",
                "MECHANISM_PARAM_INVALID",
                "ARGUMENTS_BAD",
            ),
            (
                "PSS with no hash over data",
                "MECHANISM_PARAM_INVALID",
                "ARGUMENTS_BAD",
            ),
            (
                "PSS with no mask",
                "MECHANISM_PARAM_INVALID",
                "ARGUMENTS_BAD",
            ),
            (
                "PSS with no mask over data",
                "MECHANISM_PARAM_INVALID",
                "ARGUMENTS_BAD",
            ),
            (
                "PSS without a parameter 0x43",
                "MECHANISM_PARAM_INVALID",
                "ARGUMENTS_BAD",
            ),
            (
                "PSS without a parameter 0xd",
                "MECHANISM_PARAM_INVALID",
                "ARGUMENTS_BAD",
            ),
        ],
    },
    Difference {
        reason: "A mask with another hash than the message is allowed by PKCS#1; SoftHSM does \
                 not do it.",
        cases: &[
            ("PSS with another mask", "OK, OK", "ARGUMENTS_BAD"),
            ("PSS with another mask over data", "OK, OK", "ARGUMENTS_BAD"),
        ],
    },
    Difference {
        reason: "A signature ends with the login that allowed it: SoftHSM still signs after \
                 C_Logout.",
        cases: &[(
            "a signature that a logout interrupts",
            "OPERATION_NOT_INITIALIZED",
            "OK",
        )],
    },
    Difference {
        reason: "No PIN is a wrong PIN: so programs show it to the person who typed nothing. It \
                 costs no try.",
        cases: &[(
            "login with no PIN",
            "PIN_INCORRECT, OK",
            "ARGUMENTS_BAD, OK",
        )],
    },
    Difference {
        reason: "C_Logout in the standard: CKR_USER_NOT_LOGGED_IN.",
        cases: &[
            ("logout of nobody", "USER_NOT_LOGGED_IN", "OK"),
            ("logout twice", "OK, OK, USER_NOT_LOGGED_IN", "OK, OK, OK"),
        ],
    },
    Difference {
        reason: "A session may sign, hash and search at the same time; a SoftHSM session does \
                 one of these at a time.",
        cases: &[
            (
                "find: with a signature active",
                "OK, OK, OK",
                "OK, OPERATION_ACTIVE, OPERATION_NOT_INITIALIZED",
            ),
            (
                "sign while hashing and searching",
                "OK, OK, OK, OK",
                "OK, OPERATION_ACTIVE, OPERATION_ACTIVE, OPERATION_NOT_INITIALIZED",
            ),
        ],
    },
    Difference {
        reason: "Operation states are not saved here, so that nothing is restored.",
        cases: &[(
            "flags of the token",
            "RNG LOGIN_REQUIRED USER_PIN_INITIALIZED TOKEN_INITIALIZED",
            "RNG LOGIN_REQUIRED USER_PIN_INITIALIZED RESTORE_KEY_NOT_NEEDED TOKEN_INITIALIZED",
        )],
    },
    Difference {
        reason: "C_Sign and C_Digest in the standard: they cannot end an operation in parts. A \
                 question for the length by C_Sign says that the input comes as a whole.",
        cases: &[
            (
                "hash whole after a part",
                "OPERATION_ACTIVE 32, OPERATION_NOT_INITIALIZED",
                "OK 32, OPERATION_NOT_INITIALIZED",
            ),
            (
                "sign RSA in parts after a length",
                "OK, OK 256, OPERATION_ACTIVE, OPERATION_NOT_INITIALIZED",
                "OK, OK 256, OK, OK",
            ),
            (
                "sign RSA whole after a part",
                "OK, OK, OPERATION_ACTIVE, OPERATION_NOT_INITIALIZED",
                "OK, OK, OPERATION_NOT_INITIALIZED, OPERATION_NOT_INITIALIZED",
            ),
        ],
    },
    Difference {
        reason: "Every error but a buffer that is too small ends an operation (PKCS#11 3.1, \
                 section 5.2).",
        cases: &[
            (
                "sign RSA: a part of nothing with a length",
                "OK, ARGUMENTS_BAD, OPERATION_NOT_INITIALIZED",
                "OK, ARGUMENTS_BAD, OK",
            ),
            (
                "sign: no place for the length",
                "OK, ARGUMENTS_BAD, OPERATION_NOT_INITIALIZED",
                "OK, ARGUMENTS_BAD, OK",
            ),
        ],
    },
    Difference {
        reason: "ECDSA that also hashes; SoftHSM 2.6 does not have it.",
        cases: &[
            (
                "mechanism CKM_ECDSA_SHA1",
                "OK sign verify",
                "MECHANISM_INVALID ",
            ),
            (
                "mechanism CKM_ECDSA_SHA256",
                "OK sign verify",
                "MECHANISM_INVALID ",
            ),
            (
                "mechanism CKM_ECDSA_SHA384",
                "OK sign verify",
                "MECHANISM_INVALID ",
            ),
            (
                "mechanism CKM_ECDSA_SHA512",
                "OK sign verify",
                "MECHANISM_INVALID ",
            ),
            ("sign by CKM_ECDSA_SHA1", "OK, OK", "MECHANISM_INVALID"),
            ("sign by CKM_ECDSA_SHA256", "OK, OK", "MECHANISM_INVALID"),
            ("sign by CKM_ECDSA_SHA384", "OK, OK", "MECHANISM_INVALID"),
            ("sign by CKM_ECDSA_SHA512", "OK, OK", "MECHANISM_INVALID"),
        ],
    },
    Difference {
        reason: "The TPM has no Ed25519 keys.",
        cases: &[
            (
                "mechanism CKM_EC_EDWARDS_KEY_PAIR_GEN",
                "MECHANISM_INVALID ",
                "OK generate",
            ),
            (
                "mechanism CKM_EDDSA",
                "MECHANISM_INVALID ",
                "OK sign verify",
            ),
        ],
    },
    Difference {
        reason: "No TPM 2.0 has these hashes, and nobody should sign with MD5. SHA-224 is not \
                 used by SSH, TLS 1.3 or git.",
        cases: &[
            ("mechanism CKM_MD5", "MECHANISM_INVALID ", "OK digest"),
            (
                "mechanism CKM_MD5_RSA_PKCS",
                "MECHANISM_INVALID ",
                "OK sign verify",
            ),
            ("mechanism CKM_SHA224", "MECHANISM_INVALID ", "OK digest"),
            (
                "mechanism CKM_SHA224_RSA_PKCS",
                "MECHANISM_INVALID ",
                "OK sign verify",
            ),
            (
                "mechanism CKM_SHA224_RSA_PKCS_PSS",
                "MECHANISM_INVALID ",
                "OK sign verify",
            ),
            ("sign by CKM_MD5_RSA_PKCS", "MECHANISM_INVALID", "OK, OK"),
            ("sign by CKM_SHA224_RSA_PKCS", "MECHANISM_INVALID", "OK, OK"),
        ],
    },
    Difference {
        reason: "Raw RSA decrypts and signs whatever it is given. Ours takes the padding of \
                 PKCS#1 off and signs nothing else: an oracle for raw RSA would sign everything.",
        cases: &[
            (
                "mechanism CKM_RSA_X_509",
                "OK sign verify",
                "OK sign verify encrypt decrypt",
            ),
            (
                "sign a number with CKM_RSA_X_509",
                "OK, DATA_INVALID",
                "OK, OK",
            ),
        ],
    },
    Difference {
        reason: "CKM_ECDSA has no parameter; one that is given was meant for something else.",
        cases: &[(
            "sign ECDSA with a parameter",
            "MECHANISM_PARAM_INVALID",
            "OK",
        )],
    },
    Difference {
        reason: "The type of a key is looked at when an operation begins; SoftHSM finds it out \
                 when it signs or verifies.",
        cases: &[
            (
                "sign RSA with a key of another type",
                "KEY_TYPE_INCONSISTENT",
                "OK",
            ),
            (
                "sign with a key of another type",
                "KEY_TYPE_INCONSISTENT",
                "OK",
            ),
            (
                "verify with a key of another type",
                "KEY_TYPE_INCONSISTENT",
                "OK",
            ),
        ],
    },
    Difference {
        reason: "CKR_KEY_HANDLE_INVALID is the standard's word for a handle that is no key.",
        cases: &[
            (
                "sign with data",
                "KEY_HANDLE_INVALID",
                "KEY_FUNCTION_NOT_PERMITTED",
            ),
            (
                "sign with no key",
                "KEY_HANDLE_INVALID",
                "OBJECT_HANDLE_INVALID",
            ),
        ],
    },
    Difference {
        reason: "There is nothing to sign: a digest of no bytes would have the same signature as \
                 one of zeros.",
        cases: &[
            (
                "sign after an error",
                "OK, DATA_LEN_RANGE, OPERATION_NOT_INITIALIZED, OK",
                "OK, OK, OPERATION_NOT_INITIALIZED, OK",
            ),
            ("sign nothing with ECDSA", "OK, DATA_LEN_RANGE", "OK, OK"),
        ],
    },
    Difference {
        reason: "C_SignInit in PKCS#11 3.0: without a mechanism an operation is cancelled.",
        cases: &[("sign by no mechanism", "OK", "ARGUMENTS_BAD")],
    },
    Difference {
        reason: "pkcs11-tool signs input that is longer than its buffer in parts, by any \
                 mechanism. Together they are the digest.",
        cases: &[(
            "sign in parts what takes no parts",
            "OK, OK, OK",
            "OK, OPERATION_NOT_INITIALIZED, OPERATION_NOT_INITIALIZED",
        )],
    },
];
