//! Blocks that come out of the private RSA operation, whatever was encrypted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tpm_core::{Hash, Pss, padding};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (block, label) = input;
    if let Some(data) = padding::pkcs1_signed(block) {
        let again = padding::pkcs1_sign(data, block.len());
        assert_eq!(again.ok().as_deref(), Some(block));
    }
    if let Some(message) = padding::pkcs1_decrypt(block) {
        assert!(block.ends_with(&message) && message.len() + 11 <= block.len());
    }
    for salt in [0, 32, label.len()] {
        let pss = Pss {
            salt,
            ..Pss::new(Hash::Sha256)
        };
        let _ = padding::pss_verify(block, label, &[0; 32], pss);
    }
    for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        if let Some(message) = padding::oaep_decrypt(block, hash, Hash::Sha256, label) {
            assert!(message.len() + 2 * hash.size() + 2 <= block.len());
        }
    }
});
