//! `C_Initialize`, `C_Finalize`, and sessions that come and go.

use std::ptr;

use cryptoki_sys::*;

use super::{
    Case,
    call::{Call, Objects, Wrong},
    functions::all,
    staged,
};
use crate::{
    loaded::{Module, call, done},
    stage::{RW, Stage, open, slot_of},
    world::{LOCKED, OPEN},
};

extern "C" fn create(_: CK_VOID_PTR_PTR) -> CK_RV {
    CKR_OK
}

extern "C" fn use_one(_: CK_VOID_PTR) -> CK_RV {
    CKR_OK
}

/// `C_Initialize` with the callbacks whose bits are set.
fn initialize(module: Module, callbacks: u8, flags: CK_FLAGS, reserved: CK_VOID_PTR) -> CK_RV {
    let one = |bit: u8| (callbacks & 1 << bit != 0).then_some(use_one as _);
    let mut args = CK_C_INITIALIZE_ARGS {
        CreateMutex: (callbacks & 1 != 0).then_some(create as _),
        DestroyMutex: one(1),
        LockMutex: one(2),
        UnlockMutex: one(3),
        flags,
        pReserved: reserved,
    };
    call!(module, C_Initialize((&raw mut args).cast()))
}

fn open_with(stage: Stage, slot: CK_SLOT_ID, flags: CK_FLAGS) -> CK_RV {
    let mut session = 0;
    let place = &raw mut session;
    call!(
        stage,
        C_OpenSession(slot, flags, ptr::null_mut(), None, place)
    )
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut case = |name: &str, body: fn(Module)| cases.push((name.to_owned(), Box::new(body)));
    case("C_Initialize twice", |module| {
        done!(module, C_Initialize(ptr::null_mut()));
        assert_eq!(
            call!(module, C_Initialize(ptr::null_mut())),
            CKR_CRYPTOKI_ALREADY_INITIALIZED
        );
    });
    case("C_Initialize with something reserved", |module| {
        let reserved = ptr::dangling_mut::<u64>().cast();
        assert_eq!(initialize(module, 0, 0, reserved), CKR_ARGUMENTS_BAD);
        assert_eq!(initialize(module, 0, 0, ptr::null_mut()), CKR_OK);
    });
    case("C_Finalize before C_Initialize", |module| {
        assert_eq!(
            call!(module, C_Finalize(ptr::null_mut())),
            CKR_CRYPTOKI_NOT_INITIALIZED
        );
    });
    case("C_Finalize with something reserved", |module| {
        done!(module, C_Initialize(ptr::null_mut()));
        let reserved = ptr::dangling_mut::<u64>().cast();
        assert_eq!(call!(module, C_Finalize(reserved)), CKR_ARGUMENTS_BAD);
        done!(module, C_Finalize(ptr::null_mut()));
        assert_eq!(
            call!(module, C_Finalize(ptr::null_mut())),
            CKR_CRYPTOKI_NOT_INITIALIZED
        );
    });
    case("every function after C_Finalize", |module| {
        let stage = Stage::new(module, OPEN);
        done!(module, C_Finalize(ptr::null_mut()));
        let expected = |name: &str| match name {
            "C_GetFunctionList" | "C_GetInterfaceList" | "C_GetInterface" => CKR_OK,
            _ => CKR_CRYPTOKI_NOT_INITIALIZED,
        };
        for function in all() {
            let call = Call::new(stage, Objects::default(), Wrong::Nothing);
            let returned = (function.call)(&call);
            assert_eq!(returned, expected(function.name), "{}", function.name);
        }
    });
    case("a session of before C_Finalize", |module| {
        let stage = Stage::new(module, OPEN);
        done!(module, C_Finalize(ptr::null_mut()));
        done!(module, C_Initialize(ptr::null_mut()));
        let slot = slot_of(module, OPEN);
        assert_eq!(
            call!(module, C_CloseSession(stage.session)),
            CKR_SESSION_HANDLE_INVALID
        );
        open(module, slot, RW);
    });
    for callbacks in 0..16_u8 {
        for flags in [0, CKF_OS_LOCKING_OK, CKF_LIBRARY_CANT_CREATE_OS_THREADS] {
            let expected = match callbacks {
                0 => CKR_OK,
                15 if flags == CKF_OS_LOCKING_OK => CKR_OK,
                15 => CKR_CANT_LOCK,
                _ => CKR_ARGUMENTS_BAD,
            };
            cases.push((
                format!("C_Initialize with callbacks {callbacks:04b} and flags {flags}"),
                Box::new(move |module| {
                    assert_eq!(
                        initialize(module, callbacks, flags, ptr::null_mut()),
                        expected
                    );
                }),
            ));
        }
    }
    cases.extend(sessions());
    cases
}

fn sessions() -> Vec<Case> {
    vec![
        staged("a session that is not serial", |s| {
            for flags in [0, CKF_RW_SESSION] {
                assert_eq!(
                    open_with(s, s.slot, flags),
                    CKR_SESSION_PARALLEL_NOT_SUPPORTED
                );
            }
        }),
        staged("a session with the empty slot", |s| {
            let all = crate::stage::slots(s.module, CK_FALSE);
            let with_token = crate::stage::slots(s.module, CK_TRUE);
            let empty = all.iter().find(|slot| !with_token.contains(slot));
            assert_eq!(
                open_with(s, *empty.expect("there is one"), RW),
                CKR_TOKEN_NOT_RECOGNIZED
            );
        }),
        staged("a session that was closed", |s| {
            done!(s, C_CloseSession(s.session));
            assert_eq!(
                call!(s, C_CloseSession(s.session)),
                CKR_SESSION_HANDLE_INVALID
            );
            assert_ne!(open(s.module, s.slot, RW), s.session, "handles are new");
        }),
        staged("sessions that were all closed", |s| {
            let other = s.another(CKF_SERIAL_SESSION);
            let locked = open(s.module, slot_of(s.module, LOCKED), RW);
            done!(s, C_CloseAllSessions(s.slot));
            for session in [s.session, other.session] {
                assert_eq!(
                    call!(s, C_CloseSession(session)),
                    CKR_SESSION_HANDLE_INVALID
                );
            }
            done!(s, C_CloseSession(locked));
        }),
        staged("an object of another token", |s| {
            let locked = slot_of(s.module, LOCKED);
            let there = Stage {
                slot: locked,
                session: open(s.module, locked, RW),
                ..s
            };
            let theirs = there.object(CKO_PUBLIC_KEY, "ecdsa-p256");
            let mut size = 0;
            assert_eq!(
                call!(s, C_GetObjectSize(s.session, theirs, &raw mut size)),
                CKR_OBJECT_HANDLE_INVALID
            );
            done!(s, C_GetObjectSize(there.session, theirs, &raw mut size));
            let mut mechanism = crate::stage::plain(CKM_ECDSA);
            assert_eq!(
                call!(s, C_VerifyInit(s.session, &raw mut mechanism, theirs)),
                CKR_KEY_HANDLE_INVALID
            );
        }),
        staged("an object of a session that was closed", |s| {
            let other = s.another(RW);
            let object = other.create_data(b"data");
            let mut size = 0;
            done!(s, C_GetObjectSize(s.session, object, &raw mut size));
            done!(s, C_CloseSession(other.session));
            assert_eq!(
                call!(s, C_GetObjectSize(s.session, object, &raw mut size)),
                CKR_OBJECT_HANDLE_INVALID
            );
        }),
        staged("one session more than there can be", |s| {
            // One is open already.
            let all: Vec<_> = (1..10_000).map(|_| open(s.module, s.slot, RW)).collect();
            assert_eq!(open_with(s, s.slot, RW), CKR_SESSION_COUNT);
            let mut info = CK_SESSION_INFO::default();
            for session in all {
                done!(s, C_GetSessionInfo(session, &raw mut info));
            }
            done!(s, C_CloseSession(s.session));
            assert_eq!(open_with(s, s.slot, RW), CKR_OK);
        }),
    ]
}
