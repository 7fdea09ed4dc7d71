//! What an authority answers over the network: certificates, its keys, and signed lists of revoked keys.

#![no_main]

use enroll::{Authorities, Granted, SignedKrl, Url, Wanted, krl};
use key_proof::Kind;
use libfuzzer_sys::fuzz_target;

const USER: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBE50qteU1sJZTGQT+WGCBSv+AAeVRMxgnLF14pPc1GNiqjLSqYnZbSe6xbwcN/R4eiMFnHgrNaysj8SXUfj/xQs=";
const HOST: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKIvm7UfsC7rudKdMrFgMk+dsbjs+jKTbMKdNZ7+VxnplQC7/E6IP8ZEu52MoBlBeeiAx5bghYCRNwSl61NHsf8=";
const NOW: u64 = 1_795_000_000;

fuzz_target!(|data: &[u8]| {
    let Ok(trusted) = Authorities::from_lines(&[USER.to_owned()], &[HOST.to_owned()], 0) else {
        unreachable!("two keys");
    };
    if let Ok(granted) = Granted::from_json(data) {
        let wanted = Wanted {
            key: &trusted.users[0],
            kind: Kind::User,
            principals: &["anna".to_owned()],
        };
        // Nobody can sign for these keys.
        assert!(wanted.check(&granted.certificate, &trusted, NOW).is_err());
    }
    if let Ok(keys) = serde_json::from_slice(data) {
        assert!(
            trusted
                .successor(&keys, "https://ca.example/", NOW)
                .is_err()
        );
    }
    if let Ok(text) = str::from_utf8(data) {
        let _ = Url::parse(text);
        // An armoured signature, and what follows it as the list.
        const END: &str = "-----END SSH SIGNATURE-----\n";
        if let Some(at) = text.find(END) {
            let (signature, list) = text.split_at(at + END.len());
            let signed = SignedKrl {
                bytes: list.as_bytes().to_vec(),
                signature: signature.to_owned(),
            };
            assert!(krl::check(&signed, &trusted, None, NOW).is_err());
        }
    }
});
