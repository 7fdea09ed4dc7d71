//! Key generation and the list of mechanisms.

use super::Difference;

pub(super) const ALL: &[Difference] = &[
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
];
