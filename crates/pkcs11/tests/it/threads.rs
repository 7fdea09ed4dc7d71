//! Many threads in one process.

use std::{
    env, ptr,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cryptoki_sys::*;

use crate::{
    isolated::isolated,
    loaded::{Module, call, done},
    stage::{RW, Stage, plain},
    world::{OPEN, World},
};

const THREADS: usize = 16;

/// How many signatures each thread makes, or what `TPMSSH_TEST_SIGNATURES` says.
fn signatures() -> usize {
    let wanted = env::var("TPMSSH_TEST_SIGNATURES").ok();
    wanted.map_or(40, |wanted| wanted.parse().unwrap())
}

/// The world, whose processes are told how many signatures are wanted.
fn world() -> World {
    World::with_key().passing("TPMSSH_TEST_SIGNATURES")
}

/// A digest that no other thread signs, and that is never signed again.
fn digest(thread: usize, turn: usize) -> [u8; 32] {
    let mut digest = [0x5a; 32];
    digest[0] = u8::try_from(thread).unwrap();
    digest[1..3].copy_from_slice(&u16::try_from(turn).unwrap().to_be_bytes());
    digest
}

#[test]
fn sixteen_threads_sign_and_every_signature_is_of_its_own_data() {
    isolated(world, || {
        let first = Stage::new(Module::load(), OPEN);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    let s = first.another(CKF_SERIAL_SESSION);
                    let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
                    let public = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
                    for turn in 0..signatures() {
                        let digest = digest(thread, turn);
                        assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
                        let signature = s.sign(&digest).unwrap();
                        let verified = s.verify(plain(CKM_ECDSA), public, &digest, &signature);
                        assert_eq!(verified, CKR_OK);
                    }
                    done!(s, C_CloseSession(s.session));
                });
            }
        });
        done!(first, C_Finalize(ptr::null_mut()));
    });
}

#[test]
fn of_two_threads_with_one_session_one_signs_at_a_time() {
    isolated(World::with_key, || {
        let s = Stage::new(Module::load(), OPEN);
        let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
        let public = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
        let other = s.another(RW);
        let (start, refused) = (Barrier::new(2), AtomicUsize::new(0));
        thread::scope(|scope| {
            for thread in 0..2 {
                let (start, refused) = (&start, &refused);
                scope.spawn(move || {
                    start.wait();
                    for turn in 0..25 {
                        begin_when_free(s, key, refused);
                        let digest = digest(thread, turn);
                        let signature = s.sign(&digest).unwrap();
                        // Verified in another session for each thread, or they would meet there.
                        let verifier = if thread == 0 { s } else { other };
                        let verified =
                            verifier.verify(plain(CKM_ECDSA), public, &digest, &signature);
                        assert_eq!(verified, CKR_OK);
                    }
                });
            }
        });
        println!("refused {refused:?} times");
    });
}

/// Begins to sign as soon as no other thread signs in this session; adds to `refused` how often one did.
fn begin_when_free(s: Stage, key: CK_OBJECT_HANDLE, refused: &AtomicUsize) {
    let start = Instant::now();
    loop {
        let begun = s.sign_init(CKM_ECDSA, key);
        if begun == CKR_OK {
            return;
        }
        assert_eq!(begun, CKR_OPERATION_ACTIVE);
        // An operation that nobody ends: its thread failed.
        assert!(start.elapsed() < Duration::from_secs(60), "active for ever");
        refused.fetch_add(1, Ordering::Relaxed);
        thread::yield_now();
    }
}

/// Signs until that is refused; returns what the module returned then.
fn sign_until_refused(s: Stage, key: CK_OBJECT_HANDLE, signed: &AtomicUsize) -> CK_RV {
    loop {
        let begun = s.sign_init(CKM_ECDSA, key);
        if begun != CKR_OK {
            return begun;
        }
        if let Err(err) = s.sign(&[1; 32]) {
            return err;
        }
        signed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs `end` while four threads sign; each of them is refused with one of `expected`.
fn while_others_sign(s: Stage, end: impl FnOnce(), expected: &[CK_RV]) {
    let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
    let counts: [AtomicUsize; 4] = Default::default();
    thread::scope(|scope| {
        let threads: Vec<_> = counts
            .iter()
            .map(|signed| {
                let s = s.another(CKF_SERIAL_SESSION);
                scope.spawn(move || sign_until_refused(s, key, signed))
            })
            .collect();
        while counts
            .iter()
            .any(|count| count.load(Ordering::Relaxed) == 0)
        {
            thread::yield_now();
        }
        end();
        for thread in threads {
            let refused = thread.join().unwrap();
            assert!(expected.contains(&refused), "{refused:#x}");
        }
    });
}

#[test]
fn finalizing_ends_what_other_threads_are_at() {
    isolated(World::with_key, || {
        let module = Module::load();
        for _ in 0..5 {
            let s = Stage::new(module, OPEN);
            while_others_sign(
                s,
                || done!(module, C_Finalize(ptr::null_mut())),
                &[CKR_CRYPTOKI_NOT_INITIALIZED],
            );
        }
    });
}

#[test]
fn closing_all_sessions_ends_what_other_threads_are_at() {
    isolated(World::with_key, || {
        let module = Module::load();
        let s = Stage::new(module, OPEN);
        for _ in 0..5 {
            let s = s.another(RW);
            while_others_sign(
                s,
                || done!(module, C_CloseAllSessions(s.slot)),
                &[CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED],
            );
        }
    });
}

/// A chip that takes its time keeps those alone waiting who want something of it.
#[test]
fn a_thread_that_waits_for_the_chip_is_in_nobodys_way() {
    const SIGN: u32 = 0x15d;
    isolated(
        || World::with_key().silent_to(SIGN),
        || {
            let module = Module::load();
            let s = Stage::new(module, OPEN);
            let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
            let waiting = thread::spawn(move || s.sign(&[1; 32]));
            // Another operation can begin in the session once the first is with the chip.
            while s.sign_init(CKM_ECDSA, key) == CKR_OPERATION_ACTIVE {
                thread::yield_now();
            }
            let other = s.another(RW);
            other.object(CKO_PUBLIC_KEY, "ecdsa-p256");
            other.create_data(b"data");
            done!(module, C_Finalize(ptr::null_mut()));
            let again = Stage::new(module, OPEN);
            again.object(CKO_PUBLIC_KEY, "ecdsa-p256");
            assert!(!waiting.is_finished(), "the chip has said nothing yet");
        },
    );
}

#[test]
fn threads_that_begin_and_end_the_module_at_once_do_no_harm() {
    isolated(World::with_key, || {
        let module = Module::load();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let begun = call!(module, C_Initialize(ptr::null_mut()));
                        assert!([CKR_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED].contains(&begun));
                        let mut count = 0;
                        let none = ptr::null_mut();
                        let listed = call!(module, C_GetSlotList(CK_TRUE, none, &raw mut count));
                        assert!([CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED].contains(&listed));
                        let ended = call!(module, C_Finalize(ptr::null_mut()));
                        assert!([CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED].contains(&ended));
                    }
                });
            }
        });
    });
}
