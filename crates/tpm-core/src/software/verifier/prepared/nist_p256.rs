//! P-256, the curve of most keys.

use std::{hint::black_box, sync::OnceLock};

use crrl::{
    field::GFp256,
    p256::{Point, Scalar},
};

/// 150 kB for each key.
type Table = super::table::Table<Affine, 7>;

/// A public key with its table.
pub(super) struct Key(Table);

impl Key {
    pub(super) fn new(sec1: &[u8]) -> Option<Box<Self>> {
        let point = Point::decode(sec1).filter(|point| point.isneutral() == 0)?;
        Some(Box::new(Self(table(point))))
    }

    /// FIPS 186-4, section 6.4: r is the x coordinate of u1 G + u2 Q. May refuse a valid signature
    /// with probability 2⁻¹²⁸ (x above the group order); the caller then runs the plain check.
    pub(super) fn accepts(&self, digest: &[u8], r: &[u8], s: &[u8]) -> bool {
        static GENERATOR: OnceLock<Table> = OnceLock::new();
        let generator = GENERATOR.get_or_init(|| table(Point::BASE));
        let (Some(r), Some(s), Some(digest)) = (in_range(r), in_range(s), little_endian(digest))
        else {
            return false;
        };
        let inverse = Scalar::ONE / s;
        let (u1, u2) = (Scalar::decode_reduce(&digest) * inverse, r * inverse);
        let mut multiples = Vec::with_capacity(2 * 38);
        generator.times(&u1.encode(), |point, minus| multiples.push((point, minus)));
        self.0
            .times(&u2.encode(), |point, minus| multiples.push((point, minus)));
        // Prefetch: the table was evicted while the TPM signed. Touching every entry first lets the
        // cache misses overlap.
        for (point, _) in &multiples {
            black_box(point.x);
        }
        let mut sum = Sum::NEUTRAL;
        for (point, minus) in multiples {
            sum.add(point, minus);
        }
        sum.has_x(r)
    }
}

/// The big-endian number `bytes`, if it is from 1 to the order of the curve less 1.
fn in_range(bytes: &[u8]) -> Option<Scalar> {
    Scalar::decode(&little_endian(bytes)?).filter(|number| number.iszero() == 0)
}

/// The bytes in reverse order, because crrl is little-endian.
fn little_endian(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut bytes: [u8; 32] = bytes.try_into().ok()?;
    bytes.reverse();
    Some(bytes)
}

fn table(point: Point) -> Table {
    Table::new(point, 32, |row| {
        // None of these multiples is the neutral element, because the order of the curve is a large
        // prime.
        let points = row.iter().map(|point| point.to_projective());
        let (xy, mut z): (Vec<_>, Vec<_>) = points.map(|(x, y, z)| ((x, y), z)).unzip();
        GFp256::batch_invert(&mut z);
        let affine = xy.into_iter().zip(z);
        affine
            .map(|((x, y), z)| Affine { x: x * z, y: y * z })
            .collect()
    })
}

/// A point of the curve, other than the neutral one; 64 bytes, one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Affine {
    x: GFp256,
    y: GFp256,
}

/// A sum of points in Jacobian coordinates: x / z², y / z³; neutral if z is 0.
///
/// Adding a point in affine coordinates takes 11 multiplications. The addition of crrl takes more,
/// because it takes the same time for all points.
struct Sum {
    x: GFp256,
    y: GFp256,
    z: GFp256,
}

impl Sum {
    const NEUTRAL: Self = Self {
        x: GFp256::ONE,
        y: GFp256::ONE,
        z: GFp256::ZERO,
    };

    /// Adds a point, or subtracts it.
    ///
    /// H. Cohen, A. Miyaji, T. Ono, "Efficient Elliptic Curve Exponentiation Using Mixed
    /// Coordinates" (1998), section 3: Jacobian plus affine.
    fn add(&mut self, point: &Affine, minus: bool) {
        let x = point.x;
        let y = if minus { -point.y } else { point.y };
        if self.z.iszero() != 0 {
            *self = Self {
                x,
                y,
                z: GFp256::ONE,
            };
            return;
        }
        let zz = self.z.square();
        let h = x * zz - self.x;
        let r = y * self.z * zz - self.y;
        if h.iszero() != 0 {
            *self = if r.iszero() != 0 {
                Self::doubled(x, y)
            } else {
                Self::NEUTRAL
            };
            return;
        }
        let hh = h.square();
        let hhh = h * hh;
        let v = self.x * hh;
        self.x = r.square() - hhh - v.mul2();
        self.y = r * (v - self.x) - self.y * hhh;
        self.z *= h;
    }

    /// Twice a point. The result is never neutral, because the group's order is odd.
    fn doubled(x: GFp256, y: GFp256) -> Self {
        let twice = Point::from_affine(x, y).unwrap_or(Point::NEUTRAL).double();
        let (x, y, _) = twice.to_affine();
        Self {
            x,
            y,
            z: GFp256::ONE,
        }
    }

    /// Whether the x coordinate is `r`. An x coordinate above the group's order (probability
    /// 2⁻¹²⁸) is not reduced, and so refused.
    fn has_x(&self, r: Scalar) -> bool {
        let r = GFp256::decode_reduce(&r.encode());
        self.z.iszero() == 0 && self.x.equals(r * self.z.square()) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `key` is the secret key; r, s and the digest are all the x coordinate of `sum`, so that
    /// u1 and u2 are 1.
    fn accepts(key: Scalar, sum: Point) -> bool {
        let public = Point::mulgen(&key).encode_uncompressed();
        let mut x = sum.to_affine().0.encode();
        x.reverse();
        Key::new(&public).unwrap().accepts(&x, &x, &x)
    }

    #[test]
    fn equal_and_opposite_points_add_up() {
        let double = Point::BASE.double();
        assert!(accepts(Scalar::ONE, double), "G + G");
        assert!(!accepts(Scalar::ONE, double.double()));
        // G - G has no x coordinate.
        assert!(!accepts(-Scalar::ONE, double));
        assert!(accepts(Scalar::ONE.mul2(), double + Point::BASE), "G + 2 G");
    }

    #[test]
    fn what_is_no_point_is_no_key() {
        let mut public = Point::BASE.encode_uncompressed();
        assert!(Key::new(&public).is_some());
        public[64] ^= 1;
        assert!(Key::new(&public).is_none());
        assert!(Key::new(&[0]).is_none(), "the neutral point");
    }
}
