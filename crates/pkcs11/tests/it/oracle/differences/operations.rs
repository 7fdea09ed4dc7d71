//! Signing, verifying, hashing, encrypting and decrypting.

use super::Difference;

pub(super) const ALL: &[Difference] = &[
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
