//! Certificates of TPM makers, as chips have them and as makers publish them.

#![no_main]

use key_proof::{Anchors, EkCertificate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut anchors = Anchors::new();
    let _ = anchors.add_file(data);
    if let Ok(certificate) = EkCertificate::parse(data) {
        // What was cut out of padding is read again as it is.
        let again = EkCertificate::parse(certificate.der());
        assert_eq!(
            again.map(|it| it.der().to_vec()).ok().as_deref(),
            Some(certificate.der())
        );
        let _ = certificate.maker();
        let chain = [data.to_vec()];
        let _ = anchors.check(&certificate, &chain, 1_795_000_000, false);
    }
});
