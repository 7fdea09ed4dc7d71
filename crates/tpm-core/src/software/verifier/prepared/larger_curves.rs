//! P-384 and P-521.

macro_rules! nist_curve {
    ($name:ident, $curve:ident, $ecdsa:ty, $uint:ty) => {
        pub(super) mod $name {
            use std::sync::OnceLock;

            use $curve::{
                FieldBytes, ProjectivePoint, Scalar,
                ecdsa::Signature,
                elliptic_curve::{
                    PrimeField,
                    ops::{Invert, Reduce},
                    point::AffineCoordinates,
                },
            };

            type Table = super::super::table::Table<ProjectivePoint, 4>;

            fn table(point: ProjectivePoint) -> Table {
                Table::new(point, FieldBytes::default().len(), <[_]>::to_vec)
            }

            /// A public key with its table.
            pub(in super::super) struct Key(Table);

            impl Key {
                pub(in super::super) fn new(sec1: &[u8]) -> Option<Box<Self>> {
                    let point = $curve::PublicKey::from_sec1_bytes(sec1).ok()?;
                    Some(Box::new(Self(table(point.to_projective()))))
                }

                /// FIPS 186-4, section 6.4: r is the x coordinate of u1 G + u2 Q.
                pub(in super::super) fn accepts(&self, digest: &[u8], r: &[u8], s: &[u8]) -> bool {
                    static GENERATOR: OnceLock<Table> = OnceLock::new();
                    let generator = GENERATOR.get_or_init(|| table(ProjectivePoint::GENERATOR));
                    // It refuses numbers that are not from 1 to the order of the curve less 1.
                    let Ok(signature) = Signature::from_slice(&[r, s].concat()) else {
                        return false;
                    };
                    let Ok(digest) = ecdsa::hazmat::bits2field::<$ecdsa>(digest) else {
                        return false;
                    };
                    let (r, s) = signature.split_scalars();
                    let digest = <Scalar as Reduce<$uint>>::reduce_bytes(&digest);
                    let inverse = *s.invert_vartime();
                    let (u1, u2) = (digest * inverse, *r * inverse);
                    let mut sum = ProjectivePoint::IDENTITY;
                    for (table, number) in [(generator, u1), (&self.0, u2)] {
                        let mut number = number.to_repr();
                        number.reverse();
                        table.times(&number, |multiple, minus| {
                            if minus {
                                sum -= multiple;
                            } else {
                                sum += multiple;
                            }
                        });
                    }
                    // The neutral element has x = 0, and r is not 0.
                    let x = sum.to_affine().x();
                    <Scalar as Reduce<$uint>>::reduce_bytes(&x) == *r
                }
            }
        }
    };
}

// 110 and 230 kB for each key.
nist_curve!(
    nist_p384,
    p384,
    p384::NistP384,
    p384::elliptic_curve::bigint::U384
);
nist_curve!(
    nist_p521,
    p521,
    p521::NistP521,
    p521::elliptic_curve::bigint::U576
);
