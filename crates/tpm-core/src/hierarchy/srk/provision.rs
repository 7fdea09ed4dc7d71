//! Making a storage root key.

use crate::{
    Error, Operation, OwnerAuth, Result, Srk,
    chip::get_capability::storage_kind,
    command::{CommandCode, exception::Exception, session::Session},
    error::rc,
    hierarchy::{
        primary::{self, Primary},
        srk::fitness::Found,
    },
    structures::{hierarchy::Hierarchy, template},
};

impl Srk {
    /// The SRK at its persistent handle; where there is none, it is made from the TCG's
    /// template and, where the chip has room, made persistent.
    ///
    /// What is there and cannot serve ([`Srk::unfit`]) stays, as others may use it: one of our
    /// own is then made at [`Srk::OWN_HANDLE`].
    ///
    /// `owner` is the owner hierarchy's authorization value. This is the first use, which trusts
    /// the key that it finds: the chip shows that it holds the private half, but nothing here
    /// says that it is a genuine chip. Keep the key, and show its [`name`](Self::name).
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] if `owner` is wrong: only the owner can make an SRK.
    /// [`Error::OtherTpm`] if the chip does not hold the key that it shows.
    pub fn find_or_create(op: &Operation<'_>, owner: &OwnerAuth) -> Result<Self> {
        let handle = match Self::look(op)? {
            Found::Fit(srk) => return srk.proven(op),
            Found::Nothing => Self::HANDLE,
            Found::Unfit(_) => match Self::find_own(op)? {
                Some(srk) => return srk.proven(op),
                None => Self::OWN_HANDLE,
            },
        };
        let (key, made) = Self::make(op, owner)?;
        let session = Session::proven(op, &key)?;
        match primary::persist(op, &key, handle, session.authorizes(owner.value()).last()) {
            Ok(()) => Ok(Self { handle, ..made }),
            // Somebody else was quicker.
            Err(err) if err.is_rc(rc::NV_DEFINED) => {
                drop((session, key));
                // What somebody else has at our handle is not in the way of a transient one.
                Self::find_serving(op)?.unwrap_or(made).proven(op)
            }
            // It is the same key, only made anew each time, for which an owner's password would
            // be needed each time.
            Err(Error::NvSpace) if owner.is_empty() => Ok(made),
            Err(err) => Err(err),
        }
    }

    /// Makes the SRK anew from the TCG's template, in place of whatever is at its handle.
    ///
    /// Keys below the old one are lost, unless that came from the same template and differed
    /// by its authorization value alone: then it is the same key again.
    ///
    /// # Errors
    ///
    /// As for [`Srk::find_or_create`]. What is there stays if the new one cannot be made.
    pub fn make_anew(op: &Operation<'_>, owner: &OwnerAuth) -> Result<Self> {
        let (key, made) = Self::make(op, owner)?;
        if let Some((_, name)) = primary::read_public(op, Self::HANDLE, Exception::ClaimedName)? {
            let session = Session::proven(op, &key)?;
            primary::remove(
                op,
                Self::HANDLE,
                &name,
                session.authorizes(owner.value()).last(),
            )?;
        }
        let session = Session::proven(op, &key)?;
        primary::persist(
            op,
            &key,
            Self::HANDLE,
            session.authorizes(owner.value()).last(),
        )?;
        Ok(Self {
            handle: Self::HANDLE,
            ..made
        })
    }

    /// This key, after the chip has shown that it holds it.
    fn proven(self, op: &Operation<'_>) -> Result<Self> {
        self.prove(op)?;
        Ok(self)
    }

    /// Makes an SRK in a transient slot.
    ///
    /// The reply is authenticated by a key that is made for this and thrown away. On a chip that
    /// takes minutes for such a key, and whose owner has no password to protect, that is spared:
    /// what comes back is compared with the template.
    fn make<'op>(op: &'op Operation<'op>, owner: &OwnerAuth) -> Result<(Primary<'op>, Self)> {
        let kind = storage_kind(op)?;
        let template = template::storage_root_key(kind)?;
        let key = if kind.is_rsa() && owner.is_empty() {
            primary::create_unauthenticated(op, &template, Exception::FirstUse)?
        } else {
            let root = primary::throw_away(op, &template)?;
            let session = Session::proven(op, &root)?;
            drop(root);
            let proof = session.authorizes(owner.value()).last();
            primary::create(op, Hierarchy::Owner, proof, &template)?
        };
        // The template ends in a public key that is to be filled in: a modulus of zeros with its
        // length, or two empty coordinates.
        let unique = if kind.is_rsa() { 2 + 256 } else { 2 + 2 };
        if !key
            .public()
            .starts_with(&template[..template.len() - unique])
        {
            return Err(Error::ReplyForged {
                command: CommandCode::CreatePrimary,
            });
        }
        let made = Self {
            handle: 0,
            public: key.public().to_vec(),
            name: key.name().clone(),
        };
        Ok((key, made))
    }
}
