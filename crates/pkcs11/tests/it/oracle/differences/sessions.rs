//! Sessions, logins and searches.

use super::Difference;

pub(super) const ALL: &[Difference] = &[
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
];
