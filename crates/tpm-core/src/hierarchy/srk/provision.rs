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
    /// The SRK at its persistent handle. If there is none, makes one from the TCG's template, and
    /// makes it persistent if the chip has room.
    ///
    /// A key at the handle that cannot serve ([`Srk::unfit`]) stays, because other programs may use
    /// it. The SRK is then made at [`Srk::OWN_HANDLE`].
    ///
    /// `owner` is the owner hierarchy's authorization value. This is trust on first use: the chip
    /// proves that it holds the private half, and nothing proves that it is a genuine chip. Pin the
    /// key, and show its [`name`](Self::name) to the user.
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] if `owner` is wrong: only the owner can make an SRK.
    /// [`Error::OtherTpm`] if the chip does not hold the key that it states.
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
            // Another program made one in the meantime.
            Err(err) if err.is_rc(rc::NV_DEFINED) => {
                drop((session, key));
                // Another key is at `OWN_HANDLE`: use the new one without a persistent handle.
                Self::find_serving(op)?.unwrap_or(made).proven(op)
            }
            // Without a persistent handle, each operation makes the same key again. That needs the
            // owner's password each time, so it is only an option if there is none.
            Err(Error::NvSpace) if owner.is_empty() => Ok(made),
            Err(err) => Err(err),
        }
    }

    /// Makes the SRK again from the TCG's template, in place of the object at its handle.
    ///
    /// Keys below the old one are lost, unless the old one came from the same template and differed
    /// only in its authorization value: then the new one is the same key.
    ///
    /// # Errors
    ///
    /// As for [`Srk::find_or_create`]. The old object stays if the new one cannot be made.
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
    /// A session that is salted to a temporary key authenticates the reply. The temporary key is
    /// left out if it would be an RSA key, which can take minutes, and the owner has no password to
    /// protect. In both cases the returned public area is compared with the template.
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
