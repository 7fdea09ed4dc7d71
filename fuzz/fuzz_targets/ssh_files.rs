//! What others wrote for SSH: keys, certificates, revocation lists, signatures.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ssh_format::{AllowedSigners, AnyKey, Certificate, Krl, SshSig};

fuzz_target!(|data: &[u8]| {
    if let Ok(key) = AnyKey::from_blob(data) {
        assert_eq!(key.blob(), data);
        assert_eq!(
            AnyKey::from_line(&key.line("")).map(|(key, _)| key).ok(),
            Some(key)
        );
    }
    if let Ok(certificate) = Certificate::from_blob(data) {
        assert_eq!(certificate.blob(), data);
        let _ = certificate.verify();
        let _ = certificate.check_critical_options();
    }
    if let Ok(krl) = Krl::from_bytes(data) {
        // What was understood is written so that it means the same.
        let written = Krl::from_bytes(&krl.to_bytes()).expect("our own list");
        assert_eq!(
            (written.number(), written.is_empty()),
            (krl.number(), krl.is_empty())
        );
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = AnyKey::from_line(text);
        let _ = Certificate::from_line(text);
        let _ = AllowedSigners::parse(text);
        if let Ok(signature) = SshSig::from_armored(text) {
            assert_eq!(
                SshSig::from_armored(&signature.armored()).ok(),
                Some(signature)
            );
        }
    }
});
