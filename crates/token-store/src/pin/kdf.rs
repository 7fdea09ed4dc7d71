//! Derives the chip's authorization value from a PIN.

use argon2::{Algorithm, Argon2, AssociatedData, Block, ParamsBuilder, Version};
use rand_core::{OsRng, RngCore};
use tpm_core::{AuthValue, PinAuth, SoAuth};
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, Pin, Result, Role, SoPin};

/// The length of a salt in bytes.
pub(crate) const SALT_LEN: usize = 16;
/// The length of the derived value: the longest authorization value of a TPM.
const LEN: usize = AuthValue::MAX;

/// Argon2id with the parameters of one token.
///
/// The first protection is the chip, which counts tries. This is the second, for the case that a
/// laboratory extracts the chip's secrets or that a login is recorded on the bus.
///
/// Both PINs have the same salt, because the role is part of the input (as associated data). The
/// salt stays the same for the life of the token. A new salt for each new PIN would have to be
/// written to the disk before the chip changes, and removed if the chip fails. With a constant
/// salt, changing a counter's PIN is one TPM command without a write, which a kill cannot split.
/// This weakens nothing: a salt makes one table of guesses useless for a second token, and the
/// store has no value to compare a guess with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kdf {
    pub(crate) salt: [u8; SALT_LEN],
    /// Memory in KiB.
    pub(crate) memory: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

impl Kdf {
    /// Parameters of new tokens: the first recommendation of OWASP's password storage cheat sheet.
    const MEMORY: u32 = 19 * 1024;
    const PASSES: u32 = 2;
    const LANES: u32 = 1;

    /// The least memory that is accepted from a store.
    const MIN_MEMORY: u32 = if cfg!(debug_assertions) {
        Self::TEST_MEMORY
    } else {
        Self::MEMORY
    };
    /// The memory for tokens of tests, which protect nothing.
    const TEST_MEMORY: u32 = 64;

    /// The most memory that is accepted from a store: a login then takes 256 MiB and some seconds.
    const MAX_MEMORY: u32 = 256 * 1024;
    const MAX_PASSES: u32 = 16;
    const MAX_LANES: u32 = 4;

    /// The parameters of new tokens and a new salt.
    pub(crate) fn new() -> Self {
        let mut salt = [0; SALT_LEN];
        OsRng.fill_bytes(&mut salt);
        Self {
            salt,
            memory: Self::new_memory(),
            passes: Self::PASSES,
            lanes: Self::LANES,
        }
    }

    /// The memory of a new token's derivation in KiB.
    ///
    /// Tests make hundreds of tokens, so they set a variable. Only a build with debug assertions
    /// reads it: CI checks that its name is not in the released program and module.
    fn new_memory() -> u32 {
        #[cfg(debug_assertions)]
        if std::env::var_os("TPMSSH_TEST_KDF").is_some_and(|cost| cost == "cheap") {
            return Self::TEST_MEMORY;
        }
        Self::MEMORY
    }

    /// Parameters from a store.
    ///
    /// Lower ones are refused because an attacker may have weakened the store to guess a PIN that
    /// is set later; higher ones because an attacker may want to lock the owner out.
    pub(crate) fn from_stored(salt: &[u8], memory: u32, passes: u32, lanes: u32) -> Result<Self> {
        let in_range = (Self::MIN_MEMORY..=Self::MAX_MEMORY).contains(&memory)
            && (Self::PASSES..=Self::MAX_PASSES).contains(&passes)
            && (Self::LANES..=Self::MAX_LANES).contains(&lanes);
        if !in_range {
            return Err(Error::corrupt(
                "the cost of the PIN derivation is out of range",
            ));
        }
        let salt = salt
            .try_into()
            .map_err(|_| Error::corrupt("a salt has a wrong length"))?;
        Ok(Self {
            salt,
            memory,
            passes,
            lanes,
        })
    }

    /// The authorization value of a user PIN.
    pub(crate) fn user(&self, pin: &Pin) -> Result<PinAuth> {
        self.auth(Role::User, pin.bytes()).map(PinAuth::from)
    }

    /// The authorization value of an SO PIN.
    pub(crate) fn so(&self, pin: &SoPin) -> Result<SoAuth> {
        self.auth(Role::So, pin.bytes()).map(SoAuth::from)
    }

    fn auth(&self, role: Role, pin: &[u8]) -> Result<AuthValue> {
        Ok(AuthValue::new(&*self.derive(role, pin)?)?)
    }

    fn derive(&self, role: Role, pin: &[u8]) -> Result<Zeroizing<[u8; LEN]>> {
        let label: &[u8] = match role {
            Role::User => b"tpmssh user PIN",
            Role::So => b"tpmssh SO PIN",
        };
        let params = AssociatedData::new(label)
            .and_then(|label| {
                ParamsBuilder::new()
                    .m_cost(self.memory)
                    .t_cost(self.passes)
                    .p_cost(self.lanes)
                    .output_len(LEN)
                    .data(label)
                    .build()
            })
            .map_err(|_| Error::corrupt("the cost of the PIN derivation is out of range"))?;
        let mut memory = Memory::new(params.block_count())?;
        let mut out = Zeroizing::new([0; LEN]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(pin, &self.salt, &mut *out, &mut memory.0)
            .map_err(|_| Error::OutOfMemory)?;
        keep_length(&mut out);
        Ok(out)
    }
}

/// Makes the last byte non-zero.
///
/// A TPM removes trailing zeros from authorization values, and clients differ in where they do so.
/// A value without trailing zeros is the same in all of them. 1 in 256 of the 2^256 values is
/// mapped to another one, which costs a hundredth of a bit.
fn keep_length(value: &mut [u8; LEN]) {
    if value[LEN - 1] == 0 {
        value[LEN - 1] = 1;
    }
}

/// Argon2's working memory, wiped when dropped.
struct Memory(Vec<Block>);

impl Memory {
    /// The least number of blocks that is allocated. Unused pages cost only address space.
    ///
    /// glibc raises its mmap threshold after a large free and then keeps such blocks, so that an
    /// agent would grow with its first logins. Above 32 MiB it always unmaps
    /// (`DEFAULT_MMAP_THRESHOLD_MAX`, mallopt(3)).
    const LEAST: usize = 32 * 1024 * 1024 / Block::SIZE;

    /// Allocates memory; an error if there is not enough, because a module in `ssh` must not abort
    /// the process.
    fn new(blocks: usize) -> Result<Self> {
        let mut memory = Vec::new();
        memory
            .try_reserve_exact(blocks.max(Self::LEAST))
            .map_err(|_| Error::OutOfMemory)?;
        memory.resize(blocks, Block::new());
        Ok(Self(memory))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fixed() -> Kdf {
        Kdf {
            salt: [7; SALT_LEN],
            ..Kdf::new()
        }
    }

    #[test]
    fn the_derivation_depends_on_role_pin_and_salt_alone() {
        let user = fixed().derive(Role::User, b"1234").unwrap();
        let so = fixed().derive(Role::So, b"1234").unwrap();
        assert_ne!(*user, *so, "the role makes another value");
        assert_eq!(*user, *fixed().derive(Role::User, b"1234").unwrap());
        assert_ne!(*user, *fixed().derive(Role::User, b"12345").unwrap());
        assert_ne!(*user, *Kdf::new().derive(Role::User, b"1234").unwrap());
    }

    #[test]
    fn no_value_ends_in_a_zero() {
        for last in 0..=u8::MAX {
            let mut value = [0xaa; LEN];
            value[LEN - 1] = last;
            keep_length(&mut value);
            assert_ne!(value[LEN - 1], 0);
            assert!(last == 0 || value[LEN - 1] == last);
        }
    }

    #[test]
    fn costs_out_of_range_are_a_corrupt_store() {
        let Kdf {
            salt,
            memory,
            passes,
            lanes,
        } = Kdf::new();
        assert_eq!(
            Kdf::from_stored(&salt, memory, passes, lanes).unwrap(),
            Kdf { salt, ..Kdf::new() }
        );
        for (memory, passes, lanes) in [
            (8, 2, 1),
            (memory, 1, 1),
            (memory, 2, 0),
            (u32::MAX, 2, 1),
            (memory, 17, 1),
            (memory, 2, 5),
        ] {
            assert!(
                Kdf::from_stored(&salt, memory, passes, lanes).is_err(),
                "{memory} {passes} {lanes}"
            );
        }
        assert!(Kdf::from_stored(&salt[1..], memory, passes, lanes).is_err());
    }

    proptest! {
        #[test]
        fn any_stored_parameters_are_taken_or_refused(
            salt in proptest::collection::vec(any::<u8>(), 0..20),
            memory: u32, passes in 0..20_u32, lanes in 0..6_u32,
        ) {
            if let Ok(kdf) = Kdf::from_stored(&salt, memory, passes, lanes) {
                prop_assert!(kdf.memory <= Kdf::MAX_MEMORY);
            }
        }
    }
}
