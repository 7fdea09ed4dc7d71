//! Requests, challenges, proofs, renewals and statements, and the TPM's structures in them.

#![no_main]

use key_proof::{
    Challenge, Policy, Proof, PublicArea, Renewal, Request, Statement, TicketKey, check_request,
    verify,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut policy = Policy::new(1_795_000_000);
    policy.any_tpm = true;
    if let Ok(request) = Request::from_json(data) {
        assert_eq!(
            Request::from_json(request.to_json().as_bytes()),
            Ok(request.clone())
        );
        let _ = check_request(&request, &policy);
    }
    if let Ok(proof) = Proof::from_json(data) {
        assert_eq!(
            Proof::from_json(proof.to_json().as_bytes()),
            Ok(proof.clone())
        );
        // Nobody can guess what this key has sealed.
        assert!(verify(&proof, &policy, &[TicketKey::new([1; 32])]).is_err());
    }
    if let Ok(challenge) = Challenge::from_json(data) {
        assert_eq!(
            Challenge::from_json(challenge.to_json().as_bytes()),
            Ok(challenge)
        );
    }
    if let Ok(renewal) = Renewal::from_json(data) {
        assert_eq!(
            Renewal::from_json(renewal.to_json().as_bytes()),
            Ok(renewal)
        );
    }
    let _ = Statement::from_json(data);
    if let Ok(area) = PublicArea::parse(data) {
        assert_eq!(area.bytes(), data);
        let _ = area.name();
    }
});
