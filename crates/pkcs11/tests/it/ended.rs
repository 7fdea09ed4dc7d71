//! What ends a login from outside, and what a host that has closed its descriptors keeps.

use std::{env, fs, os::fd::RawFd, ptr, sync::Arc};

use cryptoki_sys::*;
use token_store::{Pin, SoPin, SoToken, Store, StoreDir};
use tpm_core::{KeyType, Tpm, Usage};

use crate::{
    isolated::isolated,
    loaded::{Module, call, done},
    stage::{Stage, slots},
    world::{LOCKED, OPEN, PIN, SO_PIN, World},
};

const EC: (KeyType, Usage) = (KeyType::EccP256, Usage::SIGN);

/// The SO resets the PIN, as another program does.
fn reset_pin(pin: &str) {
    let variable = |name| env::var(name).expect("the home has it");
    let tpm = Arc::new(Tpm::new(variable("TPMSSH_TCTI").parse().unwrap()));
    let dir = StoreDir::at(variable("TPMSSH_STORE")).unwrap();
    let mut store = Store::open(&dir).unwrap();
    let token = store.find_token(LOCKED).unwrap();
    let so = SoPin::new(SO_PIN.as_bytes()).unwrap();
    let pin = Pin::new(pin.as_bytes()).unwrap();
    let open = SoToken::open(&store, &tpm, &token, &so).unwrap();
    open.reset_pin(&mut store, &pin).unwrap();
}

/// Also for a key that the chip has opened before.
#[test]
fn a_login_ends_when_the_so_resets_the_pin() {
    isolated(
        || World::new().token(LOCKED, &[EC]),
        || {
            let stage = Stage::new(Module::load(), LOCKED);
            assert_eq!(stage.login(CKU_USER, PIN), CKR_OK);
            let key = stage.object(CKO_PRIVATE_KEY, KeyType::EccP256.name());
            for _ in 0..2 {
                assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
                stage.sign(&[7; 32]).expect("the user is logged in");
            }
            assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
            reset_pin("another pin");
            // The one that had begun, and any other.
            assert_eq!(stage.sign(&[7; 32]), Err(CKR_USER_NOT_LOGGED_IN));
            assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_KEY_HANDLE_INVALID);
            let mut info = CK_SESSION_INFO::default();
            done!(stage, C_GetSessionInfo(stage.session, &raw mut info));
            assert_eq!(info.state, CKS_RW_PUBLIC_SESSION);
            // With the new PIN it goes on.
            assert_eq!(stage.login(CKU_USER, PIN), CKR_PIN_INCORRECT);
            assert_eq!(stage.login(CKU_USER, "another pin"), CKR_OK);
            assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
            stage.sign(&[7; 32]).expect("the user is logged in");
        },
    );
}

const STANDARD: [RawFd; 3] = [0, 1, 2];

/// What a descriptor leads to, if it is open.
fn target(fd: RawFd) -> Option<String> {
    let link = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

#[test]
fn in_a_host_without_standard_descriptors_the_modules_own_are_others() {
    isolated(
        || World::new().token(OPEN, &[EC]),
        || {
            // Kept for what the test prints.
            // SAFETY: numbers in, numbers out; nothing else runs in this process.
            let saved = STANDARD.map(|fd| unsafe { libc::fcntl(fd, libc::F_DUPFD, 100) });
            for fd in STANDARD {
                // SAFETY: as above.
                unsafe { libc::close(fd) };
            }
            let stage = Stage::new(Module::load(), OPEN);
            let key = stage.object(CKO_PRIVATE_KEY, KeyType::EccP256.name());
            let begun = stage.sign_init(CKM_ECDSA, key);
            let signed = stage.sign(&[7; 32]);
            let targets = STANDARD.map(target);
            // SAFETY: as above.
            let written = unsafe { libc::write(1, b"x".as_ptr().cast(), 1) };
            for (fd, saved) in STANDARD.into_iter().zip(saved) {
                // SAFETY: as above.
                unsafe { libc::dup2(saved, fd) };
            }
            assert_eq!(begun, CKR_OK);
            assert!(signed.is_ok());
            for target in targets {
                assert!(target.is_none_or(|target| target == "/"));
            }
            assert_eq!(written, -1, "a message went somewhere");
        },
    );
}

/// The configuration names a weaker wall, or none is taken.
#[test]
fn no_weaker_wall_is_taken_over_c_init_token_unless_the_configuration_names_it() {
    isolated(
        || {
            let world = World::new().token(OPEN, &[]);
            world.set_owner_password();
            world
        },
        || {
            let module = Module::load();
            done!(module, C_Initialize(ptr::null_mut()));
            let empty = *slots(module, CK_FALSE).last().expect("a slot");
            let mut label = [b' '; 32];
            label[0] = b'n';
            let (pin, len) = (SO_PIN.as_ptr().cast_mut(), SO_PIN.len() as CK_ULONG);
            let refused = call!(module, C_InitToken(empty, pin, len, label.as_mut_ptr()));
            assert_eq!(refused, CKR_FUNCTION_FAILED);
            done!(module, C_Finalize(ptr::null_mut()));

            let config = env::var("XDG_CONFIG_HOME")
                .unwrap_or_else(|_| format!("{}/.config", env::var("HOME").unwrap()));
            fs::create_dir_all(format!("{config}/tpmssh")).unwrap();
            fs::write(
                format!("{config}/tpmssh/config.toml"),
                "pin-wall = \"lockout\"\n",
            )
            .unwrap();
            done!(module, C_Initialize(ptr::null_mut()));
            let empty = *slots(module, CK_FALSE).last().expect("a slot");
            let made = call!(module, C_InitToken(empty, pin, len, label.as_mut_ptr()));
            assert_eq!(made, CKR_OK);
        },
    );
}
