//! Which slots there are, in which order, and what they say of their tokens.

use std::ptr;

use cryptoki_sys::*;
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::isolated,
    loaded::{Module, call, done},
    stage::{RW, Stage, flag, open, slots, token_info},
    world::{LOCKED, OPEN, PIN, SO_PIN, World},
};

const EC: (KeyType, Usage) = (KeyType::EccP256, Usage::SIGN);

fn label(module: Module, slot: CK_SLOT_ID) -> String {
    let info = token_info(module, slot);
    String::from_utf8(info.label.to_vec())
        .unwrap()
        .trim_end()
        .to_owned()
}

fn labels(module: Module, with_token: CK_BBOOL) -> Vec<String> {
    let slots = slots(module, with_token);
    slots.into_iter().map(|slot| label(module, slot)).collect()
}

fn init_token(module: Module, slot: CK_SLOT_ID, pin: &str, label: &str) -> CK_RV {
    let mut padded = [b' '; 32];
    padded[..label.len()].copy_from_slice(label.as_bytes());
    let (a, b) = (pin.as_ptr().cast_mut(), pin.len() as CK_ULONG);
    call!(module, C_InitToken(slot, a, b, padded.as_mut_ptr()))
}

#[test]
fn tokens_with_keys_come_first_and_the_empty_slot_is_for_those_who_ask() {
    isolated(
        || World::new().token("empty", &[]).token(OPEN, &[EC]),
        || {
            let module = Module::load();
            done!(module, C_Initialize(ptr::null_mut()));
            assert_eq!(labels(module, CK_TRUE), [OPEN, "empty"]);
            assert_eq!(labels(module, CK_FALSE), [OPEN, "empty", ""]);
            let all = slots(module, CK_FALSE);
            let mut info = CK_SLOT_INFO::default();
            for slot in &all {
                done!(module, C_GetSlotInfo(*slot, &raw mut info));
                assert_eq!(info.flags, CKF_TOKEN_PRESENT | CKF_HW_SLOT);
                let texts = [&info.slotDescription[..], &info.manufacturerID];
                assert!(
                    texts.concat().iter().all(|byte| *byte >= b' '),
                    "blanks, no NUL"
                );
            }
            let uninitialized = token_info(module, all[2]).flags;
            assert_eq!(
                uninitialized & (CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED),
                0
            );
        },
    );
}

#[test]
fn a_machine_without_tokens_has_the_empty_slot_alone() {
    isolated(World::new, || {
        let module = Module::load();
        done!(module, C_Initialize(ptr::null_mut()));
        assert_eq!(
            labels(module, CK_TRUE),
            [""],
            "for clients that ask for tokens alone"
        );
        assert_eq!(labels(module, CK_FALSE), [""]);
        let flags = token_info(module, slots(module, CK_TRUE)[0]).flags;
        assert_eq!(flags & (CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED), 0);
    });
}

#[test]
fn a_store_whose_tokens_are_hidden_has_no_slot_for_the_first_one() {
    isolated(
        || {
            World::new()
                .token(OPEN, &[EC])
                .telling("TPMSSH_TOKEN", "another")
        },
        || {
            let module = Module::load();
            done!(module, C_Initialize(ptr::null_mut()));
            assert_eq!(labels(module, CK_TRUE), [""; 0]);
            assert_eq!(labels(module, CK_FALSE), [""]);
        },
    );
}

/// As the crate `cryptoki` and others do who ask for slots with a token alone.
#[test]
fn a_client_that_asks_for_tokens_alone_makes_the_first_token_of_an_empty_store() {
    isolated(World::new, || {
        let module = Module::load();
        done!(module, C_Initialize(ptr::null_mut()));
        let slot = slots(module, CK_TRUE)[0];
        assert_eq!(init_token(module, slot, SO_PIN, "first"), CKR_OK);
        assert_eq!(labels(module, CK_TRUE), ["first"]);
    });
}

/// So that `ssh-add -s` with one PIN costs the other tokens no try.
#[test]
fn one_token_is_shown_where_the_environment_says_so() {
    let world = || World::new().token("other", &[EC]).token(OPEN, &[EC]);
    isolated(
        || world().telling("TPMSSH_TOKEN", OPEN),
        || {
            let module = Module::load();
            done!(module, C_Initialize(ptr::null_mut()));
            assert_eq!(labels(module, CK_TRUE), [OPEN]);
        },
    );
}

#[test]
fn one_token_is_shown_where_the_configuration_says_so() {
    isolated(
        || {
            let world = World::new().token("other", &[EC]).token(OPEN, &[EC]);
            let config = world.home.config();
            let parent = config.parent().unwrap();
            std::fs::create_dir_all(parent).unwrap();
            std::fs::write(&config, "token = \"open\"\n").unwrap();
            world
        },
        || {
            let module = Module::load();
            done!(module, C_Initialize(ptr::null_mut()));
            assert_eq!(labels(module, CK_TRUE), [OPEN]);
        },
    );
}

#[test]
fn a_token_is_made_in_the_empty_slot_and_made_anew_where_it_is() {
    isolated(World::new, || {
        let module = Module::load();
        done!(module, C_Initialize(ptr::null_mut()));
        let slot = slots(module, CK_FALSE)[0];
        assert_eq!(init_token(module, slot, SO_PIN, "first"), CKR_OK);
        assert_eq!(labels(module, CK_TRUE), ["first"]);
        assert_eq!(
            labels(module, CK_FALSE),
            ["first", ""],
            "and there is another"
        );
        let flags = || token_info(module, slot).flags;
        assert_eq!(flags() & CKF_USER_PIN_INITIALIZED, 0);
        assert_ne!(flags() & CKF_TOKEN_INITIALIZED, 0);
        let s = Stage {
            module,
            slot,
            session: open(module, slot, RW),
        };
        assert_eq!(s.login(CKU_USER, PIN), CKR_USER_PIN_NOT_INITIALIZED);
        assert_eq!(s.login(CKU_SO, SO_PIN), CKR_OK);
        let (a, b) = (PIN.as_ptr().cast_mut(), PIN.len() as CK_ULONG);
        done!(s, C_InitPIN(s.session, a, b));
        assert_ne!(flags() & CKF_USER_PIN_INITIALIZED, 0);
        done!(s, C_Logout(s.session));
        assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
        let p256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
        let public = [crate::stage::bytes(CKA_EC_PARAMS, p256)];
        let made = s.generate(CKM_EC_KEY_PAIR_GEN, &public, &[flag(CKA_TOKEN, true)]);
        assert_eq!(made, CKR_OK);
        assert_eq!(
            init_token(module, slot, SO_PIN, "second"),
            CKR_SESSION_EXISTS
        );
        done!(s, C_CloseSession(s.session));
        assert_eq!(
            init_token(module, slot, "incorrect horse", "second"),
            CKR_PIN_INCORRECT
        );
        assert_eq!(labels(module, CK_TRUE), ["first"], "it is as it was");
        assert_eq!(init_token(module, slot, SO_PIN, "second"), CKR_OK);
        assert_eq!(labels(module, CK_TRUE), ["second"]);
        assert_eq!(flags() & CKF_USER_PIN_INITIALIZED, 0, "the PIN is gone");
        let s = s.another(RW);
        assert_eq!(s.find(&mut []), [0; 0], "and so are the keys");
    });
}

/// What other programs do to a token shows at once.
#[test]
fn flags_tell_how_many_tries_the_user_has() {
    isolated(
        || World::new().token(LOCKED, &[EC]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            const TRIES: CK_FLAGS =
                CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
            let flags = || token_info(s.module, s.slot).flags & TRIES;
            let wrong = || s.login(CKU_USER, "incorrect horse");
            assert_eq!(flags(), 0);
            assert_eq!(wrong(), CKR_PIN_INCORRECT);
            assert_eq!(flags(), CKF_USER_PIN_COUNT_LOW);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            assert_eq!(flags(), 0, "a good login sets it back");
            done!(s, C_Logout(s.session));
            assert_eq!(wrong(), CKR_PIN_INCORRECT);
            assert_eq!(wrong(), CKR_PIN_INCORRECT);
            assert_eq!(flags(), CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
            assert_eq!(wrong(), CKR_PIN_INCORRECT);
            assert_ne!(flags() & CKF_USER_PIN_LOCKED, 0);
            assert_eq!(flags() & CKF_USER_PIN_FINAL_TRY, 0);
            assert_eq!(s.login(CKU_USER, PIN), CKR_PIN_LOCKED);
            // The SO opens it again.
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_OK);
            let (a, b) = (PIN.as_ptr().cast_mut(), PIN.len() as CK_ULONG);
            done!(s, C_InitPIN(s.session, a, b));
            assert_eq!(flags(), 0);
            done!(s, C_Logout(s.session));
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
        },
    );
}

#[test]
fn flags_tell_how_many_tries_the_so_has() {
    isolated(
        || World::new().token(LOCKED, &[]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            const TRIES: CK_FLAGS = CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED;
            let flags = || token_info(s.module, s.slot).flags & TRIES;
            let wrong = || s.login(CKU_SO, "incorrect horse");
            assert_eq!(flags(), 0);
            // swtpm's own lockout takes three.
            assert_eq!(wrong(), CKR_PIN_INCORRECT);
            assert_eq!(flags(), CKF_SO_PIN_COUNT_LOW);
            assert_eq!(wrong(), CKR_PIN_INCORRECT);
            assert_eq!(flags(), CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY);
            assert_eq!(wrong(), CKR_PIN_INCORRECT);
            assert_ne!(flags() & CKF_SO_PIN_LOCKED, 0);
            assert_eq!(s.login(CKU_SO, SO_PIN), CKR_PIN_LOCKED);
            assert_eq!(
                s.login(CKU_USER, PIN),
                CKR_OK,
                "the user has a counter of his own"
            );
        },
    );
}
