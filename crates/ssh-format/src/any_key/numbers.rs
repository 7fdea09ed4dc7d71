//! The fields of a public key, with the checks of OpenSSH.

use p256::elliptic_curve::bigint::ArrayEncoding;
use p256::elliptic_curve::{self, CurveArithmetic};

use crate::key_type::{Fields, KeyType};
use crate::public_key::{MODULUS_BITS, bit_length, significant};
use crate::wire::Reader;
use crate::{Curve, Result};

/// The longest public exponent that is accepted, in bits: the limit of the `rsa` crate.
const MAX_EXPONENT_BITS: usize = 33;

/// The fields of a public key.
///
/// Numbers are unsigned, most significant byte first, without leading zero bytes; points are
/// uncompressed (SEC 1 section 2.3.3) and on their curve.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbers<'a> {
    Rsa {
        e: &'a [u8],
        n: &'a [u8],
    },
    Dsa,
    Ecdsa {
        curve: Curve,
        point: &'a [u8],
    },
    Ed25519(&'a [u8; 32]),
    SkEcdsa {
        point: &'a [u8],
        application: &'a str,
    },
    SkEd25519 {
        key: &'a [u8; 32],
        application: &'a str,
    },
    Mldsa44Ed25519 {
        mldsa: &'a [u8; MLDSA44_LEN],
        ed25519: &'a [u8; 32],
    },
}

/// The length of a public key of ML-DSA-44 in bytes (FIPS 204, table 2).
pub(crate) const MLDSA44_LEN: usize = 1312;

impl<'a> Numbers<'a> {
    /// Reads the fields that follow the name of the type `kind`, up to the end of the key.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`](crate::Error::Cut) and [`Error::Malformed`](crate::Error::Malformed).
    ///
    /// # Source
    ///
    /// OpenSSH's `…_deserialize_public` and `sshkey_ec_validate_public`.
    pub(crate) fn read(kind: KeyType, reader: &mut Reader<'a>) -> Result<Self> {
        Ok(match kind.fields {
            Fields::Rsa => {
                let (e, n) = (reader.mpint()?, reader.mpint()?);
                check_rsa(reader, e, n)?;
                Self::Rsa { e, n }
            }
            Fields::Dsa => {
                for _ in 0..kind.fields.count() {
                    reader.mpint()?;
                }
                Self::Dsa
            }
            Fields::Ecdsa(curve) => Self::Ecdsa {
                curve,
                point: read_point(reader, curve)?,
            },
            Fields::Ed25519 => Self::Ed25519(read_ed25519(reader)?),
            Fields::SkEcdsa => Self::SkEcdsa {
                point: read_point(reader, Curve::NistP256)?,
                application: reader.text("application")?,
            },
            Fields::SkEd25519 => Self::SkEd25519 {
                key: read_ed25519(reader)?,
                application: reader.text("application")?,
            },
            Fields::Mldsa44Ed25519 => {
                let (mldsa, ed25519) = read_mldsa44_ed25519(reader)?;
                Self::Mldsa44Ed25519 { mldsa, ed25519 }
            }
        })
    }
}

fn check_rsa(reader: &Reader<'_>, e: &[u8], n: &[u8]) -> Result<()> {
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    let bits = bit_length(n);
    if !MODULUS_BITS.contains(&bits) {
        return Err(reader.malformed(format!(
            "its modulus of {bits} bits is not between {} and {} bits",
            MODULUS_BITS.start(),
            MODULUS_BITS.end()
        )));
    }
    if !is_odd(n) {
        return Err(reader.malformed("its modulus is even"));
    }
    if !is_odd(e) || e == [1] || bit_length(e) > MAX_EXPONENT_BITS {
        return Err(reader.malformed("its exponent is not an odd number from 3 to 2^33 - 1"));
    }
    Ok(())
}

fn read_ed25519<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8; 32]> {
    let key = reader.string()?;
    key.try_into()
        .map_err(|_| reader.malformed(format!("it has {} bytes and not 32", key.len())))
}

/// Both keys, one after the other in one string.
fn read_mldsa44_ed25519<'a>(
    reader: &mut Reader<'a>,
) -> Result<(&'a [u8; MLDSA44_LEN], &'a [u8; 32])> {
    let key = reader.string()?;
    let halves = key
        .split_first_chunk()
        .and_then(|(mldsa, rest)| Some((mldsa, rest.try_into().ok()?)));
    halves.ok_or_else(|| {
        let len = MLDSA44_LEN + 32;
        reader.malformed(format!("it has {} bytes and not {len}", key.len()))
    })
}

/// The name of a curve, then a point on it.
fn read_point<'a>(reader: &mut Reader<'a>, curve: Curve) -> Result<&'a [u8]> {
    if reader.text("curve")? != curve.to_string() {
        return Err(reader.malformed("its type and its curve differ"));
    }
    let point = reader.string()?;
    let is_good = match curve {
        Curve::NistP256 => is_point_of::<p256::NistP256>(point, curve),
        Curve::NistP384 => is_point_of::<p384::NistP384>(point, curve),
        Curve::NistP521 => is_point_of::<p521::NistP521>(point, curve),
    };
    is_good
        .then_some(point)
        .ok_or_else(|| reader.malformed("it is not a point of its curve that OpenSSH accepts"))
}

/// Whether `point` is uncompressed and on the curve, with coordinates of more than half of the
/// curve's bits and below its order - 1.
fn is_point_of<C>(point: &[u8], curve: Curve) -> bool
where
    C: CurveArithmetic<Uint: ArrayEncoding>,
    C::AffinePoint:
        elliptic_curve::sec1::FromEncodedPoint<C> + elliptic_curve::sec1::ToEncodedPoint<C>,
    elliptic_curve::FieldBytesSize<C>: elliptic_curve::sec1::ModulusSize,
{
    let Some((0x04, coordinates)) = point.split_first() else {
        return false;
    };
    if elliptic_curve::PublicKey::<C>::from_sec1_bytes(point).is_err() {
        return false;
    }
    let order = C::ORDER.to_be_byte_array();
    let mut below = significant(&order).to_vec();
    // The order is odd, so subtracting 1 has no carry.
    if let Some(last) = below.last_mut() {
        *last -= 1;
    }
    let is_good = |coordinate: &[u8]| {
        let number = significant(coordinate);
        bit_length(number) > curve.bits() / 2 && (number.len(), number) < (below.len(), &below[..])
    };
    let (x, y) = coordinates.split_at(curve.field_size());
    is_good(x) && is_good(y)
}
