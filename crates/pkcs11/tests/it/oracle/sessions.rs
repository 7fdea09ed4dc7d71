//! Sessions, logins and PINs. Each case begins with one session and nobody logged in.

use std::ptr;

use cryptoki_sys::*;

use super::{Case, Hsm, case, names};
use crate::{
    loaded::call,
    stage::{RW, Stage, bytes, constant, flag},
    world::{PIN, SO_PIN},
};

const RO: CK_FLAGS = CKF_SERIAL_SESSION;
static LABEL: [u8; 32] = *b"label                           ";

fn user(h: Hsm, pin: &str) -> CK_RV {
    h.stage.login(CKU_USER, pin)
}

fn so(h: Hsm, pin: &str) -> CK_RV {
    h.stage.login(CKU_SO, pin)
}

fn logout(h: Hsm) -> CK_RV {
    call!(h.stage, C_Logout(h.stage.session))
}

fn open(h: Hsm, flags: CK_FLAGS) -> CK_RV {
    let mut session = 0;
    let (slot, none, place) = (h.stage.slot, ptr::null_mut(), &raw mut session);
    call!(h.stage, C_OpenSession(slot, flags, none, None, place))
}

fn close(stage: Stage) -> CK_RV {
    call!(stage, C_CloseSession(stage.session))
}

/// The state of a session, by its number.
fn state(stage: Stage) -> String {
    let mut info = CK_SESSION_INFO::default();
    match call!(stage, C_GetSessionInfo(stage.session, &raw mut info)) {
        CKR_OK => format!("state {} flags {}", info.state, info.flags),
        err => names::of(err),
    }
}

fn set_pin(h: Hsm, old: &str, new: &str) -> CK_RV {
    let (a, b) = (old.as_ptr().cast_mut(), old.len() as CK_ULONG);
    let (c, d) = (new.as_ptr().cast_mut(), new.len() as CK_ULONG);
    call!(h.stage, C_SetPIN(h.stage.session, a, b, c, d))
}

fn init_pin(h: Hsm, pin: &str) -> CK_RV {
    let (a, b) = (pin.as_ptr().cast_mut(), pin.len() as CK_ULONG);
    call!(h.stage, C_InitPIN(h.stage.session, a, b))
}

fn create(h: Hsm, private: bool) -> (CK_RV, CK_OBJECT_HANDLE) {
    let mut template = [
        constant(CKA_CLASS, CKO_DATA),
        flag(CKA_PRIVATE, private),
        bytes(CKA_LABEL, b"of a session"),
    ];
    let mut object = 0;
    let (session, place) = (h.stage.session, template.as_mut_ptr());
    let returned = call!(h.stage, C_CreateObject(session, place, 3, &raw mut object));
    (returned, object)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = logins();
    cases.extend(pins());
    cases.extend(opened());
    cases
}

fn logins() -> Vec<Case> {
    vec![
        case("login twice", |h| [user(h, PIN), user(h, PIN)]),
        case("login twice with a wrong PIN", |h| {
            [user(h, PIN), user(h, "wrong PIN")]
        }),
        case("login of the SO after the user", |h| {
            [user(h, PIN), so(h, SO_PIN)]
        }),
        case("login of the user after the SO", |h| {
            [so(h, SO_PIN), user(h, PIN)]
        }),
        case("login of the SO twice", |h| [so(h, SO_PIN), so(h, SO_PIN)]),
        case("login with a wrong PIN, then the right one", |h| {
            [user(h, "wrong PIN"), user(h, PIN)]
        }),
        case("login with a PIN that is too short", |h| {
            [user(h, "1"), user(h, PIN)]
        }),
        case("login with no PIN", |h| {
            let none = ptr::null_mut();
            let session = h.stage.session;
            [
                call!(h.stage, C_Login(session, CKU_USER, none, 0)),
                user(h, PIN),
            ]
        }),
        case("login with no PIN and a length", |h| {
            let none = ptr::null_mut();
            let session = h.stage.session;
            call!(h.stage, C_Login(session, CKU_USER, none, 4))
        }),
        case("login as nobody", |h| h.stage.login(77, PIN)),
        case("login for an operation that is not there", |h| {
            [user(h, PIN), h.stage.login(CKU_CONTEXT_SPECIFIC, PIN)]
        }),
        case("login of the SO beside a read-only session", |h| {
            let other = h.stage.another(RO);
            let refused = so(h, SO_PIN);
            [refused, close(other), so(h, SO_PIN)]
        }),
        case("a read-only session beside the SO", |h| {
            [so(h, SO_PIN), open(h, RO)]
        }),
        case("logout of nobody", logout),
        case("logout twice", |h| [user(h, PIN), logout(h), logout(h)]),
        case("login in a session that is not there", |h| {
            let stage = Stage {
                session: 0x7777,
                ..h.stage
            };
            stage.login(CKU_USER, PIN)
        }),
        case("states of sessions", |h| {
            let other = h.stage.another(RO);
            let before = [state(h.stage), state(other)].join(", ");
            assert_eq!(user(h, PIN), CKR_OK);
            let after = [state(h.stage), state(other)].join(", ");
            assert_eq!(logout(h), CKR_OK);
            format!("{before}; {after}; {}", state(other))
        }),
        case("state of a session of the SO", |h| {
            assert_eq!(so(h, SO_PIN), CKR_OK);
            state(h.stage)
        }),
        case("the login ends with the last session", |h| {
            let other = h.stage.another(RW);
            assert_eq!(user(h, PIN), CKR_OK);
            assert_eq!(close(h.stage), CKR_OK);
            let with = state(other);
            assert_eq!(close(other), CKR_OK);
            format!("{with}, then {}", state(other.another(RW)))
        }),
        case("private keys before the login", |h| {
            let class = || constant(CKA_CLASS, CKO_PRIVATE_KEY);
            let before = h.stage.find(&mut [class()]).len();
            assert_eq!(user(h, PIN), CKR_OK);
            let with = h.stage.find(&mut [class()]).len();
            assert_eq!(logout(h), CKR_OK);
            format!("{before}, {with}, {}", h.stage.find(&mut [class()]).len())
        }),
        case("private keys for the SO", |h| {
            assert_eq!(so(h, SO_PIN), CKR_OK);
            let found = h.stage.find(&mut [constant(CKA_CLASS, CKO_PRIVATE_KEY)]);
            found.len().to_string()
        }),
        case("a private object before the login", |h| create(h, true).0),
        case("a private object of the SO", |h| {
            [so(h, SO_PIN), create(h, true).0]
        }),
        case("a public object before the login", |h| create(h, false).0),
        case("a key before the login", |h| {
            let params = bytes(CKA_EC_PARAMS, crate::keys::P256);
            h.stage.generate(CKM_EC_KEY_PAIR_GEN, &[params], &[])
        }),
        case("a private object after the logout", |h| {
            assert_eq!(user(h, PIN), CKR_OK);
            let (returned, object) = create(h, true);
            assert_eq!(returned, CKR_OK);
            assert_eq!(logout(h), CKR_OK);
            let after = h.stage.get(object, CKA_LABEL).err();
            assert_eq!(user(h, PIN), CKR_OK);
            let again = h.stage.find(&mut [bytes(CKA_LABEL, b"of a session")]);
            format!("{:?}, then {}", after.map(names::of), again.len())
        }),
        case("a signature that a logout interrupts", |h| {
            assert_eq!(user(h, PIN), CKR_OK);
            let key = h.stage.object(CKO_PRIVATE_KEY, "ec");
            assert_eq!(h.stage.sign_init(CKM_ECDSA, key), CKR_OK);
            assert_eq!(logout(h), CKR_OK);
            h.stage.sign(&[1; 32]).err().unwrap_or(CKR_OK)
        }),
        case("a search that a login interrupts", |h| {
            let session = h.stage.session;
            let begun = call!(h.stage, C_FindObjectsInit(session, ptr::null_mut(), 0));
            assert_eq!(begun, CKR_OK);
            let login = user(h, PIN);
            let (mut found, mut count) = ([0; 50], 0);
            let place = found.as_mut_ptr();
            let next = call!(h.stage, C_FindObjects(session, place, 50, &raw mut count));
            format!("{}, {} {count}", names::of(login), names::of(next))
        }),
        case("a key that always asks", |h| {
            assert_eq!(user(h, PIN), CKR_OK);
            let params = bytes(CKA_EC_PARAMS, crate::keys::P256);
            let asks = flag(CKA_ALWAYS_AUTHENTICATE, true);
            let private = [flag(CKA_PRIVATE, true), asks];
            let made = h.stage.key_pair(CKM_EC_KEY_PAIR_GEN, &[params], &private);
            assert_eq!(made.0, CKR_OK);
            let init = || h.stage.sign_init(CKM_ECDSA, made.2);
            let signed = || h.stage.sign(&[1; 32]).err().unwrap_or(CKR_OK);
            let context = || h.stage.login(CKU_CONTEXT_SPECIFIC, PIN);
            let answers = [
                init(),
                signed(),
                init(),
                context(),
                signed(),
                init(),
                signed(),
            ];
            answers.map(names::of).join(", ")
        }),
    ]
}

fn pins() -> Vec<Case> {
    vec![
        case("C_SetPIN in a read-only session", |h| {
            let stage = h.stage.another(RO);
            set_pin(Hsm { stage, ..h }, PIN, "another PIN")
        }),
        case("C_SetPIN to a PIN that is too short", |h| {
            set_pin(h, PIN, "1")
        }),
        case("C_SetPIN to one that is too long", |h| {
            set_pin(h, PIN, &"1".repeat(300))
        }),
        case("C_SetPIN with a wrong PIN, then the right one", |h| {
            [set_pin(h, "wrong PIN", "another PIN"), set_pin(h, PIN, PIN)]
        }),
        case("C_SetPIN and back", |h| {
            [
                set_pin(h, PIN, "another PIN"),
                user(h, PIN),
                user(h, "another PIN"),
                set_pin(h, "another PIN", PIN),
                logout(h),
                user(h, PIN),
            ]
        }),
        case("C_SetPIN of the SO", |h| {
            [
                so(h, SO_PIN),
                set_pin(h, SO_PIN, "another SO PIN"),
                set_pin(h, "another SO PIN", SO_PIN),
            ]
        }),
        case("C_InitPIN of nobody", |h| init_pin(h, "another PIN")),
        case("C_InitPIN of the user", |h| {
            [user(h, PIN), init_pin(h, "another PIN")]
        }),
        case("C_InitPIN to one that is too short", |h| {
            [so(h, SO_PIN), init_pin(h, "1")]
        }),
        case("C_InitPIN of the SO", |h| {
            [so(h, SO_PIN), init_pin(h, PIN), logout(h), user(h, PIN)]
        }),
        case("C_InitToken with a session", |h| {
            let (so, len) = (SO_PIN.as_ptr().cast_mut(), SO_PIN.len() as CK_ULONG);
            let label = LABEL.as_ptr().cast_mut();
            call!(h.stage, C_InitToken(h.stage.slot, so, len, label))
        }),
        case("C_InitToken with a wrong SO PIN", |h| {
            assert_eq!(close(h.stage), CKR_OK);
            let wrong = "wrong SO PIN";
            let (so, len) = (wrong.as_ptr().cast_mut(), wrong.len() as CK_ULONG);
            let label = LABEL.as_ptr().cast_mut();
            call!(h.stage, C_InitToken(h.stage.slot, so, len, label))
        }),
        case("C_InitToken in a slot that is not there", |h| {
            let (so, len) = (SO_PIN.as_ptr().cast_mut(), SO_PIN.len() as CK_ULONG);
            let label = LABEL.as_ptr().cast_mut();
            call!(h.stage, C_InitToken(0x7777, so, len, label))
        }),
    ]
}

fn opened() -> Vec<Case> {
    let with = |flags| move |h| open(h, flags);
    vec![
        case("open: read-only", with(RO)),
        case("open: not serial", with(CKF_RW_SESSION)),
        case("open: in a slot that is not there", |h| {
            let stage = Stage {
                slot: 0x7777,
                ..h.stage
            };
            open(Hsm { stage, ..h }, RW)
        }),
        case("open: without a place for the handle", |h| {
            let slot = h.stage.slot;
            let (none, nowhere) = (ptr::null_mut(), ptr::null_mut());
            call!(h.stage, C_OpenSession(slot, RW, none, None, nowhere))
        }),
        case("close twice", |h| [close(h.stage), close(h.stage)]),
        case("close all twice", |h| {
            let all = || call!(h.stage, C_CloseAllSessions(h.stage.slot));
            [all(), all(), close(h.stage)]
        }),
        case("close all of a slot that is not there", |h| {
            call!(h.stage, C_CloseAllSessions(0x7777))
        }),
        case("an object of a session that is closed", |h| {
            let other = h.stage.another(RW);
            let (returned, object) = create(Hsm { stage: other, ..h }, false);
            assert_eq!(returned, CKR_OK);
            assert_eq!(close(other), CKR_OK);
            h.stage.get(object, CKA_LABEL).err().unwrap_or(CKR_OK)
        }),
        case("random numbers", |h| {
            let mut bytes = [0; 20];
            let session = h.stage.session;
            let place = bytes.as_mut_ptr();
            [
                call!(h.stage, C_SeedRandom(session, place, 20)),
                call!(h.stage, C_SeedRandom(session, place, 0)),
                call!(h.stage, C_GenerateRandom(session, place, 20)),
                call!(h.stage, C_GenerateRandom(session, place, 0)),
                call!(h.stage, C_GenerateRandom(session, ptr::null_mut(), 4)),
                call!(h.stage, C_SeedRandom(session, ptr::null_mut(), 4)),
            ]
        }),
        case("functions of old versions", |h| {
            let session = h.stage.session;
            [
                call!(h.stage, C_GetFunctionStatus(session)),
                call!(h.stage, C_CancelFunction(session)),
            ]
        }),
        case("C_Initialize again", |h| {
            call!(h.stage, C_Initialize(ptr::null_mut()))
        }),
        case("information of what is not there", |h| {
            let (mut slot, mut token) = (CK_SLOT_INFO::default(), CK_TOKEN_INFO::default());
            let (mut session, mut mechanism) = (CK_SESSION_INFO::default(), Default::default());
            [
                call!(h.stage, C_GetSlotInfo(0x7777, &raw mut slot)),
                call!(h.stage, C_GetTokenInfo(0x7777, &raw mut token)),
                call!(h.stage, C_GetSessionInfo(0x7777, &raw mut session)),
                call!(
                    h.stage,
                    C_GetMechanismInfo(0x7777, CKM_ECDSA, &raw mut mechanism)
                ),
                call!(
                    h.stage,
                    C_GetMechanismInfo(h.stage.slot, 0x7777, &raw mut mechanism)
                ),
            ]
        }),
        case("flags of the token", |h| {
            let info = crate::stage::token_info(h.stage.module, h.stage.slot);
            let flags = [
                (CKF_RNG, "RNG"),
                (CKF_WRITE_PROTECTED, "WRITE_PROTECTED"),
                (CKF_LOGIN_REQUIRED, "LOGIN_REQUIRED"),
                (CKF_USER_PIN_INITIALIZED, "USER_PIN_INITIALIZED"),
                (CKF_RESTORE_KEY_NOT_NEEDED, "RESTORE_KEY_NOT_NEEDED"),
                (CKF_TOKEN_INITIALIZED, "TOKEN_INITIALIZED"),
                (CKF_DUAL_CRYPTO_OPERATIONS, "DUAL_CRYPTO_OPERATIONS"),
            ];
            let set = flags.iter().filter(|(flag, _)| info.flags & flag != 0);
            set.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
        }),
    ]
}
