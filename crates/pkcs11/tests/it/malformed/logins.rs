//! Logins, PINs and read-only sessions.

use cryptoki_sys::*;

use super::{Case, staged};
use crate::{
    loaded::{Module, call, done},
    stage::{RW, Stage, bytes, flag, number, token_info},
    world::{LOCKED, PIN, SO_PIN},
};

/// A case that begins with a session with the token that has a PIN.
fn locked<F: Fn(Stage) + 'static>(name: &str, body: F) -> Case {
    let body = move |module: Module| body(Stage::new(module, LOCKED));
    (name.to_owned(), Box::new(body))
}

fn set_pin(s: Stage, old: &[u8], new: &[u8]) -> CK_RV {
    let (a, b) = (old.as_ptr().cast_mut(), old.len() as CK_ULONG);
    let (c, d) = (new.as_ptr().cast_mut(), new.len() as CK_ULONG);
    call!(s, C_SetPIN(s.session, a, b, c, d))
}

fn init_pin(s: Stage, pin: &[u8]) -> CK_RV {
    let (a, b) = (pin.as_ptr().cast_mut(), pin.len() as CK_ULONG);
    call!(s, C_InitPIN(s.session, a, b))
}

fn init_token(s: Stage, slot: CK_SLOT_ID, pin: &[u8], label: &[u8; 32]) -> CK_RV {
    let (a, b) = (pin.as_ptr().cast_mut(), pin.len() as CK_ULONG);
    call!(s, C_InitToken(slot, a, b, label.as_ptr().cast_mut()))
}

fn state(s: Stage) -> CK_STATE {
    let mut info = CK_SESSION_INFO::default();
    done!(s, C_GetSessionInfo(s.session, &raw mut info));
    assert_eq!(info.slotID, s.slot);
    info.state
}

fn open_read_only(s: Stage) -> CK_RV {
    let mut session = 0;
    let (flags, none) = (CKF_SERIAL_SESSION, std::ptr::null_mut());
    call!(
        s,
        C_OpenSession(s.slot, flags, none, None, &raw mut session)
    )
}

/// PINs that nobody can have.
const UNUSABLE: [&[u8]; 5] = [b"", b"123", b"12\x0034", b"\xff\xfe1234", &[b'1'; 300]];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        locked("a login twice", |s| {
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            assert_eq!(s.login(CKU_USER, PIN), CKR_USER_ALREADY_LOGGED_IN);
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
            assert_eq!(state(s), CKS_RW_USER_FUNCTIONS);
            assert_eq!(state(s.another(CKF_SERIAL_SESSION)), CKS_RO_USER_FUNCTIONS);
            done!(s, C_Logout(s.session));
            assert_eq!(call!(s, C_Logout(s.session)), CKR_USER_NOT_LOGGED_IN);
            assert_eq!(state(s), CKS_RW_PUBLIC_SESSION);
        }),
        locked("a login of the SO twice", |s| {
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_OK);
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_USER_ALREADY_LOGGED_IN);
            assert_eq!(s.login(CKU_USER, PIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
            assert_eq!(state(s), CKS_RW_SO_FUNCTIONS);
            assert_eq!(open_read_only(s), CKR_SESSION_READ_WRITE_SO_EXISTS);
        }),
        locked("a login of the SO beside a read-only session", |s| {
            let other = s.another(CKF_SERIAL_SESSION);
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_SESSION_READ_ONLY_EXISTS);
            done!(s, C_CloseSession(other.session));
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_OK);
        }),
        locked("a user of no kind", |s| {
            for user in [3, 77, CK_ULONG::MAX] {
                assert_eq!(s.login(user, PIN), CKR_USER_TYPE_INVALID);
            }
        }),
        locked("a login for an operation that is not there", |s| {
            let user = CKU_CONTEXT_SPECIFIC;
            assert_eq!(s.login(user, PIN), CKR_OPERATION_NOT_INITIALIZED);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            assert_eq!(s.login(user, PIN), CKR_OPERATION_NOT_INITIALIZED);
        }),
        locked("a login ends with the last session", |s| {
            let other = s.another(RW);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            done!(s, C_CloseSession(s.session));
            assert_eq!(state(other), CKS_RW_USER_FUNCTIONS);
            done!(s, C_CloseSession(other.session));
            assert_eq!(state(other.another(RW)), CKS_RW_PUBLIC_SESSION);
        }),
        locked("private objects before the login", |s| {
            let mut class = CKO_PRIVATE_KEY;
            assert_eq!(s.find(&mut [number(CKA_CLASS, &mut class)]), [0; 0]);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            let found = s.find(&mut [number(CKA_CLASS, &mut class)]);
            assert_eq!(found.len(), 1);
            done!(s, C_Logout(s.session));
            assert_eq!(
                s.sign_init(CKM_ECDSA, found[0]),
                CKR_KEY_HANDLE_INVALID,
                "a handle that was good before"
            );
            let mut size = 0;
            assert_eq!(
                call!(s, C_GetObjectSize(s.session, found[0], &raw mut size)),
                CKR_OBJECT_HANDLE_INVALID
            );
        }),
        locked("a signature that a logout interrupts", |s| {
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
            done!(s, C_Logout(s.session));
            assert_eq!(s.sign(&[1; 32]), Err(CKR_OPERATION_NOT_INITIALIZED));
        }),
        locked("what the user may not do", |s| {
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            assert_eq!(init_pin(s, b"new pin"), CKR_USER_NOT_LOGGED_IN);
        }),
        locked("what the SO may not do", |s| {
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_OK);
            let mut class = CKO_PRIVATE_KEY;
            assert_eq!(s.find(&mut [number(CKA_CLASS, &mut class)]), [0; 0]);
            let private = [flag(CKA_PRIVATE, true)];
            assert_eq!(create(s, &private), Err(CKR_USER_NOT_LOGGED_IN));
        }),
        locked("a private object before the login", |s| {
            let private = [flag(CKA_PRIVATE, true)];
            assert_eq!(create(s, &private), Err(CKR_USER_NOT_LOGGED_IN));
            assert!(create(s, &[flag(CKA_PRIVATE, false)]).is_ok());
        }),
        locked("a token with sessions made anew", |s| {
            let label = b"label                           ";
            let pin = SO_PIN.as_bytes();
            assert_eq!(init_token(s, s.slot, pin, label), CKR_SESSION_EXISTS);
        }),
        locked("a token made anew with a wrong SO PIN", |s| {
            done!(s, C_CloseSession(s.session));
            let label = b"label                           ";
            let wrong = b"incorrect horse";
            assert_eq!(init_token(s, s.slot, wrong, label), CKR_PIN_INCORRECT);
            assert_ne!(token_info(s.module, s.slot).flags & CKF_SO_PIN_COUNT_LOW, 0);
            // The chip counts them for all tests that follow here.
            let s = s.another(RW);
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_OK);
        }),
        locked("labels that no token has", |s| {
            done!(s, C_CloseSession(s.session));
            let labels: [&[u8; 32]; 4] = [
                b"with\0NUL                        ",
                b"\xff not UTF-8                     ",
                b"                                ",
                b"line\nbreak                      ",
            ];
            for label in labels {
                let pin = SO_PIN.as_bytes();
                assert_eq!(init_token(s, s.slot, pin, label), CKR_ARGUMENTS_BAD);
            }
        }),
        staged("an SO PIN for a token made without a good one", |s| {
            let all = crate::stage::slots(s.module, CK_FALSE);
            let label = b"label                           ";
            let empty = all[all.len() - 1];
            assert_eq!(init_token(s, empty, b"1234567", label), CKR_PIN_LEN_RANGE);
            assert_eq!(
                init_token(s, empty, b"1234\x005678", label),
                CKR_PIN_INVALID
            );
        }),
        locked("changing the PIN with a wrong one", |s| {
            assert_eq!(
                set_pin(s, b"incorrect horse", b"new pin"),
                CKR_PIN_INCORRECT
            );
            assert_ne!(
                token_info(s.module, s.slot).flags & CKF_USER_PIN_COUNT_LOW,
                0
            );
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK, "nothing has changed");
            assert_eq!(
                token_info(s.module, s.slot).flags & CKF_USER_PIN_COUNT_LOW,
                0
            );
        }),
        locked("changing the PIN in a read-only session", |s| {
            let s = s.another(CKF_SERIAL_SESSION);
            assert_eq!(
                set_pin(s, PIN.as_bytes(), b"new pin"),
                CKR_SESSION_READ_ONLY
            );
        }),
        locked("new PINs that nobody can have", |s| {
            for new in UNUSABLE {
                let returned = set_pin(s, PIN.as_bytes(), new);
                let refused = [CKR_PIN_LEN_RANGE, CKR_PIN_INVALID].contains(&returned);
                assert!(refused, "{returned:#x}");
            }
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_OK);
            for new in UNUSABLE {
                let returned = init_pin(s, new);
                let refused = [CKR_PIN_LEN_RANGE, CKR_PIN_INVALID].contains(&returned);
                assert!(refused, "{returned:#x}");
            }
        }),
        locked("a read-only session", |s| {
            let own = create(s, &[flag(CKA_TOKEN, true)]).expect("it is made");
            let s = s.another(CKF_SERIAL_SESSION);
            let on_token = [flag(CKA_TOKEN, true)];
            assert_eq!(create(s, &on_token), Err(CKR_SESSION_READ_ONLY));
            assert!(create(s, &[]).is_ok(), "objects of the session can be made");
            assert_eq!(
                call!(s, C_DestroyObject(s.session, own)),
                CKR_SESSION_READ_ONLY
            );
            let mut label = [bytes(CKA_LABEL, b"other")];
            assert_eq!(
                call!(
                    s,
                    C_SetAttributeValue(s.session, own, label.as_mut_ptr(), 1)
                ),
                CKR_SESSION_READ_ONLY
            );
        }),
    ];
    for pin in UNUSABLE {
        let name = format!("a PIN that nobody can have, {} bytes", pin.len());
        cases.push(locked(&name, move |s| {
            for user in [CKU_USER, CKU_SO] {
                let given = match pin.len() {
                    0 => std::ptr::null_mut(),
                    _ => pin.as_ptr().cast_mut(),
                };
                let len = pin.len() as CK_ULONG;
                let returned = call!(s, C_Login(s.session, user, given, len));
                assert_eq!(returned, CKR_PIN_INCORRECT);
            }
            let low = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY;
            assert_eq!(
                token_info(s.module, s.slot).flags & low,
                0,
                "no try was spent"
            );
        }));
    }
    cases
}

/// Makes a data object with these attributes besides.
fn create(s: Stage, more: &[CK_ATTRIBUTE]) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let mut class = CKO_DATA;
    let mut template = vec![number(CKA_CLASS, &mut class)];
    template.extend(more);
    let mut object = 0;
    let len = template.len() as CK_ULONG;
    let place = &raw mut object;
    match call!(
        s,
        C_CreateObject(s.session, template.as_mut_ptr(), len, place)
    ) {
        CKR_OK => Ok(object),
        err => Err(err),
    }
}
