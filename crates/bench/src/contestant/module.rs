//! A PKCS#11 module, by the calls that OpenSSH makes.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};

use crate::world::TOKEN;

/// The DigestInfo of SHA-256 (RFC 8017, section 9.2, note 1), which `CKM_RSA_PKCS` wants.
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// A session that is logged in, and a private key.
pub(super) struct Signer {
    session: Session,
    key: ObjectHandle,
    mechanism: Mechanism<'static>,
    data: Vec<u8>,
    // Dropped last: the session needs it.
    _module: Pkcs11,
}

impl Signer {
    pub(super) fn open(module: &Path, pin_file: &Path, label: &str) -> Result<Self> {
        let module = Pkcs11::new(module)?;
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        let session = log_in(&module, pin_file)?;
        let key = find(&session, label)?;
        let (mechanism, data) = work(&session, key)?;
        Ok(Self {
            session,
            key,
            mechanism,
            data,
            _module: module,
        })
    }

    pub(super) fn sign(&self) -> Result<()> {
        self.session.sign(&self.mechanism, self.key, &self.data)?;
        Ok(())
    }
}

/// Opens a session with the token of the bench and logs in.
pub(super) fn log_in(module: &Pkcs11, pin_file: &Path) -> Result<Session> {
    let session = open_session(module)?;
    let pin = AuthPin::new(fs::read_to_string(pin_file)?.into());
    session.login(UserType::User, Some(&pin))?;
    Ok(session)
}

/// Opens a session with the token of the bench.
pub(super) fn open_session(module: &Pkcs11) -> Result<Session> {
    for slot in module.get_slots_with_token()? {
        if module.get_token_info(slot)?.label().trim_end() == TOKEN {
            return Ok(module.open_ro_session(slot)?);
        }
    }
    anyhow::bail!("no token {TOKEN}")
}

/// The private key `label`.
pub(super) fn find(session: &Session, label: &str) -> Result<ObjectHandle> {
    let wanted = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let found = session.find_objects(&wanted)?;
    found
        .first()
        .copied()
        .with_context(|| format!("no key {label}"))
}

/// The mechanism and the data that belong to a key: RSA over a DigestInfo, ECDSA over a digest
/// as long as its curve.
pub(super) fn work(session: &Session, key: ObjectHandle) -> Result<(Mechanism<'static>, Vec<u8>)> {
    let asked = [AttributeType::KeyType, AttributeType::EcParams];
    let attributes = session.get_attributes(key, &asked)?;
    let is_rsa = attributes.contains(&Attribute::KeyType(KeyType::RSA));
    if is_rsa {
        return Ok((Mechanism::RsaPkcs, [&SHA256_INFO[..], &[0x5a; 32]].concat()));
    }
    let curve = attributes.iter().find_map(|attribute| match attribute {
        Attribute::EcParams(oid) => Some(oid.last().copied()),
        _ => None,
    });
    // The last arc of secp384r1 (1.3.132.0.34) and secp521r1 (1.3.132.0.35).
    let digest = match curve.flatten() {
        Some(34) => 48,
        Some(35) => 64,
        _ => 32,
    };
    Ok((Mechanism::Ecdsa, vec![0x5a; digest]))
}
