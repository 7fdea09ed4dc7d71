//! A private key that was made outside of the chip, on its way into it.

use std::fmt;

use num_bigint_dig::{BigUint, prime::probably_prime};
use tpm_wire::{Put, algorithm};
use zeroize::Zeroizing;

use crate::{
    Curve, Error, KeyType, PublicKey, Result,
    command::crypto,
    secret::Locked,
    structures::{kinds::Usage, name::Name, template},
};

/// A private key that was made outside of the chip, and checked to be sound.
///
/// It can only be wrapped for an [`ArrivalKey`](crate::ArrivalKey); it does not sign. The private
/// number is kept out of swap space, as far as the system lets this process lock memory, and is
/// wiped when this is dropped. So is the form that is wrapped.
///
/// The checks need copies of the numbers in memory that is not locked: the stack for an ECDSA key,
/// the heap for an RSA key. The copies are wiped, but not all intermediate results of an RSA check.
/// A program that imports keys writes no core file.
pub struct SoftwareKey {
    public: PublicKey,
    /// ECC: the scalar, as long as the field. RSA: one prime, half as long as the modulus.
    secret: Locked,
}

/// The numbers of an RSA private key, each most significant byte first; zeros in front count for
/// nothing.
#[derive(Clone, Copy)]
pub struct RsaNumbers<'a> {
    /// The modulus.
    pub n: &'a [u8],
    /// The public exponent.
    pub e: &'a [u8],
    /// The private exponent.
    pub d: &'a [u8],
    /// One prime.
    pub p: &'a [u8],
    /// The other prime.
    pub q: &'a [u8],
    /// The inverse of `q` modulo `p`.
    pub iqmp: &'a [u8],
}

/// The numbers are secret.
impl fmt::Debug for RsaNumbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaNumbers(…)")
    }
}

impl SoftwareKey {
    /// An ECDSA key: the scalar `d`, and the point (`x`, `y`) that is to belong to it. All of them
    /// are most significant byte first; zeros in front count for nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Unsound`] for a scalar that is 0 or not below the order of the curve, and for a
    /// point that is not its own.
    pub fn ecdsa(curve: Curve, d: &[u8], x: &[u8], y: &[u8]) -> Result<Self> {
        const RANGE: Error = Error::Unsound("its private number is out of range");
        let size = curve.field_size();
        let d = trimmed(d);
        let missing = size.checked_sub(d.len()).ok_or(RANGE)?;
        let mut secret = Locked::zeroed(size);
        secret.bytes_mut()[missing..].copy_from_slice(d);
        let point = match curve {
            Curve::P256 => p256_point(secret.bytes()),
            Curve::P384 => p384_point(secret.bytes()),
            Curve::P521 => p521_point(secret.bytes()),
        };
        let point = point.ok_or(RANGE)?;
        let (x, y) = match (curve.pad(trimmed(x)), curve.pad(trimmed(y))) {
            (Ok(x), Ok(y)) if point == PublicKey::sec1(curve, &x, &y) => (x, y),
            _ => return Err(HALVES),
        };
        let public = PublicKey::Ecc { curve, x, y };
        public.check()?;
        Ok(Self { public, secret })
    }

    /// An RSA key of 2048 or 3072 bits with the public exponent 65537.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] for another size or exponent and for a modulus with the ROCA weakness;
    /// [`Error::Unsound`] for numbers that do not belong together: factors that are not prime, not
    /// half as long as the modulus or too near to each other, exponents that are not each other's
    /// inverse.
    pub fn rsa(numbers: &RsaNumbers<'_>) -> Result<Self> {
        let n = trimmed(numbers.n);
        let e = match trimmed(numbers.e) {
            [1, 0, 1] => EXPONENT,
            // Refused below, whatever it is.
            _ => 0,
        };
        let public = PublicKey::Rsa { n: n.to_vec(), e };
        let key_type = Self::check_public(&public)?;
        check_rsa(numbers, usize::from(key_type.bits()))?;
        let p = trimmed(numbers.p);
        let mut secret = Locked::zeroed(p.len());
        secret.bytes_mut().copy_from_slice(p);
        Ok(Self { public, secret })
    }

    /// Checks the public half alone, before anybody is asked for the private half. Returns the key type.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] for an RSA key of another size or public exponent than
    /// [`SoftwareKey::rsa`] takes, for a modulus with the ROCA weakness, and for a point that is not
    /// on its curve.
    pub fn check_public(public: &PublicKey) -> Result<KeyType> {
        const SIZE: Error = Error::KeyRefused("its size is not 2048 or 3072 bits");
        let key_type = public.key_type().ok_or(SIZE)?;
        if let PublicKey::Rsa { n, e } = public {
            // The top bit is set in every modulus of that many bits.
            if n[0] < 0x80 {
                return Err(SIZE);
            }
            if *e != EXPONENT {
                return Err(Error::KeyRefused("its public exponent is not 65537"));
            }
        }
        public.check()?;
        Ok(key_type)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Its kind.
    ///
    /// # Panics
    ///
    /// Never: a key of any other kind is not made.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.public
            .key_type()
            .expect("the size was checked when this was made")
    }

    /// The public area that it gets in a chip.
    pub(crate) fn public_area(&self, usage: Usage) -> Result<Vec<u8>> {
        let mut area = template::imported_key_head(self.key_type(), usage)?;
        match &self.public {
            PublicKey::Rsa { n, .. } => area.put_sized(n),
            PublicKey::Ecc { x, y, .. } => {
                area.put_sized(x);
                area.put_sized(y);
            }
        }
        Ok(area)
    }

    /// Wraps the private part for the storage key `parent`, a `TPMT_PUBLIC` with SHA-256 and
    /// AES-128, as the object whose Name is `name`. The holder of that key can read it.
    pub(crate) fn wrap_for(&self, parent: &[u8], name: &Name) -> Result<Wrapped> {
        let seed = crypto::seed_to(parent)?;
        // TPMT_SENSITIVE behind its length: type; authorization value and seed, both empty; the
        // private number. Part 2, section 12.3.2.4.
        let secret = self.secret.bytes();
        let len = u16::try_from(secret.len()).map_err(|_| HALVES)?;
        // The bytes before the number, which are not secret.
        let mut head = Vec::with_capacity(10);
        head.put_u16(len + 8);
        head.put_u16(match self.public {
            PublicKey::Rsa { .. } => algorithm::RSA,
            PublicKey::Ecc { .. } => algorithm::ECC,
        });
        head.put_sized(&[]);
        head.put_sized(&[]);
        head.put_u16(len);
        let mut sensitive = Locked::zeroed(head.len() + secret.len());
        let (front, number) = sensitive.bytes_mut().split_at_mut(head.len());
        front.copy_from_slice(&head);
        number.copy_from_slice(secret);
        let integrity = crypto::wrap_outer(&seed.secret, name, sensitive.bytes_mut());
        let mut duplicate = Vec::with_capacity(sensitive.bytes().len() + 34);
        duplicate.put_sized(&integrity);
        duplicate.extend_from_slice(sensitive.bytes());
        Ok(Wrapped {
            duplicate,
            seed: seed.encrypted,
        })
    }
}

/// The private number is never printed.
impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// A private part that only one storage key can read.
#[derive(Debug)]
pub(crate) struct Wrapped {
    /// The contents of the `TPM2B_PRIVATE`: integrity, then what is encrypted.
    pub(crate) duplicate: Vec<u8>,
    /// The contents of the `TPM2B_ENCRYPTED_SECRET`.
    pub(crate) seed: Vec<u8>,
}

/// The public exponent of every RSA key that is taken.
const EXPONENT: u32 = 65_537;

const HALVES: Error = Error::Unsound("its halves do not belong together");

/// Without the zeros in front.
fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

macro_rules! point {
    ($name:ident, $curve:ident) => {
        /// The point of a scalar that is as long as the field, in the form of
        /// [`PublicKey::sec1`]; `None` for one out of range.
        fn $name(d: &[u8]) -> Option<Vec<u8>> {
            use $curve::elliptic_curve::sec1::ToEncodedPoint;
            let secret = $curve::SecretKey::from_slice(d).ok()?;
            let point = secret.public_key().to_encoded_point(false);
            Some(point.as_bytes().to_vec())
        }
    };
}

point!(p256_point, p256);
point!(p384_point, p384);
point!(p521_point, p521);

/// How many bases the Miller-Rabin test of a factor has. A Lucas test is done as well, so a
/// composite number that passes would be a counterexample to Baillie-PSW; none is known.
const ROUNDS: usize = 20;

/// Checks that the numbers of an RSA key of `bits` bits belong together.
///
/// # Source
///
/// FIPS 186-5, section A.1.1 (the distance of the primes); SP 800-56B rev. 2, section 6.4.1.2.
fn check_rsa(numbers: &RsaNumbers<'_>, bits: usize) -> Result<()> {
    let unsound = |why| Err(Error::Unsound(why));
    let number = |bytes| Zeroizing::new(BigUint::from_bytes_be(bytes));
    let one = BigUint::from(1_u8);
    let (p, q) = (number(numbers.p), number(numbers.q));
    let (d, iqmp) = (number(numbers.d), number(numbers.iqmp));
    if p.bits() != bits / 2 || q.bits() != bits / 2 {
        return unsound("its factors are not half as long as its modulus");
    }
    if *Zeroizing::new(&*p * &*q) != BigUint::from_bytes_be(numbers.n) {
        return Err(HALVES);
    }
    let distance = Zeroizing::new(if *p > *q { &*p - &*q } else { &*q - &*p });
    if distance.bits() <= bits / 2 - 100 {
        return unsound("its factors are too near to each other");
    }
    if !probably_prime(&p, ROUNDS) || !probably_prime(&q, ROUNDS) {
        return unsound("its factors are not prime");
    }
    let product = Zeroizing::new(&*d * BigUint::from(EXPONENT));
    for factor in [&p, &q] {
        let order = Zeroizing::new(&**factor - &one);
        if *Zeroizing::new(&*product % &*order) != one {
            return Err(HALVES);
        }
    }
    let product = Zeroizing::new(&*iqmp * &*q);
    if *Zeroizing::new(&*product % &*p) != one {
        return Err(HALVES);
    }
    Ok(())
}
