//! The module as a library that is loaded, and gone again.

use std::{fs, path::PathBuf, ptr};

use cryptoki_sys::*;

use crate::{
    isolated::isolated,
    loaded::{Module, done},
    malformed::function_names,
    stage::{RW, Stage, open, slot_of, slots},
    world::{OPEN, World},
};

/// Files that are open in this process.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Mappings of this process: each library has some.
fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

/// Memory of this process that is in use, in KiB.
fn memory() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4
}

/// Runs `body` a few times, then a thousand times, after which there are as many files and
/// mappings as before and at most `kib` more memory.
fn stays_flat(kib: usize, mut body: impl FnMut()) {
    (0..50).for_each(|_| body());
    let before = (open_files(), mappings(), memory());
    (0..1000).for_each(|_| body());
    let after = (open_files(), mappings(), memory());
    assert_eq!(after.0, before.0, "files");
    assert!(
        after.1 <= before.1 + 4,
        "{} mappings, then {}",
        before.1,
        after.1
    );
    assert!(
        after.2 <= before.2 + kib,
        "{} KiB, then {} KiB",
        before.2,
        after.2
    );
}

#[test]
fn every_function_is_exported() {
    let module = Module::load();
    let names = function_names();
    assert_eq!(names.len(), 92 - 2, "all of PKCS#11 3.0, and these two");
    for name in names.into_iter().chain(["C_Initialize", "C_Finalize"]) {
        assert!(module.symbol(name).is_some(), "{name}");
    }
}

#[test]
fn a_thousand_initializations_leave_nothing_behind() {
    isolated(World::with_key, || {
        let module = Module::load();
        stays_flat(1024, || {
            let stage = Stage::new(module, OPEN);
            stage.object(CKO_PUBLIC_KEY, "ecdsa-p256");
            done!(module, C_Finalize(ptr::null_mut()));
        });
    });
}

#[test]
fn a_thousand_loads_leave_nothing_behind() {
    isolated(World::with_key, || {
        stays_flat(4096, || {
            let module = Module::load();
            done!(module, C_Initialize(ptr::null_mut()));
            slots(module, CK_TRUE);
            done!(module, C_Finalize(ptr::null_mut()));
            module.unload();
        });
    });
}

#[test]
fn a_key_signs_however_the_module_is_loaded() {
    isolated(World::with_key, || {
        for flags in [
            libc::RTLD_LAZY,
            libc::RTLD_NOW | libc::RTLD_GLOBAL,
            libc::RTLD_NOW | libc::RTLD_DEEPBIND,
        ] {
            let module = Module::open(&testing::module(), flags).unwrap();
            let stage = Stage::new(module, OPEN);
            let key = stage.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
            assert_eq!(stage.sign(&[1; 32]).unwrap().len(), 64);
            done!(module, C_Finalize(ptr::null_mut()));
            module.unload();
        }
    });
}

#[test]
fn two_copies_in_one_process_do_not_know_of_each_other() {
    isolated(World::with_key, || {
        let path = PathBuf::from(std::env::var_os("HOME").unwrap()).join("copy.so");
        fs::copy(testing::module(), &path).unwrap();
        let copies = [Module::load(), Module::open(&path, libc::RTLD_NOW).unwrap()];
        for module in copies {
            done!(module, C_Initialize(ptr::null_mut()));
        }
        let stages = copies.map(|module| {
            let slot = slot_of(module, OPEN);
            Stage {
                module,
                slot,
                session: open(module, slot, RW),
            }
        });
        for _ in 0..3 {
            for stage in stages {
                let key = stage.object(CKO_PRIVATE_KEY, "ecdsa-p256");
                assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
                assert_eq!(stage.sign(&[1; 32]).unwrap().len(), 64);
            }
        }
        done!(copies[0], C_Finalize(ptr::null_mut()));
        let key = stages[1].object(CKO_PRIVATE_KEY, "ecdsa-p256");
        assert_eq!(stages[1].sign_init(CKM_ECDSA, key), CKR_OK);
        assert_eq!(stages[1].sign(&[1; 32]).unwrap().len(), 64);
    });
}

/// A child of a fork has to initialise the module again, so no interface is fork-safe. pkcs11-spy of
/// OpenSC writes the addresses of its own functions into the interface that it is given.
#[test]
fn interfaces_have_no_flags_and_can_be_written_to() {
    isolated(World::new, || {
        let address = Module::load().symbol("C_GetInterfaceList").unwrap();
        // SAFETY: the symbol of that name has that type.
        let list: unsafe extern "C" fn(CK_INTERFACE_PTR, CK_ULONG_PTR) -> CK_RV =
            unsafe { std::mem::transmute(address) };
        let mut all = [CK_INTERFACE::default(); 4];
        let mut count = 4;
        // SAFETY: there is room for so many.
        assert_eq!(unsafe { list(all.as_mut_ptr(), &raw mut count) }, CKR_OK);
        let flags: Vec<_> = all[..usize::try_from(count).unwrap()]
            .iter()
            .map(|interface| interface.flags)
            .collect();
        assert_eq!(flags, [0, 0]);

        let address = Module::load().symbol("C_GetInterface").unwrap();
        // SAFETY: as above.
        let get: unsafe extern "C" fn(
            CK_UTF8CHAR_PTR,
            CK_VERSION_PTR,
            CK_INTERFACE_PTR_PTR,
            CK_FLAGS,
        ) -> CK_RV = unsafe { std::mem::transmute(address) };
        let find = |flags| {
            let mut found = ptr::null_mut();
            // SAFETY: null stands for any name and any version.
            let returned = unsafe { get(ptr::null_mut(), ptr::null_mut(), &raw mut found, flags) };
            (returned, found)
        };
        assert_eq!(find(CKF_INTERFACE_FORK_SAFE).0, CKR_FUNCTION_FAILED);
        let (returned, interface) = find(0);
        assert_eq!(returned, CKR_OK);
        // SAFETY: the address of a field of what the module handed out.
        let list = unsafe { &raw mut (*interface).pFunctionList };
        // SAFETY: it is there, aligned and of that type.
        let functions = unsafe { list.read_volatile() };
        // SAFETY: the module says that callers may write here; nobody else does in this process.
        unsafe { list.write_volatile(functions) };
    });
}
