//! PINs: two types that cannot be swapped. Malformed ones are refused before they can cost a try.

use std::fmt;

use rand_core::{OsRng, RngCore};
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

mod file;
mod kdf;

pub use file::SoPinFile;
pub(crate) use kdf::Kdf;

/// The longest PIN, in bytes after normalization.
pub const MAX_PIN_LEN: usize = 256;
/// The shortest user PIN, in bytes after normalization.
pub const MIN_PIN_LEN: usize = 4;
/// The shortest SO PIN, in characters.
pub const MIN_SO_PIN_CHARS: usize = 8;

/// The role that a PIN belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The user, who signs.
    User,
    /// The security officer, who resets the user's PIN and cannot sign.
    So,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "PIN",
            Self::So => "SO PIN",
        })
    }
}

/// Why bytes are not a valid PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// Too short.
    #[error("{}", too_short(*.role, *.min))]
    TooShort {
        /// Whose PIN it was to be.
        role: Role,
        /// The least length: bytes for a user PIN, characters for an SO PIN.
        min: usize,
    },
    /// Longer than [`MAX_PIN_LEN`].
    #[error("a PIN has at most {MAX_PIN_LEN} bytes")]
    TooLong,
    /// It contains a control character, such as a NUL, at which some programs would cut it, or the
    /// line feed of the file that it was read from.
    #[error("a PIN cannot contain control characters")]
    Control,
    /// It is not UTF-8, so equal PINs on two keyboards could differ.
    #[error("a PIN must be UTF-8 text")]
    NotUtf8,
}

/// A user's PIN: UTF-8 without control characters, 4 to 256 bytes, in Unicode normalization form C.
///
/// Wiped when dropped and never printed. Leading and trailing spaces count.
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// A PIN from typed bytes.
    ///
    /// # Errors
    ///
    /// [`PinError`]: such bytes are never sent to the TPM, so they cost no try.
    pub fn new(typed: &[u8]) -> Result<Self, PinError> {
        let text = normalized(typed)?;
        if text.len() < MIN_PIN_LEN {
            return Err(PinError::TooShort {
                role: Role::User,
                min: MIN_PIN_LEN,
            });
        }
        Ok(Self(text))
    }

    /// A random PIN of 100 bits, for a program that keeps it in a file and that nobody types it for.
    #[must_use]
    pub fn generate() -> Self {
        Self(random_text())
    }

    /// The normalized bytes, for handing the PIN on to another process of this user.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A security officer's PIN: UTF-8 without control characters, at least 8 characters and at most 256 bytes.
///
/// Wiped when dropped and never printed, except by [`SoPin::reveal`] when a generated one is shown
/// once.
pub struct SoPin(Zeroizing<String>);

impl SoPin {
    /// An SO PIN from typed bytes.
    ///
    /// # Errors
    ///
    /// [`PinError`]: such bytes are never sent to the TPM, so they cost no try.
    pub fn new(typed: &[u8]) -> Result<Self, PinError> {
        let text = normalized(typed)?;
        if text.chars().count() < MIN_SO_PIN_CHARS {
            return Err(PinError::TooShort {
                role: Role::So,
                min: MIN_SO_PIN_CHARS,
            });
        }
        Ok(Self(text))
    }

    /// A random SO PIN of 100 bits, as four groups of five letters and digits.
    ///
    /// It has 100 bits because on a machine with an empty lockout authorization a thief can reset
    /// the chip's lockout and go on guessing. The alphabet lacks `i`, `l`, `o` and `u`, which are
    /// easily misread on paper.
    #[must_use]
    pub fn generate() -> Self {
        Self(random_text())
    }

    /// The text, to be shown once and written down.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The normalized bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

impl fmt::Debug for SoPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoPin(…)")
    }
}

/// The message of [`PinError::TooShort`].
fn too_short(role: Role, min: usize) -> String {
    match role {
        Role::User => format!("a PIN has at least {min} bytes"),
        Role::So => format!("an SO PIN has at least {min} characters"),
    }
}

/// 100 random bits, as four groups of five letters and digits.
fn random_text() -> Zeroizing<String> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut random = Zeroizing::new([0; 20]);
    OsRng.fill_bytes(&mut *random);
    let mut text = Zeroizing::new(String::with_capacity(23));
    for (i, byte) in random.iter().enumerate() {
        if i > 0 && i % 5 == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    text
}

/// The typed text in normalization form C, so that the same text typed on two systems is the same
/// PIN; an error if it is not a valid PIN.
fn normalized(typed: &[u8]) -> Result<Zeroizing<String>, PinError> {
    // Form C is at least a third as long as its source, so this refuses no valid PIN, and it limits
    // the allocation below.
    if typed.len() > 3 * MAX_PIN_LEN {
        return Err(PinError::TooLong);
    }
    let typed = std::str::from_utf8(typed).map_err(|_| PinError::NotUtf8)?;
    if typed.chars().any(char::is_control) {
        return Err(PinError::Control);
    }
    // Enough for the longest expansion under form C, so that the text never grows and leaves a copy
    // behind.
    let mut text = Zeroizing::new(String::with_capacity(3 * typed.len()));
    text.extend(typed.nfc());
    if text.len() > MAX_PIN_LEN {
        text.zeroize();
        return Err(PinError::TooLong);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(typed: &[u8]) -> PinError {
        Pin::new(typed).expect_err("a malformed PIN was taken")
    }

    #[test]
    fn bytes_that_are_nobodys_pin_are_refused() {
        let short = PinError::TooShort {
            role: Role::User,
            min: 4,
        };
        assert_eq!(refusal(b""), short);
        assert_eq!(refusal(b"123"), short);
        assert_eq!(refusal(&[b'1'; 257]), PinError::TooLong);
        assert_eq!(refusal(&[b'1'; 1 << 20]), PinError::TooLong);
        assert_eq!(refusal(b"1234\0"), PinError::Control);
        assert_eq!(refusal(b"1234\r\n"), PinError::Control);
        assert_eq!(refusal(b"12\xff34"), PinError::NotUtf8);
        assert!(Pin::new(&[b'1'; 256]).is_ok());
        assert!(Pin::new("🔑".as_bytes()).is_ok());
    }

    #[test]
    fn the_messages_say_what_is_right() {
        assert_eq!(refusal(b"1").to_string(), "a PIN has at least 4 bytes");
        let err = SoPin::new(b"1234567").expect_err("seven characters were taken");
        assert_eq!(err.to_string(), "an SO PIN has at least 8 characters");
    }

    #[test]
    fn composed_and_decomposed_text_is_the_same_pin() {
        let composed = Pin::new("übergröße".as_bytes()).unwrap();
        let decomposed = Pin::new("u\u{308}bergro\u{308}ße".as_bytes()).unwrap();
        assert_eq!(composed.bytes(), decomposed.bytes());
    }

    #[test]
    fn spaces_at_the_ends_are_kept() {
        assert_eq!(Pin::new(b" 1234 ").unwrap().bytes(), b" 1234 ");
    }

    #[test]
    fn a_generated_so_pin_is_one_and_differs_each_time() {
        let pin = SoPin::generate();
        assert_eq!(pin.reveal().len(), 23);
        assert_eq!(
            SoPin::new(pin.reveal().as_bytes()).unwrap().bytes(),
            pin.bytes()
        );
        assert_ne!(pin.reveal(), SoPin::generate().reveal());
    }

    #[test]
    fn a_generated_pin_is_one_and_differs_each_time() {
        let pin = Pin::generate();
        assert_eq!(pin.bytes().len(), 23);
        assert_eq!(Pin::new(pin.bytes()).unwrap().bytes(), pin.bytes());
        assert_ne!(pin.bytes(), Pin::generate().bytes());
    }

    #[test]
    fn a_pin_is_never_printed() {
        assert_eq!(format!("{:?}", Pin::new(b"sesame").unwrap()), "Pin(…)");
        assert_eq!(format!("{:?}", SoPin::generate()), "SoPin(…)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(typed in proptest::collection::vec(any::<u8>(), 0..900)) {
            if let Ok(pin) = Pin::new(&typed) {
                prop_assert!((MIN_PIN_LEN..=MAX_PIN_LEN).contains(&pin.bytes().len()));
                prop_assert!(!pin.bytes().iter().any(u8::is_ascii_control));
            }
        }

        #[test]
        fn normalizing_twice_changes_nothing(typed in "\\PC{4,60}") {
            if let Ok(pin) = Pin::new(typed.as_bytes()) {
                let again = Pin::new(pin.bytes()).unwrap();
                prop_assert_eq!(pin.bytes(), again.bytes());
            }
        }
    }
}
