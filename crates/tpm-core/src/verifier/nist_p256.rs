//! P-256, which most keys are.

use std::sync::OnceLock;

use crrl::p256::{Point, Scalar};

/// 130 kB for each key.
type Table = super::table::Table<Point, 6>;

impl super::table::Point for Point {
    fn plus(&self, other: &Self) -> Self {
        self + other
    }

    fn minus(&self, other: &Self) -> Self {
        self - other
    }

    fn doubled(&self) -> Self {
        self.double()
    }
}

/// A public key with its table.
pub(super) struct Key(Table);

impl Key {
    pub(super) fn new(sec1: &[u8]) -> Option<Box<Self>> {
        let point = Point::decode(sec1)?;
        Some(Box::new(Self(Table::new(point, 32))))
    }

    /// FIPS 186-4, section 6.4: r is the x coordinate of u1 G + u2 Q.
    pub(super) fn verify(&self, digest: &[u8], r: &[u8], s: &[u8]) -> bool {
        static GENERATOR: OnceLock<Table> = OnceLock::new();
        let generator = GENERATOR.get_or_init(|| Table::new(Point::BASE, 32));
        let (Some(r), Some(s), Some(digest)) = (in_range(r), in_range(s), little_endian(digest))
        else {
            return false;
        };
        let inverse = Scalar::ONE / s;
        let u1 = Scalar::decode_reduce(&digest) * inverse;
        let sum = generator.add_times(&u1.encode(), Point::NEUTRAL);
        let sum = self.0.add_times(&(r * inverse).encode(), sum);
        // The neutral element has an x of 0 here, which r is not.
        let (x, _, _) = sum.to_affine();
        Scalar::decode_reduce(&x.encode()).equals(r) != 0
    }
}

/// A number from 1 to the order of the curve less 1, of which `bytes` are the big-endian form.
fn in_range(bytes: &[u8]) -> Option<Scalar> {
    Scalar::decode(&little_endian(bytes)?).filter(|number| number.iszero() == 0)
}

/// The other way round: crrl counts bytes from the lowest.
fn little_endian(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut bytes: [u8; 32] = bytes.try_into().ok()?;
    bytes.reverse();
    Some(bytes)
}
