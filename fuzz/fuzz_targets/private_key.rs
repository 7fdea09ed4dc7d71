//! Private key files that somebody gives to `tpmssh import`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ssh_format::{PrivateKeyFile, PrivateNumbers};

fuzz_target!(|data: &[u8]| {
    let Ok(file) = PrivateKeyFile::parse(data) else {
        return;
    };
    // The rounds of bcrypt would take all the time.
    if file.is_encrypted() {
        assert!(file.open(b"", |_, _| ()).is_err());
        return;
    }
    let _ = file.open(b"", |numbers, _| {
        // What is shown belongs to the public half that was announced.
        let public = file.public().blob();
        match *numbers {
            PrivateNumbers::Rsa { n, .. } => assert!(public.ends_with(n)),
            PrivateNumbers::Ecdsa { x, y, .. } => assert!(public.ends_with(&[x, y].concat())),
            _ => {}
        }
    });
});
