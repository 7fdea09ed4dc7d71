//! A server, as far as an agent gets to know one: a key that signs sessions.

use p256::ecdsa::SigningKey;
use signature::Signer;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::public::{EcdsaPublicKey, KeyData};

/// A server's key, made from one byte.
pub(crate) struct Host(SigningKey);

impl Host {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    /// The public key.
    pub(crate) fn blob(&self) -> Vec<u8> {
        let key = ssh_key::PublicKey::from(KeyData::from(self));
        key.to_bytes().unwrap()
    }

    /// What `ssh` says in `session-bind@openssh.com` after it has spoken to this server.
    pub(crate) fn bind(&self, session: &[u8], forwarding: bool) -> Vec<u8> {
        self.bind_as(&self.blob(), session, forwarding)
    }

    /// The same of a server that shows `host_key`, such as a certificate of its key.
    pub(crate) fn bind_as(&self, host_key: &[u8], session: &[u8], forwarding: bool) -> Vec<u8> {
        let signature: Vec<u8> = self.sign(session).try_into().unwrap();
        let mut out = Vec::new();
        for field in [host_key, session, &signature] {
            out.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            out.extend(field);
        }
        out.push(forwarding.into());
        out
    }

    /// A certificate, as an authority with this key makes it, that is valid up to `until`; it
    /// names no principal if `name` is empty.
    pub(crate) fn certify(&self, key: &[u8], kind: CertType, name: &str, until: u64) -> Vec<u8> {
        let key = ssh_key::PublicKey::from_bytes(key).unwrap();
        let mut builder = Builder::new([7; 32], key.key_data().clone(), 1, until).unwrap();
        builder.cert_type(kind).unwrap();
        if name.is_empty() {
            builder.all_principals_valid().unwrap();
        } else {
            builder.valid_principal(name).unwrap();
        }
        builder.sign(self).unwrap().to_bytes().unwrap()
    }
}

impl From<&Host> for KeyData {
    fn from(host: &Host) -> Self {
        EcdsaPublicKey::from(host.0.verifying_key()).into()
    }
}

/// It signs certificates as well.
impl Signer<ssh_key::Signature> for Host {
    fn try_sign(&self, message: &[u8]) -> Result<ssh_key::Signature, signature::Error> {
        let signature: p256::ecdsa::Signature = self.0.try_sign(message)?;
        Ok(signature.try_into().unwrap())
    }
}
