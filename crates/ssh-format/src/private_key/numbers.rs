//! The numbers of a private key.

use std::fmt;

use crate::key_type::{Fields, KeyType};
use crate::wire::{Reader, put_mpint, put_string};
use crate::{Curve, Error, Result};

/// The numbers of a private key, each unsigned and most significant byte first, without zero bytes
/// in front. They are not checked to belong together: the user of the key does that.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum PrivateNumbers<'a> {
    /// RSA.
    Rsa {
        /// The modulus.
        n: &'a [u8],
        /// The public exponent.
        e: &'a [u8],
        /// The private exponent.
        d: &'a [u8],
        /// The inverse of `q` modulo `p`.
        iqmp: &'a [u8],
        /// One prime.
        p: &'a [u8],
        /// The other prime.
        q: &'a [u8],
    },
    /// ECDSA.
    Ecdsa {
        /// The curve.
        curve: Curve,
        /// The x coordinate of the public point, as long as the field.
        x: &'a [u8],
        /// The y coordinate, likewise.
        y: &'a [u8],
        /// The private scalar.
        d: &'a [u8],
    },
}

impl<'a> PrivateNumbers<'a> {
    /// Reads the type of a key and its numbers, up to its comment. Also returns the blob of the
    /// public key that they contain.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<(Self, Vec<u8>)> {
        let name = reader.text("type")?;
        let fields = KeyType::named(name).map(|kind| kind.fields);
        let mut blob = Vec::new();
        put_string(&mut blob, name.as_bytes());
        let numbers = match fields {
            Some(Fields::Rsa) => {
                let (n, e, d) = (reader.mpint()?, reader.mpint()?, reader.mpint()?);
                let (iqmp, p, q) = (reader.mpint()?, reader.mpint()?, reader.mpint()?);
                put_mpint(&mut blob, e);
                put_mpint(&mut blob, n);
                Self::Rsa {
                    n,
                    e,
                    d,
                    iqmp,
                    p,
                    q,
                }
            }
            Some(Fields::Ecdsa(curve)) => {
                let (id, point, d) = (reader.string()?, reader.string()?, reader.mpint()?);
                put_string(&mut blob, id);
                put_string(&mut blob, point);
                let size = curve.field_size();
                let coordinates = point.strip_prefix(&[4]);
                let Some((x, y)) = coordinates
                    .filter(|both| both.len() == 2 * size)
                    .map(|both| both.split_at(size))
                else {
                    return Err(reader.malformed("its point is not one of its curve"));
                };
                Self::Ecdsa { curve, x, y, d }
            }
            Some(_) => return Err(Error::UnknownAlgorithm(name.to_owned())),
            None => return Err(Error::UnknownKeyType(name.to_owned())),
        };
        Ok((numbers, blob))
    }
}

/// The numbers are secret.
impl fmt::Debug for PrivateNumbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa { .. } => "PrivateNumbers::Rsa(…)",
            Self::Ecdsa { .. } => "PrivateNumbers::Ecdsa(…)",
        })
    }
}
