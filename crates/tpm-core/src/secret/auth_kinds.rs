//! One type of authorization value for each kind of entity, so that two of them cannot be swapped
//! by mistake.

use crate::{AuthValue, Result};

macro_rules! auth_kinds {
    ($($(#[$doc:meta])+ $name:ident;)+) => {
        $(
            $(#[$doc])+
            ///
            /// Wiped when dropped and never printed, as [`AuthValue`] is.
            #[derive(Debug, Clone)]
            pub struct $name(AuthValue);

            impl $name {
                /// The empty value.
                #[must_use]
                pub fn empty() -> Self {
                    Self(AuthValue::empty())
                }

                /// A value from at most [`AuthValue::MAX`] bytes.
                ///
                /// # Errors
                ///
                /// [`Error::AuthTooLong`](crate::Error::AuthTooLong).
                pub fn new(bytes: &[u8]) -> Result<Self> {
                    AuthValue::new(bytes).map(Self)
                }

                /// 32 random bytes.
                #[must_use]
                pub fn random() -> Self {
                    Self(AuthValue::random())
                }

                /// Whether this is the empty value.
                #[must_use]
                pub fn is_empty(&self) -> bool {
                    self.0.is_empty()
                }

                /// The value without its kind.
                pub(crate) fn value(&self) -> &AuthValue {
                    &self.0
                }
            }

            impl From<AuthValue> for $name {
                fn from(value: AuthValue) -> Self {
                    Self(value)
                }
            }
        )+
    };
}

auth_kinds! {
    /// The authorization value of the owner hierarchy, which makes storage root keys and defines
    /// NV indexes. It is empty in a new chip.
    OwnerAuth;
    /// The authorization value of the endorsement hierarchy. It is empty in a new chip.
    EndorsementAuth;
    /// The authorization value of the lockout hierarchy. It is empty in a new chip.
    LockoutAuth;
    /// The authorization value of an [`SoObject`](crate::SoObject), derived from the SO PIN.
    SoAuth;
    /// The authorization value of a [`PinCounter`](crate::PinCounter), or of a
    /// [`TokenKey`](crate::TokenKey) behind the chip's lockout, derived from the user's PIN.
    PinAuth;
    /// The authorization value of a [`ChangeGuard`](crate::ChangeGuard). Use [`GuardAuth::random`]:
    /// the chip does not count wrong ones, so it must not be guessable.
    GuardAuth;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_printed_whatever_it_opens() {
        let pin = PinAuth::new(b"sesame").unwrap();
        assert_eq!(format!("{pin:?}"), "PinAuth(AuthValue(…))");
    }
}
