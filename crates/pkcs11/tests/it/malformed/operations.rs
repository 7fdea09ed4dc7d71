//! What begins, goes on and ends, in the wrong order.

use std::ptr;

use cryptoki_sys::*;

use super::{Case, staged};
use crate::{
    guarded::Guarded,
    loaded::{call, done},
    stage::{RW, Stage, plain},
};

const NONE: CK_RV = CKR_OPERATION_NOT_INITIALIZED;

fn ec(s: Stage) -> CK_OBJECT_HANDLE {
    s.object(CKO_PRIVATE_KEY, "ecdsa-p256")
}

fn update(s: Stage, data: &[u8]) -> CK_RV {
    let (a, b) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
    call!(s, C_SignUpdate(s.session, a, b))
}

/// `C_SignFinal` into so many bytes, or for the length; what it returned and the length.
fn sign_final(s: Stage, room: Option<usize>) -> (CK_RV, CK_ULONG) {
    let memory = Guarded::default();
    let mut len = room.unwrap_or(0) as CK_ULONG;
    let out = room.map_or(ptr::null_mut(), |room| memory.room::<u8>(room));
    let returned = call!(s, C_SignFinal(s.session, out, &raw mut len));
    memory.check();
    (returned, len)
}

/// `C_Sign` of a digest into so many bytes, or for the length.
fn sign(s: Stage, room: Option<usize>) -> (CK_RV, CK_ULONG) {
    let memory = Guarded::default();
    let mut len = room.unwrap_or(0) as CK_ULONG;
    let out = room.map_or(ptr::null_mut(), |room| memory.room::<u8>(room));
    let data = memory.copy(&[7_u8; 32]);
    let returned = call!(s, C_Sign(s.session, data, 32, out, &raw mut len));
    memory.check();
    (returned, len)
}

fn digest(s: Stage, data: &[u8], room: Option<usize>) -> (CK_RV, CK_ULONG) {
    let memory = Guarded::default();
    let mut len = room.unwrap_or(0) as CK_ULONG;
    let out = room.map_or(ptr::null_mut(), |room| memory.room::<u8>(room));
    let input = memory.copy(data);
    let returned = call!(
        s,
        C_Digest(s.session, input, data.len() as CK_ULONG, out, &raw mut len)
    );
    memory.check();
    (returned, len)
}

fn digest_init(s: Stage) -> CK_RV {
    let mut mechanism = plain(CKM_SHA256);
    call!(s, C_DigestInit(s.session, &raw mut mechanism))
}

fn verify_init(s: Stage, kind: CK_MECHANISM_TYPE, key: &str) -> CK_RV {
    let mut mechanism = plain(kind);
    let key = s.object(CKO_PUBLIC_KEY, key);
    call!(s, C_VerifyInit(s.session, &raw mut mechanism, key))
}

fn decrypt_init(s: Stage) -> CK_RV {
    let mut mechanism = plain(CKM_RSA_PKCS);
    let key = s.object(CKO_PRIVATE_KEY, "rsa2048");
    call!(s, C_DecryptInit(s.session, &raw mut mechanism, key))
}

fn decrypt(s: Stage, data: &[u8], room: Option<usize>) -> (CK_RV, CK_ULONG) {
    let memory = Guarded::default();
    let mut len = room.unwrap_or(0) as CK_ULONG;
    let out = room.map_or(ptr::null_mut(), |room| memory.room::<u8>(room));
    let input = memory.copy(data);
    let returned = call!(
        s,
        C_Decrypt(s.session, input, data.len() as CK_ULONG, out, &raw mut len)
    );
    memory.check();
    (returned, len)
}

fn verify(s: Stage, signature: &[u8]) -> CK_RV {
    let digest = [7_u8; 32];
    let (a, b) = (digest.as_ptr().cast_mut(), 32);
    let (c, d) = (signature.as_ptr().cast_mut(), signature.len() as CK_ULONG);
    call!(s, C_Verify(s.session, a, b, c, d))
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        staged("going on with what was not begun", |s| {
            let (data, mut count) = (b"data".as_ptr().cast_mut(), 0);
            assert_eq!(sign(s, Some(64)).0, NONE);
            assert_eq!(sign(s, None).0, NONE);
            assert_eq!(update(s, b"data"), NONE);
            assert_eq!(sign_final(s, Some(64)).0, NONE);
            assert_eq!(verify(s, &[0; 64]), NONE);
            assert_eq!(call!(s, C_VerifyUpdate(s.session, data, 4)), NONE);
            assert_eq!(call!(s, C_VerifyFinal(s.session, data, 4)), NONE);
            assert_eq!(digest(s, b"data", Some(32)).0, NONE);
            assert_eq!(call!(s, C_DigestUpdate(s.session, data, 4)), NONE);
            assert_eq!(decrypt(s, &[0; 256], Some(256)).0, NONE);
            let mut found = 0;
            assert_eq!(
                call!(
                    s,
                    C_FindObjects(s.session, &raw mut found, 1, &raw mut count)
                ),
                NONE
            );
            assert_eq!(call!(s, C_FindObjectsFinal(s.session)), NONE);
        }),
        staged("a signature begun twice", |s| {
            assert_eq!(s.sign_init(CKM_ECDSA, ec(s)), CKR_OK);
            assert_eq!(s.sign_init(CKM_ECDSA, ec(s)), CKR_OPERATION_ACTIVE);
            assert_eq!(sign(s, Some(64)), (CKR_OK, 64), "the first goes on");
        }),
        staged("a verification begun twice", |s| {
            assert_eq!(verify_init(s, CKM_ECDSA, "ecdsa-p256"), CKR_OK);
            assert_eq!(
                verify_init(s, CKM_ECDSA, "ecdsa-p256"),
                CKR_OPERATION_ACTIVE
            );
        }),
        staged("a digest begun twice", |s| {
            assert_eq!(digest_init(s), CKR_OK);
            assert_eq!(digest_init(s), CKR_OPERATION_ACTIVE);
        }),
        staged("a decryption begun twice", |s| {
            assert_eq!(decrypt_init(s), CKR_OK);
            assert_eq!(decrypt_init(s), CKR_OPERATION_ACTIVE);
        }),
        staged("a search begun twice", |s| {
            done!(s, C_FindObjectsInit(s.session, ptr::null_mut(), 0));
            assert_eq!(
                call!(s, C_FindObjectsInit(s.session, ptr::null_mut(), 0)),
                CKR_OPERATION_ACTIVE
            );
            done!(s, C_FindObjectsFinal(s.session));
            assert_eq!(call!(s, C_FindObjectsFinal(s.session)), NONE);
        }),
        staged(
            "operations that are cancelled by a mechanism of null",
            |s| {
                assert_eq!(s.sign_init(CKM_ECDSA, ec(s)), CKR_OK);
                done!(s, C_SignInit(s.session, ptr::null_mut(), 0));
                assert_eq!(sign(s, Some(64)).0, NONE);
                assert_eq!(verify_init(s, CKM_ECDSA, "ecdsa-p256"), CKR_OK);
                done!(s, C_VerifyInit(s.session, ptr::null_mut(), 0));
                assert_eq!(verify(s, &[0; 64]), NONE);
                assert_eq!(digest_init(s), CKR_OK);
                done!(s, C_DigestInit(s.session, ptr::null_mut()));
                assert_eq!(digest(s, b"data", Some(32)).0, NONE);
                assert_eq!(decrypt_init(s), CKR_OK);
                done!(s, C_DecryptInit(s.session, ptr::null_mut(), 0));
                assert_eq!(decrypt(s, &[0; 256], Some(256)).0, NONE);
            },
        ),
        staged("operations that are cancelled by their flags", |s| {
            assert_eq!(s.sign_init(CKM_ECDSA, ec(s)), CKR_OK);
            assert_eq!(digest_init(s), CKR_OK);
            done!(s, C_FindObjectsInit(s.session, ptr::null_mut(), 0));
            done!(s, C_SessionCancel(s.session, CKF_SIGN | CKF_FIND_OBJECTS));
            assert_eq!(sign(s, Some(64)).0, NONE);
            assert_eq!(call!(s, C_FindObjectsFinal(s.session)), NONE);
            assert_eq!(digest(s, b"data", Some(32)), (CKR_OK, 32));
            done!(s, C_SessionCancel(s.session, CK_ULONG::MAX));
        }),
        staged("a signature whose buffer is too small", |s| {
            assert_eq!(s.sign_init(CKM_ECDSA, ec(s)), CKR_OK);
            assert_eq!(sign(s, None), (CKR_OK, 64));
            for room in [0, 1, 63] {
                assert_eq!(sign(s, Some(room)), (CKR_BUFFER_TOO_SMALL, 64));
            }
            assert_eq!(sign(s, Some(64)), (CKR_OK, 64));
            assert_eq!(sign(s, Some(64)).0, NONE, "it has ended");
        }),
        staged("a signature in parts whose buffer is too small", |s| {
            assert_eq!(s.sign_init(CKM_ECDSA_SHA256, ec(s)), CKR_OK);
            assert_eq!(update(s, b"data"), CKR_OK);
            assert_eq!(sign_final(s, None), (CKR_OK, 64));
            assert_eq!(sign_final(s, Some(63)), (CKR_BUFFER_TOO_SMALL, 64));
            assert_eq!(update(s, b"more"), CKR_OK);
            assert_eq!(sign_final(s, Some(64)), (CKR_OK, 64));
            assert_eq!(sign_final(s, Some(64)).0, NONE);
        }),
        staged("a digest whose buffer is too small", |s| {
            assert_eq!(digest_init(s), CKR_OK);
            assert_eq!(digest(s, b"data", None), (CKR_OK, 32));
            assert_eq!(digest(s, b"data", Some(31)), (CKR_BUFFER_TOO_SMALL, 32));
            assert_eq!(digest(s, b"data", Some(32)), (CKR_OK, 32));
            assert_eq!(digest(s, b"data", Some(32)).0, NONE);
        }),
        staged("one call after parts", |s| {
            assert_eq!(digest_init(s), CKR_OK);
            done!(s, C_DigestUpdate(s.session, ptr::null_mut(), 0));
            assert_eq!(digest(s, b"data", Some(32)).0, CKR_OPERATION_ACTIVE);
            assert_eq!(s.sign_init(CKM_ECDSA_SHA256, ec(s)), CKR_OK);
            assert_eq!(update(s, b"data"), CKR_OK);
            assert_eq!(sign(s, Some(64)).0, CKR_OPERATION_ACTIVE);
            assert_eq!(verify_init(s, CKM_ECDSA_SHA256, "ecdsa-p256"), CKR_OK);
            done!(s, C_VerifyUpdate(s.session, ptr::null_mut(), 0));
            assert_eq!(verify(s, &[0; 64]), CKR_OPERATION_ACTIVE);
        }),
        staged("parts after a length query for the whole", |s| {
            let (data, mut len) = (b"data".as_ptr().cast_mut(), 32);
            let mut out = [0_u8; 64];
            let out = out.as_mut_ptr();
            assert_eq!(digest_init(s), CKR_OK);
            assert_eq!(digest(s, b"data", None), (CKR_OK, 32));
            let returned = call!(s, C_DigestFinal(s.session, out, &raw mut len));
            assert_eq!(returned, CKR_OPERATION_ACTIVE);
            assert_eq!(digest(s, b"data", Some(32)).0, NONE, "it is over");
            assert_eq!(digest_init(s), CKR_OK);
            assert_eq!(digest(s, b"data", Some(1)).0, CKR_BUFFER_TOO_SMALL);
            let returned = call!(s, C_DigestUpdate(s.session, data, 4));
            assert_eq!(returned, CKR_OPERATION_ACTIVE);
            assert_eq!(digest_init(s), CKR_OK, "it is over");
            assert_eq!(s.sign_init(CKM_ECDSA_SHA256, ec(s)), CKR_OK);
            assert_eq!(sign(s, None).0, CKR_OK);
            assert_eq!(sign_final(s, Some(64)).0, CKR_OPERATION_ACTIVE);
            assert_eq!(sign(s, Some(64)).0, NONE, "it is over");
        }),
        staged("arguments that cannot be used end an operation", |s| {
            let bad = CKR_ARGUMENTS_BAD;
            let (mut len, null) = (64, ptr::null_mut());
            let mut out = [0_u8; 256];
            let (out, len) = (out.as_mut_ptr(), &raw mut len);
            let none = ptr::null_mut();
            let id = s.session;
            let digests = [
                |s: Stage, _: *mut u8, _, _| {
                    call!(s, C_DigestUpdate(s.session, ptr::null_mut(), 4))
                },
                |s: Stage, out, len, _| call!(s, C_Digest(s.session, ptr::null_mut(), 4, out, len)),
                |s: Stage, out, _: *mut CK_ULONG, none| {
                    call!(s, C_DigestFinal(s.session, out, none))
                },
            ];
            for wrong in digests {
                assert_eq!(digest_init(s), CKR_OK);
                assert_eq!(wrong(s, out, len, none), bad);
                assert_eq!(digest(s, b"data", Some(32)).0, NONE);
            }
            for step in 0..3 {
                assert_eq!(s.sign_init(CKM_ECDSA_SHA256, ec(s)), CKR_OK);
                let returned = match step {
                    0 => call!(s, C_SignUpdate(id, null, 4)),
                    1 => call!(s, C_Sign(id, null, 4, out, len)),
                    _ => call!(s, C_SignFinal(id, out, none)),
                };
                assert_eq!(returned, bad);
                assert_eq!(sign(s, Some(64)).0, NONE);
            }
            for step in 0..4 {
                assert_eq!(verify_init(s, CKM_ECDSA_SHA256, "ecdsa-p256"), CKR_OK);
                let returned = match step {
                    0 => call!(s, C_VerifyUpdate(id, null, 4)),
                    1 => call!(s, C_Verify(id, null, 4, out, 64)),
                    2 => call!(s, C_Verify(id, out, 4, null, 64)),
                    _ => call!(s, C_VerifyFinal(id, null, 64)),
                };
                assert_eq!(returned, bad);
                assert_eq!(verify(s, &[0; 64]), NONE);
            }
            assert_eq!(decrypt_init(s), CKR_OK);
            assert_eq!(call!(s, C_Decrypt(id, null, 4, out, len)), bad);
            assert_eq!(decrypt(s, &[0; 256], Some(256)).0, NONE);
        }),
        staged("an error ends a signature", |s| {
            assert_eq!(s.sign_init(CKM_ECDSA, ec(s)), CKR_OK);
            assert_eq!(s.sign(b""), Err(CKR_DATA_LEN_RANGE));
            assert_eq!(s.sign(&[1; 32]), Err(NONE));
        }),
        staged("parts that are too many", |s| {
            assert_eq!(s.sign_init(CKM_ECDSA, ec(s)), CKR_OK);
            assert_eq!(update(s, &[1; 1000]), CKR_OK);
            assert_eq!(update(s, &[1; 1000]), CKR_DATA_LEN_RANGE);
            assert_eq!(update(s, &[1]), NONE);
        }),
        staged("signatures of a wrong length and of others", |s| {
            for (signature, expected) in [
                (&[1_u8; 63][..], CKR_SIGNATURE_LEN_RANGE),
                (&[1; 65], CKR_SIGNATURE_LEN_RANGE),
                (&[], CKR_SIGNATURE_LEN_RANGE),
                (&[1; 64], CKR_SIGNATURE_INVALID),
                (&[0; 64], CKR_SIGNATURE_INVALID),
                (&[0xff; 64], CKR_SIGNATURE_INVALID),
            ] {
                assert_eq!(verify_init(s, CKM_ECDSA, "ecdsa-p256"), CKR_OK);
                assert_eq!(verify(s, signature), expected);
                assert_eq!(verify(s, signature), NONE);
            }
        }),
        staged("what cannot be decrypted", |s| {
            for (data, expected) in [
                (&[1_u8; 255][..], CKR_ENCRYPTED_DATA_LEN_RANGE),
                (&[1; 257], CKR_ENCRYPTED_DATA_LEN_RANGE),
                (&[], CKR_ENCRYPTED_DATA_LEN_RANGE),
                (&[0xff; 256], CKR_ENCRYPTED_DATA_INVALID),
                (&[0; 256], CKR_ENCRYPTED_DATA_INVALID),
                (&[1; 256], CKR_ENCRYPTED_DATA_INVALID),
            ] {
                assert_eq!(decrypt_init(s), CKR_OK);
                assert_eq!(decrypt(s, data, None), (CKR_OK, 245));
                assert_eq!(decrypt(s, data, Some(245)).0, expected);
                assert_eq!(decrypt(s, data, Some(245)).0, NONE);
            }
        }),
        staged("a search for nothing in no room", |s| {
            done!(s, C_FindObjectsInit(s.session, ptr::null_mut(), 0));
            let (mut found, mut count) = (77, 77);
            done!(
                s,
                C_FindObjects(s.session, &raw mut found, 0, &raw mut count)
            );
            assert_eq!((found, count), (77, 0));
            done!(
                s,
                C_FindObjects(s.session, &raw mut found, 1, &raw mut count)
            );
            assert_eq!(count, 1);
            let mut many = [0; 16];
            done!(
                s,
                C_FindObjects(s.session, many.as_mut_ptr(), 16, &raw mut count)
            );
            assert!(
                !many[..count as usize].contains(&found),
                "each is found once"
            );
            done!(
                s,
                C_FindObjects(s.session, many.as_mut_ptr(), 16, &raw mut count)
            );
            assert_eq!(count, 0);
        }),
        staged("objects that are destroyed while they are found", |s| {
            let own = [
                s.create_data(b"1"),
                s.create_data(b"2"),
                s.create_data(b"3"),
            ];
            let mut class = CKO_DATA;
            let mut template = [crate::stage::number(CKA_CLASS, &mut class)];
            done!(s, C_FindObjectsInit(s.session, template.as_mut_ptr(), 1));
            let (mut found, mut count) = ([0; 3], 0);
            done!(
                s,
                C_FindObjects(s.session, found.as_mut_ptr(), 1, &raw mut count)
            );
            for object in own {
                done!(s, C_DestroyObject(s.session, object));
            }
            // What was found may be gone when it is looked at.
            done!(
                s,
                C_FindObjects(s.session, found.as_mut_ptr(), 3, &raw mut count)
            );
            let mut size = 0;
            assert_eq!(
                call!(s, C_GetObjectSize(s.session, found[0], &raw mut size)),
                CKR_OBJECT_HANDLE_INVALID
            );
            done!(s, C_FindObjectsFinal(s.session));
        }),
        staged("operations of two sessions", |s| {
            let other = s.another(RW);
            assert_eq!(s.sign_init(CKM_ECDSA, ec(s)), CKR_OK);
            assert_eq!(sign(other, Some(64)).0, NONE);
            assert_eq!(other.sign_init(CKM_ECDSA, ec(s)), CKR_OK);
            assert_eq!(sign(s, Some(64)), (CKR_OK, 64));
            assert_eq!(sign(other, Some(64)), (CKR_OK, 64));
        }),
        staged("waiting for a slot", |s| {
            let mut slot = 0;
            let place = &raw mut slot;
            assert_eq!(
                call!(
                    s,
                    C_WaitForSlotEvent(CKF_DONT_BLOCK, place, ptr::null_mut())
                ),
                CKR_NO_EVENT
            );
            assert_eq!(
                call!(s, C_WaitForSlotEvent(0, place, ptr::null_mut())),
                CKR_FUNCTION_NOT_SUPPORTED
            );
            let reserved = ptr::dangling_mut::<u64>().cast();
            assert_eq!(
                call!(s, C_WaitForSlotEvent(CKF_DONT_BLOCK, place, reserved)),
                CKR_ARGUMENTS_BAD
            );
        }),
    ];
    for len in [0, 1, 4096, 1 << 20] {
        cases.push(staged(format!("{len} random bytes"), move |s| {
            let memory = Guarded::default();
            let room = memory.room::<u8>(len);
            done!(s, C_GenerateRandom(s.session, room, len as CK_ULONG));
            memory.check();
        }));
    }
    cases
}
