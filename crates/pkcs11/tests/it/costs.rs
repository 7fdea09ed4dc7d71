//! What calls cost in TPM commands, FlushContext aside.

use std::ptr;

use cryptoki_sys::*;
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::isolated,
    loaded::{Module, call, done},
    stage::{RW, Stage, open, plain, slot_of, slots, token_info},
    world::{LOCKED, OPEN, World},
};

fn world() -> World {
    let ec = (KeyType::EccP256, Usage::SIGN);
    World::new()
        .token(OPEN, &[ec, (KeyType::EccP384, Usage::SIGN)])
        .token(LOCKED, &[ec])
}

/// All attributes that callers ask for.
fn read_all(stage: Stage, object: CK_OBJECT_HANDLE) {
    for kind in (0..0x700).chain([CKA_ALLOWED_MECHANISMS]) {
        let mut attribute = CK_ATTRIBUTE {
            type_: kind,
            pValue: ptr::null_mut(),
            ulValueLen: 0,
        };
        let place = &raw mut attribute;
        let returned = call!(stage, C_GetAttributeValue(stage.session, object, place, 1));
        let expected = [CKR_OK, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_SENSITIVE];
        assert!(expected.contains(&returned), "{kind:#x}: {returned:#x}");
    }
}

#[test]
fn everything_public_costs_nothing() {
    isolated(
        || world().costing(0),
        || {
            let module = Module::load();
            let stage = Stage::new(module, OPEN);
            let locked = Stage {
                slot: slot_of(module, LOCKED),
                session: open(module, slot_of(module, LOCKED), RW),
                ..stage
            };
            for slot in slots(module, CK_TRUE) {
                token_info(module, slot);
                let mut kinds = vec![0; 64];
                let mut count = 64;
                done!(
                    module,
                    C_GetMechanismList(slot, kinds.as_mut_ptr(), &raw mut count)
                );
                for kind in &kinds[..count as usize] {
                    let mut info = CK_MECHANISM_INFO::default();
                    done!(module, C_GetMechanismInfo(slot, *kind, &raw mut info));
                }
            }
            // Without a PIN the private halves are public as well.
            assert_eq!(stage.find(&mut []).len(), 4);
            assert_eq!(locked.find(&mut []).len(), 1);
            for stage in [stage, locked] {
                for object in stage.find(&mut []) {
                    read_all(stage, object);
                    let mut size = 0;
                    done!(stage, C_GetObjectSize(stage.session, object, &raw mut size));
                }
            }
            // So are lengths, refusals, digests, verifications and random bytes.
            let key = stage.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
            let (mut data, mut len) = ([1; 64], 0);
            let (input, place) = (data.as_mut_ptr(), &raw mut len);
            done!(
                stage,
                C_Sign(stage.session, input, 32, ptr::null_mut(), place)
            );
            assert_eq!(len, 64);
            done!(stage, C_SignInit(stage.session, ptr::null_mut(), key));
            assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
            done!(stage, C_SignFinal(stage.session, ptr::null_mut(), place));
            let mut mechanism = plain(CKM_ECDSA);
            let public = stage.object(CKO_PUBLIC_KEY, "ecdsa-p256");
            done!(
                stage,
                C_VerifyInit(stage.session, &raw mut mechanism, public)
            );
            assert_eq!(
                call!(stage, C_Verify(stage.session, input, 32, input, 64)),
                CKR_SIGNATURE_INVALID
            );
            done!(stage, C_GenerateRandom(stage.session, input, 64));
            done!(module, C_Finalize(ptr::null_mut()));
        },
    );
}

/// Opening a token without a PIN loads its first key; a signature then is `ContextLoad` and
/// `Sign`, since a bare TPM keeps nothing loaded.
#[test]
fn later_signatures_cost_two_commands_each() {
    isolated(
        || world().costing(7 + 2 * 10),
        || {
            let stage = Stage::new(Module::load(), OPEN);
            let key = stage.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            for _ in 0..11 {
                assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
                assert!(stage.sign(&[1; 32]).is_ok());
            }
        },
    );
}

/// A resource manager loads the key, passes the command on and saves the key. One command more
/// of ours would be two or three of the chip's.
#[test]
fn later_signatures_cost_one_command_each_behind_a_resource_manager() {
    const SIGNATURES: usize = 40;
    isolated(
        || World::with_key().managed().costing(20 + 3 * SIGNATURES),
        || {
            let stage = Stage::new(Module::load(), OPEN);
            let key = stage.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            for _ in 0..SIGNATURES {
                assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
                assert!(stage.sign(&[1; 32]).is_ok());
            }
        },
    );
}
