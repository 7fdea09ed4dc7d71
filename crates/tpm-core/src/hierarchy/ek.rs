//! Endorsement keys, for which a chip's manufacturer issues certificates.

use crate::{
    EndorsementAuth, Error, Name, Operation, OwnerAuth, Result, Srk,
    command::exception::Exception,
    error::rc,
    hierarchy::{primary, srk::open::session_for_hierarchy},
    object::nv,
    structures::{hierarchy::Hierarchy, template},
};

pub use crate::structures::ek_type::EkType;

/// An endorsement key in the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ek {
    /// Its algorithm.
    pub ek_type: EkType,
    /// The `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// The Name.
    pub name: Name,
}

/// The endorsement key that the chip states at its persistent handle. The answer is not
/// authenticated: show it, and decide nothing by it.
///
/// # Errors
///
/// [`Error::HandleOccupied`] if another object is at the handle.
pub fn find(op: &Operation<'_>, ek_type: EkType) -> Result<Option<Ek>> {
    let found = primary::read_public(op, ek_type.handle(), Exception::Shown)?;
    let Some((public, name)) = found else {
        return Ok(None);
    };
    let template = template::endorsement_key(ek_type)?;
    let head = template
        .get(..parameters_end(&template))
        .ok_or(Error::Malformed("key template"))?;
    if !public.starts_with(head) {
        return Err(Error::HandleOccupied(ek_type.handle()));
    }
    Ok(Some(Ek {
        ek_type,
        public,
        name,
    }))
}

/// The offset in bytes at which the public key begins in a storage key's public area, after its
/// parameters.
///
/// Type, name algorithm, attributes (8 bytes), policy with its length, symmetric algorithm (6),
/// scheme (2), then size and exponent (RSA, 6) or curve and KDF (ECC, 4).
fn parameters_end(public: &[u8]) -> usize {
    let policy = public
        .get(8..10)
        .map_or(0, |len| usize::from(u16::from_be_bytes([len[0], len[1]])));
    let is_rsa = public.starts_with(&[0x00, 0x01]);
    8 + 2 + policy + 6 + 2 + if is_rsa { 6 } else { 4 }
}

/// Makes the endorsement key from its template and gives it its persistent handle. Returns an
/// existing key unchanged. A session that is salted to `srk` authenticates the chip's replies; if
/// `srk` is `None`, one that is salted to a new storage key of the null hierarchy.
///
/// # Errors
///
/// [`Error::AuthRejected`] if `endorsement` or `owner` is wrong; [`Error::NotSupported`] if the
/// chip lacks the algorithm.
pub fn create(
    op: &Operation<'_>,
    srk: Option<&Srk>,
    ek_type: EkType,
    endorsement: &EndorsementAuth,
    owner: &OwnerAuth,
) -> Result<Ek> {
    let session = session_for_hierarchy(op, srk)?;
    if let Some(ek) = find(op, ek_type)? {
        primary::confirm(op, ek_type.handle(), &ek.name, session.plain().last())?;
        return Ok(ek);
    }
    let hierarchy = Hierarchy::Endorsement;
    let template = template::endorsement_key(ek_type)?;
    let proof = session.authorizes(endorsement.value());
    let key = primary::create(op, hierarchy, proof, &template).map_err(|err| {
        if [rc::VALUE, rc::KEY_SIZE, rc::CURVE]
            .iter()
            .any(|&code| err.is_rc(code))
        {
            Error::NotSupported(ek_type.name())
        } else {
            err
        }
    })?;
    let proof = session.authorizes(owner.value()).last();
    primary::persist(op, &key, ek_type.handle(), proof)?;
    Ok(Ek {
        ek_type,
        public: key.public().to_vec(),
        name: key.name().clone(),
    })
}

/// The manufacturer's certificate of an endorsement key, DER, if the chip holds one.
///
/// Some manufacturers pad the index; the padding after the certificate is removed.
///
/// # Errors
///
/// Failures of the chip.
pub fn certificate(op: &Operation<'_>, ek_type: EkType) -> Result<Option<Vec<u8>>> {
    let contents = nv::read_open(op, ek_type.certificate_index())?;
    Ok(contents.map(|mut der| {
        if let [0x30, 0x82, high, low, ..] = der[..] {
            der.truncate(4 + usize::from(u16::from_be_bytes([high, low])));
        }
        der
    }))
}
