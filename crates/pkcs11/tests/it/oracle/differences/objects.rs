//! Objects and their attributes.

use super::Difference;

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
];
