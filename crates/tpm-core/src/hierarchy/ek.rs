//! Endorsement keys, for which a chip's manufacturer issues certificates.

use crate::{
    EndorsementAuth, Error, Name, OpenSrk, Operation, OwnerAuth, PublicKey, Result, Srk,
    chip::info,
    command::{
        exception::Exception,
        session::{SaltKey, Session},
    },
    error::rc,
    hierarchy::{
        primary::{self, Primary},
        srk::open::session_for_hierarchy,
    },
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

impl Ek {
    /// The public key in [`Ek::public`].
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if there is none that this crate knows.
    pub fn public_key(&self) -> Result<PublicKey> {
        PublicKey::from_public_area(&self.public)
    }
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
    if !ek_type.is_of(&public) {
        return Err(Error::HandleOccupied(ek_type.handle()));
    }
    Ok(Some(Ek {
        ek_type,
        public,
        name,
    }))
}

/// The endorsement key `ek_type`. If it is not at its persistent handle, it is made for this call; another object may
/// have the handle.
///
/// For a key at its persistent handle the answer is not authenticated. Only the use of the key
/// ([`AttestationKey::activate`](crate::AttestationKey::activate)) proves that the chip holds it.
///
/// # Errors
///
/// [`Error::AuthRejected`] for a wrong `endorsement`, which is needed only to make a key; [`Error::HierarchyDisabled`];
/// [`Error::NotSupported`].
pub fn show(root: &OpenSrk<'_>, ek_type: EkType, endorsement: &EndorsementAuth) -> Result<Ek> {
    let op = root.op();
    match find(op, ek_type) {
        Ok(Some(ek)) => return Ok(ek),
        Ok(None) | Err(Error::HandleOccupied(_)) => {}
        Err(err) => return Err(err),
    }
    let session = root.within(|| Session::proven(op, root))?;
    let key = make(op, ek_type, &session, endorsement)?;
    Ok(Ek {
        ek_type,
        public: key.public().to_vec(),
        name: key.name().clone(),
    })
}

/// An endorsement key in use: at its persistent handle, or made for this use.
pub(crate) enum EkInUse<'op> {
    Persistent(u32, Name),
    Made(Primary<'op>),
}

impl EkInUse<'_> {
    pub(crate) fn handle(&self) -> u32 {
        match self {
            Self::Persistent(handle, _) => *handle,
            Self::Made(key) => SaltKey::handle(key),
        }
    }

    pub(crate) fn name(&self) -> &Name {
        match self {
            Self::Persistent(_, name) => name,
            Self::Made(key) => key.name(),
        }
    }
}

/// The endorsement key `ek_type`, for a command whose HMAC covers its Name. If it is not persistent, it is made, authorized
/// in `session`, which must be proven.
pub(crate) fn in_use<'op>(
    op: &'op Operation<'op>,
    ek_type: EkType,
    session: &Session<'op>,
    endorsement: &EndorsementAuth,
) -> Result<EkInUse<'op>> {
    match find(op, ek_type) {
        Ok(Some(ek)) => Ok(EkInUse::Persistent(ek_type.handle(), ek.name)),
        Ok(None) | Err(Error::HandleOccupied(_)) => {
            make(op, ek_type, session, endorsement).map(EkInUse::Made)
        }
        Err(err) => Err(err),
    }
}

fn make<'op>(
    op: &'op Operation<'op>,
    ek_type: EkType,
    session: &Session<'op>,
    endorsement: &EndorsementAuth,
) -> Result<Primary<'op>> {
    let template = template::endorsement_key(ek_type)?;
    let proof = session.authorizes(endorsement.value());
    primary::create(op, Hierarchy::Endorsement, proof, &template).map_err(|err| {
        if [rc::VALUE, rc::KEY_SIZE, rc::CURVE]
            .iter()
            .any(|&code| err.is_rc(code))
        {
            Error::NotSupported(ek_type.name())
        } else {
            err
        }
    })
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
    let key = make(op, ek_type, &session, endorsement)?;
    let proof = session.authorizes(owner.value()).last();
    primary::persist(op, &key, ek_type.handle(), proof)?;
    Ok(Ek {
        ek_type,
        public: key.public().to_vec(),
        name: key.name().clone(),
    })
}

/// The intermediate certificates that the chip holds, between its endorsement keys and the manufacturer's root, each DER.
/// Skips NV indexes that cannot be read.
///
/// # Errors
///
/// Failures of the chip.
///
/// # Source
///
/// TCG EK Credential Profile, section 2.2.1.5 "EK Certificate Chain".
pub fn certificate_chain(op: &Operation<'_>) -> Result<Vec<Vec<u8>>> {
    let mut chain = Vec::new();
    let mut bytes = Vec::new();
    for index in info::handles(op, CHAIN.0, CHAIN.1)? {
        match nv::read_open(op, index) {
            Ok(contents) => bytes.extend(contents.unwrap_or_default()),
            // A certificate that reaches into this index is lost, so the next index begins a new one.
            Err(Error::NvUnreadable(_)) => chain.extend(split(&std::mem::take(&mut bytes))),
            Err(err) => return Err(err),
        }
    }
    chain.extend(split(&bytes));
    Ok(chain)
}

/// The certificates in the joined contents of the indexes. A certificate may continue in the next index, an
/// index may hold several, and manufacturers pad them. Stops at anything else.
fn split(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut chain = Vec::new();
    loop {
        let padding = rest.iter().take_while(|byte| matches!(byte, 0 | 0xff));
        rest = &rest[padding.count()..];
        let [0x30, 0x82, high, low, ..] = rest else {
            return chain;
        };
        let len = 4 + usize::from(u16::from_be_bytes([*high, *low]));
        let Some((der, after)) = rest.split_at_checked(len) else {
            return chain;
        };
        chain.push(der.to_vec());
        rest = after;
    }
}

/// The NV indexes of the intermediate certificates.
const CHAIN: (u32, u32) = (0x01c0_0100, 0x01c0_01ff);

/// The endorsement keys for which the chip has a certificate, in the order of [`EkType::ALL`]. One command.
///
/// # Errors
///
/// Failures of the chip.
pub fn certified(op: &Operation<'_>) -> Result<Vec<EkType>> {
    let indexes = info::handles(op, CERTIFICATES.0, CERTIFICATES.1)?;
    let has = |ek_type: &EkType| indexes.contains(&ek_type.certificate_index());
    Ok(EkType::ALL.into_iter().filter(has).collect())
}

/// The NV indexes of the certificates of all types.
const CERTIFICATES: (u32, u32) = (0x01c0_0002, 0x01c0_001e);

/// The manufacturer's certificate of an endorsement key, DER, if the chip holds one.
///
/// Some manufacturers pad the index; the padding after the certificate is removed. An index that was defined and never written, or
/// that is empty, holds none.
///
/// # Errors
///
/// [`Error::NvUnreadable`] if the index cannot be read; failures of the chip.
pub fn certificate(op: &Operation<'_>, ek_type: EkType) -> Result<Option<Vec<u8>>> {
    let contents = nv::read_open(op, ek_type.certificate_index())?;
    let contents = contents.filter(|contents| !contents.is_empty());
    Ok(contents.map(|mut der| {
        if let [0x30, 0x82, high, low, ..] = der[..] {
            der.truncate(4 + usize::from(u16::from_be_bytes([high, low])));
        }
        der
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_split_also_where_indexes_are_padded() {
        let certificate =
            |fill: u8, len: u8| [&[0x30, 0x82, 0, len][..], &vec![fill; len.into()]].concat();
        let (one, two) = (certificate(1, 3), certificate(0xff, 200));
        for padding in [&[][..], &[0; 7], &[0xff; 9]] {
            let bytes = [&one, padding, &two, padding].concat();
            assert_eq!(split(&bytes), [one.clone(), two.clone()], "{padding:?}");
        }
        // What is cut short or is something else ends the list.
        assert_eq!(
            split(&[&one[..], &two[..100]].concat()),
            std::slice::from_ref(&one)
        );
        assert_eq!(split(&[&one[..], b"text", &two].concat()), [one]);
        assert!(split(&[]).is_empty());
    }
}
