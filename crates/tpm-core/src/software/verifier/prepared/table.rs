//! Multiplying one point by many numbers.

use std::ops::Add;

/// Multiples of a point: in row `i`, once, twice and so on to 2^(WIDTH - 1) times the point times
/// 2^(WIDTH i).
pub(super) struct Table<E, const WIDTH: usize>(Vec<Vec<E>>);

impl<E, const WIDTH: usize> Table<E, WIDTH> {
    /// The largest absolute value of a digit.
    const LARGEST: usize = 1 << (WIDTH - 1);

    /// The table of `point` for numbers of `bytes` bytes. `keep` converts each row. The addition of
    /// `P` must be complete: it must handle equal, opposite and neutral points.
    pub(super) fn new<P>(point: P, bytes: usize, keep: impl Fn(&[P]) -> Vec<E>) -> Self
    where
        P: Copy + for<'a> Add<&'a P, Output = P>,
    {
        let mut base = point;
        // One row for each digit, and one for the last carry.
        let rows = (0..=(8 * bytes).div_ceil(WIDTH)).map(|_| {
            let mut row = Vec::with_capacity(Self::LARGEST);
            let mut multiple = base;
            row.push(multiple);
            while row.len() < Self::LARGEST {
                multiple = multiple + &base;
                row.push(multiple);
            }
            base = multiple + &multiple;
            keep(&row)
        });
        Self(rows.collect())
    }

    /// Calls `add` with multiples of the point whose sum is the point times `number`
    /// (little-endian). `add` must subtract the multiple if its second argument is `true`.
    pub(super) fn times<'a>(&'a self, number: &[u8], mut add: impl FnMut(&'a E, bool)) {
        let mut bytes = number.iter();
        let (mut bits, mut count, mut carry) = (0_usize, 0, 0);
        for row in &self.0 {
            while count < WIDTH {
                bits |= usize::from(bytes.next().copied().unwrap_or(0)) << count;
                count += 8;
            }
            // With signed digits a row needs half as many points.
            let digit = (bits & (2 * Self::LARGEST - 1)) + carry;
            bits >>= WIDTH;
            count -= WIDTH;
            carry = usize::from(digit > Self::LARGEST);
            let size = if carry == 0 {
                digit
            } else {
                2 * Self::LARGEST - digit
            };
            if let Some(multiple) = size.checked_sub(1).and_then(|place| row.get(place)) {
                add(multiple, carry == 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the group of the integers a multiple is a product.
    #[test]
    fn the_multiples_add_up() {
        let product = |point: i64, number: u32| {
            let table = Table::<i64, 6>::new(point, 4, <[i64]>::to_vec);
            let mut sum = 0;
            table.times(&number.to_le_bytes(), |multiple, minus| {
                sum += if minus { -multiple } else { *multiple };
            });
            sum
        };
        for number in [
            0,
            1,
            31,
            32,
            33,
            63,
            64,
            0x5a5a_5a5a,
            u32::MAX - 1,
            u32::MAX,
        ] {
            assert_eq!(product(3, number), 3 * i64::from(number), "{number}");
        }
    }
}
