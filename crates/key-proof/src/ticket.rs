//! Tickets: what a verifier has to remember of a challenge, sealed and sent to the prover, who sends it back. So the verifier stores nothing.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand_core::CryptoRngCore;
use tpm_wire::Reader;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Check, Result, error::refuse, hash::sha256, transcript::Transcript};

const KID: usize = 4;
const NONCE: usize = 24;
const VERSION: u8 = 1;

/// The verifier's secret that seals tickets: 32 random bytes. Wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct TicketKey([u8; 32]);

impl TicketKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// An HMAC-SHA-256 over `label`, the audience and `data`.
    pub(crate) fn tag(&self, label: &[u8], audience: &str, data: &[u8]) -> Vec<u8> {
        let length = u64::try_from(audience.len()).unwrap_or(u64::MAX);
        crate::HashAlg::Sha256.hmac(
            &self.0,
            &[label, &length.to_be_bytes(), audience.as_bytes(), data],
        )
    }

    /// The id of the key: 4 bytes, not secret.
    fn id(&self) -> [u8; KID] {
        let digest = sha256(&[b"tpmssh-ticket-key-v1", &self.0]);
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(…)")
    }
}

/// The contents of a ticket.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The hash of the request that the challenge is for.
    pub(crate) transcript: Transcript,
    /// The nonce of the challenge.
    pub(crate) nonce: [u8; 32],
    /// The secret that only the right TPM can decrypt.
    pub(crate) secret: Zeroizing<[u8; 32]>,
    /// When the challenge was made, in seconds since 1970.
    pub(crate) issued: u64,
    /// The end of the challenge's validity, in seconds since 1970.
    pub(crate) expires: u64,
}

impl Ticket {
    /// Seals the ticket: key id (4 bytes), nonce (24), XChaCha20-Poly1305 of the fields.
    ///
    /// Random nonces of 192 bits do not repeat, so verifiers that share a key need not coordinate.
    pub(crate) fn seal(
        &self,
        key: &TicketKey,
        audience: &str,
        rng: &mut impl CryptoRngCore,
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let mut plain = Zeroizing::new(vec![VERSION]);
        plain.extend_from_slice(&self.transcript);
        plain.extend_from_slice(&self.nonce);
        plain.extend_from_slice(&*self.secret);
        plain.extend_from_slice(&self.issued.to_be_bytes());
        plain.extend_from_slice(&self.expires.to_be_bytes());
        let aad = aad(audience);
        let payload = Payload {
            msg: &plain,
            aad: &aad,
        };
        let sealed = XChaCha20Poly1305::new((&key.0).into())
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("a ticket is far below 256 GiB");
        [&key.id()[..], &nonce, &sealed].concat()
    }

    /// Opens a ticket with the key in `keys` that sealed it.
    pub(crate) fn open(sealed: &[u8], keys: &[TicketKey], audience: &str) -> Result<Self> {
        let v7 = |why| refuse(Check::V7, why);
        let Some((id, rest)) = sealed.split_at_checked(KID) else {
            return v7("its ticket is too short");
        };
        let Some(key) = keys.iter().find(|key| key.id() == id) else {
            return v7("its challenge was not made by this verifier, or too long ago");
        };
        let Some((nonce, sealed)) = rest.split_at_checked(NONCE) else {
            return v7("its ticket is too short");
        };
        let aad = aad(audience);
        let payload = Payload {
            msg: sealed,
            aad: &aad,
        };
        let plain = XChaCha20Poly1305::new((&key.0).into())
            .decrypt(XNonce::from_slice(nonce), payload)
            .map(Zeroizing::new);
        let Ok(plain) = plain else {
            return v7("its ticket was changed, or is for another audience");
        };
        read(&plain).or_else(|_| v7("its ticket is of another version"))
    }
}

fn read(plain: &[u8]) -> Result<Ticket> {
    let mut reader = Reader::new(plain, "ticket");
    if reader.u8()? != VERSION {
        return Err(reader.malformed("its version is unknown").into());
    }
    let (transcript, nonce) = (reader.array()?, reader.array()?);
    let secret = Zeroizing::new(reader.array()?);
    let (issued, expires) = (reader.u64()?, reader.u64()?);
    reader.finish()?;
    Ok(Ticket {
        transcript,
        nonce,
        secret,
        issued,
        expires,
    })
}

fn aad(audience: &str) -> Vec<u8> {
    [b"tpmssh-ticket-v1", audience.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;
    use crate::Error;

    fn ticket() -> Ticket {
        Ticket {
            transcript: [1; 32],
            nonce: [2; 32],
            secret: Zeroizing::new([3; 32]),
            issued: 4,
            expires: 5,
        }
    }

    #[track_caller]
    fn refused(result: Result<Ticket>) -> &'static str {
        match result {
            Err(Error::Refused {
                check: Check::V7,
                why,
            }) => why,
            Err(err) => panic!("refused for another reason: {err}"),
            Ok(_) => panic!("nothing refused it"),
        }
    }

    #[test]
    fn a_ticket_opens_for_its_audience_alone() {
        let key = [TicketKey::new([7; 32])];
        let sealed = ticket().seal(&key[0], "one", &mut OsRng);
        assert!(Ticket::open(&sealed, &key, "one").is_ok_and(|it| it == ticket()));
        for other in ["", "on", "onf", "one "] {
            assert_eq!(
                refused(Ticket::open(&sealed, &key, other)),
                "its ticket was changed, or is for another audience",
                "{other}"
            );
        }
    }

    #[test]
    fn of_several_keys_the_one_that_sealed_it_opens_it() {
        let keys = [7, 8, 9].map(|fill| TicketKey::new([fill; 32]));
        for key in &keys {
            let sealed = ticket().seal(key, "", &mut OsRng);
            assert!(Ticket::open(&sealed, &keys, "").is_ok());
            let others: Vec<_> = keys.iter().filter(|it| *it != key).cloned().collect();
            assert_eq!(
                refused(Ticket::open(&sealed, &others, "")),
                "its challenge was not made by this verifier, or too long ago"
            );
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", TicketKey::new([7; 32])), "TicketKey(…)");
    }
}
