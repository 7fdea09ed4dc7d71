//! Proof that an SSH key was born in a TPM 2.0, cannot leave it, and is behind a PIN that the chip counts.
//!
//! This crate is the verifier's half, and the bytes that both sides agree on. It needs no TPM and no TPM library. It has no
//! input, no output and no clock: the time, the random numbers and what the verifier trusts are arguments.
//!
//! # The four steps
//!
//! 1. The prover sends a [`Request`]: public areas of its TPM's keys, and the key. Anybody can write one.
//! 2. The verifier checks it ([`check_request`]) and answers with a [`Challenge`]: an encrypted secret. Only the TPM with this endorsement
//!    key can decrypt it, and only if the attestation key is in the same TPM.
//! 3. The TPM decrypts the secret (`TPM2_ActivateCredential`) and certifies the key (`TPM2_Certify`). With a signature by the key itself
//!    that is a [`Proof`].
//! 4. The verifier checks it ([`verify`]) and gets a [`Verified`]. For people without tpmssh it may sign a [`Statement`].
//!
//! ```
//! use key_proof::{
//!     Anchors, Challenge, Error, Policy, Proof, Request, TicketKey, Verified, Wall, check_request, verify,
//! };
//! use rand_core::OsRng;
//!
//! /// Takes keys behind a PIN that the chip counts, in TPMs of the makers with certificates in a file.
//! struct Verifier {
//!     roots: Anchors,
//!     /// 32 random bytes, which the verifier keeps.
//!     tickets: [TicketKey; 1],
//! }
//!
//! impl Verifier {
//!     /// `now` is in seconds since 1970.
//!     fn policy(&self, now: u64) -> Policy {
//!         let mut policy = Policy::new(now);
//!         policy.anchors = Some(self.roots.clone());
//!         policy.least_wall = Wall::Counter;
//!         policy
//!     }
//!
//!     /// Step 2, for two minutes.
//!     fn challenge(&self, request: &[u8], now: u64) -> Result<String, Error> {
//!         let request = Request::from_json(request)?;
//!         let checked = check_request(&request, &self.policy(now))?;
//!         let challenge = Challenge::new(&checked, &self.tickets[0], now, 120, &mut OsRng)?;
//!         Ok(challenge.to_json())
//!     }
//!
//!     /// Step 4.
//!     fn check(&self, proof: &[u8], now: u64) -> Result<Verified, Error> {
//!         verify(&Proof::from_json(proof)?, &self.policy(now), &self.tickets)
//!     }
//! }
//!
//! # const REQUEST: &[u8] = include_bytes!("../tests/data/request.json");
//! # const PROOF: &[u8] = include_bytes!("../tests/data/proof.json");
//! # const ROOTS: &[u8] = include_bytes!("../tests/data/roots.pem");
//! let mut roots = Anchors::new();
//! roots.add_file(ROOTS)?;
//! let verifier = Verifier { roots, tickets: [TicketKey::new([7; 32])] };
//! let now = 1_795_000_000;
//! let challenge = verifier.challenge(REQUEST, now)?;
//! assert!(challenge.starts_with("{\n  \"format\": \"tpmssh-challenge-v1\""));
//!
//! // The answer to an earlier challenge, while that challenge is valid, and after it has expired.
//! let verified = verifier.check(PROOF, now + 60)?;
//! assert_eq!(verified.wall, Wall::Counter);
//! println!("{} {}", verified.principals.join(","), verified.key.line(""));
//! let refused = verifier.check(PROOF, now + 3600).unwrap_err();
//! assert_eq!(refused.to_string(), "proof refused: its challenge has expired");
//! # Ok::<(), Error>(())
//! ```
//!
//! Steps 1 and 3, with a TPM, are in the example `prove` of the crate `tpm-core`, which runs all four.
//!
//! # What is not proven
//!
//! The number of wrong PINs that the counter allows, how strong the SO PIN is, who knows the PIN, and that the program which
//! made the token did all that it should. With [`Mode::D`], not even that there is a TPM.
//!
//! Section numbers refer to the TCG's *Trusted Platform Module Library Specification*, revision 1.59, parts 1 to 3.
#![forbid(unsafe_code)]

mod attest;
mod binding;
mod challenge;
mod credential;
mod curves;
mod ek;
mod error;
mod files;
mod hash;
mod key;
mod policy;
mod policy_digest;
mod proof;
mod public_area;
mod renewal;
mod request;
mod statement;
mod ticket;
mod transcript;
mod verify;
mod wall;

pub use attest::TpmTime;
pub use binding::Binding;
pub use challenge::{Challenge, DEFAULT_LIFETIME, MAX_LIFETIME};
pub use credential::{Credential, make_credential};
pub use ek::{
    certificate::{EkCertificate, Maker},
    chain::{Anchor, Anchors},
    template::EkRange,
};
pub use error::{Check, Error, Result};
pub use files::MAX_FILE_LEN;
pub use hash::HashAlg;
pub use policy::{Mode, Policy};
pub use proof::Proof;
pub use public_area::{Name, PublicArea, PublicKey};
pub use renewal::{RENEWAL_LIFETIME, Renewal, renewal_transcript, verify_renewal};
pub use request::{Identity, Kind, Request};
pub use statement::Statement;
pub use ticket::TicketKey;
pub use transcript::{
    ENROLL_NAMESPACE, IDENTITY_NAMESPACE, STATEMENT_NAMESPACE, Transcript, activation,
    qualifying_data,
};
pub use verify::{Checked, Origin, Verified, check_request, verify};
pub use wall::{Wall, WallClaim};
