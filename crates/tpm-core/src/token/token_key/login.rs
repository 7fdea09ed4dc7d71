//! A login: the PIN's value is computed while the chip starts the session that proves it.

use std::{cell::OnceCell, fmt};

use super::{Sessions, TokenKey};
use crate::{KeyBlob, OpenSrk, PinAuth, ReadyKey, Result, command::session::Session};

/// The session of a login, which the chip started while this program did something else; see
/// [`OpenSrk::begin_login`].
#[must_use = "a session stays in the chip until this is dropped"]
pub struct Login<'op>(Session<'op>);

impl<'op> OpenSrk<'op> {
    /// Begins a login, and does `work` while the chip starts its session.
    ///
    /// `work` is to derive the PIN's value, which takes some tens of milliseconds: less than a chip
    /// needs to start a session. Nothing about the PIN is sent yet. `work` cannot use the
    /// [`Operation`](crate::Operation), which is not `Send`, and must not use its
    /// [`Tpm`](crate::Tpm). Time that it takes is not counted as the chip's.
    ///
    /// # Errors
    ///
    /// [`Error::OtherTpm`](crate::Error::OtherTpm); failures of the chip.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use tpm_core::{Operation, PinAuth, Result, Srk, TokenKey};
    /// fn log_in(
    ///     op: &Operation<'_>,
    ///     (srk, key): (&Srk, &TokenKey),
    ///     derive_pin: impl Fn() -> PinAuth + Send,
    /// ) -> Result<()> {
    ///     let root = srk.open(op)?;
    ///     let (login, pin) = root.begin_login(derive_pin)?;
    ///     key.open_in(login, &root, &pin, None).map(drop)
    /// }
    /// ```
    pub fn begin_login<T>(&self, work: impl Fn() -> T + Send) -> Result<(Login<'op>, T)> {
        let result = OnceCell::new();
        let once = || {
            result.get_or_init(&work);
        };
        let session = self.within(|| Session::hmac_meanwhile(self.op(), self, &once))?;
        Ok((Login(session), result.into_inner().unwrap_or_else(work)))
    }
}

impl TokenKey {
    /// As [`TokenKey::open`], in a session that was started before.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::open`].
    pub fn open_in<'op>(
        &'op self,
        Login(session): Login<'op>,
        root: &OpenSrk<'op>,
        pin: &'op PinAuth,
        first: Option<&KeyBlob>,
    ) -> Result<Option<ReadyKey>> {
        let sessions = Sessions::of(session);
        match first {
            Some(key) => self.load_key_in(root, pin, key, Some(sessions)).map(Some),
            None => root.within(|| {
                self.refuse_idle_pin(pin)?;
                self.unlock_in(root, pin, sessions)?
                    .prove_pin(root.op())
                    .map(|()| None)
            }),
        }
    }
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}
