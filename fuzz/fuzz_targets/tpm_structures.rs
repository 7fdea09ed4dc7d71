//! A TPM's structures: public areas, Names, credentials for what was read, and the answer to a challenge that this target made.
//!
//! The first byte says how the input is read, so that one set of inputs serves all of it.

#![no_main]

use std::sync::LazyLock;

use key_proof::{
    Challenge, Check, Checked, Name, Policy, Proof, PublicArea, Request, TicketKey, activation,
    check_request, make_credential, verify,
};
use libfuzzer_sys::fuzz_target;
use rand_core::{CryptoRng, Error, RngCore};

const NOW: u64 = 1_795_000_000;
const KEY: [u8; 32] = [1; 32];

/// Not random: so the target knows the secret of its challenge.
struct Known(u8);

impl RngCore for Known {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_be_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32())
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_mul(5).wrapping_add(3);
            *byte = self.0;
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Known {}

fn policy() -> Policy {
    let mut policy = Policy::new(NOW);
    policy.any_tpm = true;
    policy
}

/// A request that passes, and a challenge for it.
static ASKED: LazyLock<(Request, Checked, Challenge)> = LazyLock::new(|| {
    let file = include_bytes!("../seeds/proof_files/request.json");
    let request = Request::from_json(file).expect("a request of the repository");
    let checked = check_request(&request, &policy()).expect("it passes");
    let key = TicketKey::new(KEY);
    let challenge = Challenge::new(&checked, &key, NOW, 60, &mut Known(0)).expect("an EK");
    (request, checked, challenge)
});

/// Splits off the front as many bytes as its first two say, big-endian, or all.
fn part<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let Some((len, rest)) = data.split_first_chunk() else {
        return std::mem::take(data);
    };
    let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
    let (part, rest) = rest.split_at(len);
    *data = rest;
    part
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, mut data)) = data.split_first() else {
        return;
    };
    let (request, checked, challenge) = &*ASKED;
    match kind % 4 {
        0 => {
            if let Ok(area) = PublicArea::parse(data) {
                assert_eq!(area.bytes(), data);
                let name = area.name();
                assert_eq!(Name::from_bytes(name.bytes()), Ok(name.clone()));
                let _ = make_credential(&area, &name, &[7; 32], &mut Known(1));
            }
        }
        1 => {
            if let Ok(name) = Name::from_bytes(data) {
                assert_eq!(name.bytes(), data);
                assert_eq!(Name::from_hex(&name.to_string()), Ok(name));
            }
        }
        2 => {
            // Each public area of a request in turn.
            let Some((which, area)) = data.split_first() else {
                return;
            };
            let mut request = request.clone();
            let place = match which % 5 {
                0 => &mut request.ek,
                1 => &mut request.attestation_key,
                2 => &mut request.srk,
                3 => &mut request.parent,
                _ => &mut request.key,
            };
            *place = area.to_vec();
            let _ = check_request(&request, &policy());
        }
        _ => {
            // The right answer to the challenge, and the rest by somebody who does not have the keys.
            let mut secret = [0; 32];
            Known(0).fill_bytes(&mut secret);
            let proof = Proof {
                request: request.clone(),
                ticket: challenge.ticket.clone(),
                activation: activation(&secret, &checked.transcript()).to_vec(),
                attest: part(&mut data).to_vec(),
                signature: part(&mut data).to_vec(),
                sshsig: String::from_utf8_lossy(part(&mut data)).into_owned(),
            };
            let result = verify(&proof, &policy(), &[TicketKey::new(KEY)]);
            let is_late = matches!(&result, Err(err) if err.check() >= Some(Check::V9));
            assert!(is_late, "{result:?}");
        }
    }
});
