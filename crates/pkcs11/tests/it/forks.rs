//! Processes that fork, end as they please, and work beside each other.

use std::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use cryptoki_sys::*;

use crate::{
    isolated::{forked, isolated, started},
    loaded::{Module, call, done},
    stage::{Stage, bytes, flag, plain},
    world::{OPEN, World},
};

fn info(module: Module) -> CK_RV {
    let mut info = CK_INFO::default();
    call!(module, C_GetInfo(&raw mut info))
}

/// Signs once, and verifies that.
fn signs(s: Stage) {
    let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
    let public = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
    assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
    let signature = s.sign(&[1; 32]).unwrap();
    let verified = s.verify(plain(CKM_ECDSA), public, &[1; 32], &signature);
    assert_eq!(verified, CKR_OK);
}

#[test]
fn a_child_begins_anew_and_disturbs_its_parent_in_nothing() {
    isolated(World::with_key, || {
        let module = Module::load();
        let parent = Stage::new(module, OPEN);
        signs(parent);
        let key = parent.object(CKO_PRIVATE_KEY, "ecdsa-p256");
        assert_eq!(parent.sign_init(CKM_ECDSA, key), CKR_OK);
        forked(|| {
            assert_eq!(info(module), CKR_CRYPTOKI_NOT_INITIALIZED);
            assert_eq!(parent.sign(&[1; 32]), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
            let ended = call!(module, C_Finalize(ptr::null_mut()));
            assert_eq!(ended, CKR_CRYPTOKI_NOT_INITIALIZED);
            let child = Stage::new(module, OPEN);
            signs(child);
            // And so does a child of its own.
            forked(|| {
                assert_eq!(info(module), CKR_CRYPTOKI_NOT_INITIALIZED);
                signs(Stage::new(module, OPEN));
            })
            .unwrap();
            signs(child);
            done!(module, C_Finalize(ptr::null_mut()));
        })
        .unwrap();
        assert!(parent.sign(&[1; 32]).is_ok(), "what was begun goes on");
        signs(parent);
        // A child outlives what its parent ends.
        let child = started(|| signs(Stage::new(module, OPEN)));
        done!(module, C_Finalize(ptr::null_mut()));
        child.ended().unwrap();
    });
}

/// Such a child is refused when it begins: libp11 0.4.12 hangs if only `C_OpenSession` fails.
#[test]
fn a_child_that_has_become_another_user_cannot_begin() {
    if !testing::namespace::is_root() {
        return;
    }
    isolated(World::with_key, || {
        let module = Module::load();
        let parent = Stage::new(module, OPEN);
        signs(parent);
        forked(|| {
            // SAFETY: a number. The child has this thread alone.
            assert_eq!(unsafe { libc::setuid(65534) }, 0);
            for _ in 0..2 {
                let begun = call!(module, C_Initialize(ptr::null_mut()));
                assert_eq!(begun, CKR_FUNCTION_FAILED);
                assert_eq!(info(module), CKR_CRYPTOKI_NOT_INITIALIZED);
            }
        })
        .unwrap();
        signs(parent);
    });
}

/// With a connection to a resource manager that the parent keeps, and goes on to use.
#[test]
fn a_child_logs_in_and_signs_behind_a_resource_manager() {
    isolated(
        || World::with_key().managed(),
        || {
            let module = Module::load();
            let parent = Stage::new(module, OPEN);
            for _ in 0..3 {
                signs(parent);
            }
            for _ in 0..3 {
                forked(|| {
                    let child = Stage::new(module, OPEN);
                    for _ in 0..3 {
                        signs(child);
                    }
                    forked(|| signs(Stage::new(module, OPEN))).unwrap();
                    done!(module, C_Finalize(ptr::null_mut()));
                })
                .unwrap();
                signs(parent);
            }
        },
    );
}

/// Whatever lock of ours another thread holds at the fork, the child has its own.
#[test]
fn a_child_of_a_process_whose_threads_are_busy_does_not_hang() {
    isolated(World::with_key, || {
        let module = Module::load();
        let parent = Stage::new(module, OPEN);
        thread::scope(|scope| {
            let busy = scope.spawn(|| {
                let s = parent.another(CKF_SERIAL_SESSION);
                while info(module) == CKR_OK {
                    if s.sign_init(CKM_ECDSA, s.object(CKO_PRIVATE_KEY, "ecdsa-p256")) == CKR_OK {
                        let _ = s.sign(&[1; 32]);
                    }
                }
            });
            for _ in 0..100 {
                forked(|| assert_eq!(info(module), CKR_CRYPTOKI_NOT_INITIALIZED)).unwrap();
            }
            done!(module, C_Finalize(ptr::null_mut()));
            // Its last calls may have been refused.
            let _ = busy.join();
        });
    });
}

/// SQLite has locks of its own, which all its connections share.
#[test]
fn a_child_opens_the_store_however_busy_its_parent_is_with_it() {
    isolated(World::with_key, || {
        let module = Module::load();
        let parent = Stage::new(module, OPEN);
        let (ended, waited_for) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let s = parent.another(CKF_SERIAL_SESSION | CKF_RW_SESSION);
                let key = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
                while !ended.load(Ordering::Relaxed) {
                    let mut id = [bytes(CKA_ID, b"again")];
                    done!(s, C_SetAttributeValue(s.session, key, id.as_mut_ptr(), 1));
                    // A store in memory is written without waiting for a disk: between two writes,
                    // the child would find no moment to read.
                    if waited_for.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            });
            let outcome = (0..100).try_for_each(|_| {
                let child = started(|| {
                    let s = Stage::new(module, OPEN);
                    s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
                });
                waited_for.store(true, Ordering::Relaxed);
                let outcome = child.ended();
                waited_for.store(false, Ordering::Relaxed);
                outcome
            });
            ended.store(true, Ordering::Relaxed);
            outcome.unwrap();
        });
    });
}

#[test]
fn a_process_ends_well_in_whatever_it_is() {
    extern "C" fn finalize_at_exit() {
        // As OpenSSL's handlers do it, after the host's own.
        call!(Module::load(), C_Finalize(ptr::null_mut()));
    }
    isolated(World::with_key, || {
        let module = Module::load();
        let exit = || {
            // SAFETY: ends this forked process, with all its handlers.
            unsafe { libc::exit(0) }
        };
        forked(|| {
            signs(Stage::new(module, OPEN));
            exit()
        })
        .unwrap();
        forked(|| {
            let s = Stage::new(module, OPEN);
            let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
            done!(s, C_FindObjectsInit(s.session, ptr::null_mut(), 0));
            exit()
        })
        .unwrap();
        forked(|| {
            // SAFETY: the function may run at any time.
            unsafe { libc::atexit(finalize_at_exit) };
            signs(Stage::new(module, OPEN));
            exit()
        })
        .unwrap();
        for _ in 0..10 {
            forked(|| {
                let s = Stage::new(module, OPEN);
                let (begun, wait) = std::sync::mpsc::channel();
                thread::spawn(move || {
                    loop {
                        signs(s);
                        let _ = begun.send(());
                    }
                });
                wait.recv().unwrap();
                exit()
            })
            .unwrap();
        }
        signs(Stage::new(module, OPEN));
    });
}

#[test]
fn processes_make_keys_in_one_token_and_sign_at_once() {
    isolated(World::with_key, || {
        let module = Module::load();
        let children: Vec<_> = (0..4_u8)
            .map(|child| {
                started(move || {
                    let s = Stage::new(module, OPEN);
                    for number in 0..5 {
                        let p256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
                        let public = [bytes(CKA_EC_PARAMS, p256)];
                        let id = [7, child, number];
                        let private = [
                            flag(CKA_TOKEN, true),
                            bytes(CKA_ID, &id),
                            bytes(CKA_LABEL, b"made"),
                        ];
                        let made = s.generate(CKM_EC_KEY_PAIR_GEN, &public, &private);
                        assert_eq!(made, CKR_OK);
                        signs(s);
                    }
                })
            })
            .collect();
        for child in children {
            child.ended().unwrap();
        }
        let s = Stage::new(module, OPEN);
        assert_eq!(s.find(&mut [bytes(CKA_LABEL, b"made")]).len(), 2 * 4 * 5);
        for child in 0..4 {
            for number in 0..5 {
                let id = [7, child, number];
                let found = s.find(&mut [bytes(CKA_ID, &id), flag(CKA_SIGN, true)]);
                assert_eq!(found.len(), 1);
                assert_eq!(s.sign_init(CKM_ECDSA, found[0]), CKR_OK);
                assert!(s.sign(&[1; 32]).is_ok());
            }
        }
    });
}

#[test]
fn a_process_that_is_killed_while_it_signs_is_in_nobodys_way() {
    isolated(World::with_key, || {
        let module = Module::load();
        for _ in 0..5 {
            let child = started(|| {
                let s = Stage::new(module, OPEN);
                loop {
                    signs(s);
                }
            });
            let s = Stage::new(module, OPEN);
            (0..5).for_each(|_| signs(s));
            child.kill();
            signs(s);
            done!(module, C_Finalize(ptr::null_mut()));
        }
    });
}
