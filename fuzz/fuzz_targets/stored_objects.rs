//! What stands in a store that somebody else may have written: keys, parents, pinned roots.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tpm_core::{Blob, ChangeGuard, KeyBlob, Name, PinCounter, SoObject, Srk, TokenKey, Wall};

fuzz_target!(|parts: (Vec<u8>, Vec<u8>)| {
    let (public, private) = parts;
    let _ = Srk::from_bytes(&public);
    let so = Name::of_public(&private);
    let blob = Blob { public, private };
    if let Ok(key) = KeyBlob::parse(blob.clone()) {
        // What is accepted is exactly what was given, and cannot leave the chip.
        assert_eq!(*key.blob(), blob);
        assert_eq!(blob.public[7] & 0x12, 0x12);
    }
    let _ = SoObject::from_blob(blob.clone());
    let _ = ChangeGuard::from_blob(blob.clone());
    let counter = PinCounter::from_parts(0x0180_0000, &so, &so);
    for wall in [Wall::Counter(counter), Wall::Lockout { so }, Wall::None] {
        let _ = TokenKey::from_parts(blob.clone(), wall);
    }
});
