//! Whether the key at the storage root key's handle can serve.

use tpm_wire::{Reader, algorithm};

use crate::{
    AuthValue, Entity, Error, Operation, Result, Srk,
    command::{policy::no_command, session::Session},
    structures::attributes,
};

/// Why the key at [`Srk::HANDLE`] cannot serve. This crate leaves such a key alone, because other
/// programs may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It is not a storage key.
    #[error("another key is in its place")]
    Foreign,
    /// Its algorithms are not SHA-256 and AES-128. A token key below it would need the same ones.
    #[error("it has other algorithms than SHA-256 and AES-128")]
    Algorithms,
    /// It has an authorization value.
    #[error("it has a password")]
    Password,
    /// The chip refuses to read a salt with it.
    #[error("the TPM opens no session with it")]
    Unsaltable,
}

/// The object at [`Srk::HANDLE`].
pub(super) enum Found {
    Nothing,
    Fit(Srk),
    Unfit(Unfit),
}

impl Srk {
    /// The SRK to use: the one at [`Srk::HANDLE`] if it can serve, otherwise the one at
    /// [`Srk::OWN_HANDLE`].
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn find_serving(op: &Operation<'_>) -> Result<Option<Self>> {
        match Self::look(op)? {
            Found::Fit(srk) => Ok(Some(srk)),
            Found::Nothing => Ok(None),
            Found::Unfit(_) => Self::find_own(op),
        }
    }

    /// Why the key at [`Srk::HANDLE`] cannot serve; `None` if it can, or if there is none.
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn unfit(op: &Operation<'_>) -> Result<Option<Unfit>> {
        Ok(match Self::look(op)? {
            Found::Unfit(why) => Some(why),
            Found::Nothing | Found::Fit(_) => None,
        })
    }

    pub(super) fn look(op: &Operation<'_>) -> Result<Found> {
        let srk = match Self::find(op) {
            Ok(Some(srk)) => srk,
            Ok(None) => return Ok(Found::Nothing),
            Err(Error::HandleOccupied(_)) => return Ok(Found::Unfit(Unfit::Foreign)),
            Err(err) => return Err(err),
        };
        Ok(match srk.fitness(op)? {
            None => Found::Fit(srk),
            Some(why) => Found::Unfit(why),
        })
    }

    fn fitness(&self, op: &Operation<'_>) -> Result<Option<Unfit>> {
        if !self.has_our_algorithms() {
            return Ok(Some(Unfit::Algorithms));
        }
        if !self.takes_salts(op)? {
            return Ok(Some(Unfit::Unsaltable));
        }
        let password = self.has_password(op)? == Some(true);
        Ok(password.then_some(Unfit::Password))
    }

    /// The key at [`Srk::OWN_HANDLE`], if there is one and it can serve.
    pub(crate) fn find_own(op: &Operation<'_>) -> Result<Option<Self>> {
        match Self::find_at(op, Self::OWN_HANDLE) {
            Ok(Some(srk)) if srk.fitness(op)?.is_none() => Ok(Some(srk)),
            Ok(_) | Err(Error::HandleOccupied(_)) => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// A fixed-parent storage key below another has to have its parent's name algorithm and
    /// symmetric algorithm (part 3, section 12.1, on the checks of `TPM2_Create`).
    fn has_our_algorithms(&self) -> bool {
        // Type, name algorithm, attributes; policy with its length; AES, 128 bits, CFB.
        let sha_256 = self.public.get(2..4) == Some(&algorithm::SHA256.to_be_bytes()[..]);
        let mut reader = Reader::new(&self.public, "storage root key");
        let symmetric = reader
            .take(8)
            .and_then(|_| reader.sized())
            .and_then(|_| Ok([reader.u16()?, reader.u16()?, reader.u16()?]));
        sha_256 && symmetric.is_ok_and(|found| found == [algorithm::AES, 128, algorithm::CFB])
    }

    /// Whether the chip starts a session that is salted to it.
    fn takes_salts(&self, op: &Operation<'_>) -> Result<bool> {
        match Session::hmac(op, &self.open(op)?) {
            Ok(_) => Ok(true),
            Err(Error::Command { .. }) => Ok(false),
            Err(err) => Err(err),
        }
    }

    /// Whether it has an authorization value. This crate, and most programs, cannot use it then.
    ///
    /// `None` if the chip would count the test as a wrong authorization.
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn has_password(&self, op: &Operation<'_>) -> Result<Option<bool>> {
        if self.handle == 0 {
            return Ok(Some(false));
        }
        if self.attributes()? & attributes::NO_DA == 0 {
            return Ok(None);
        }
        let root = self.open(op)?;
        let session = Session::proven(op, &root)?;
        let policy = Session::unsalted_policy(op)?;
        let none = AuthValue::empty();
        let holder = (self.handle, &self.name, Entity::Srk);
        match policy.prove_secret(holder, session.authorizes(&none).last(), &no_command()) {
            Ok(()) => Ok(Some(false)),
            Err(Error::AuthRejected { .. }) => Ok(Some(true)),
            Err(err) => Err(err),
        }
    }
}
