//! Multiplying one point by many numbers.

/// A point of a group that is written with plus.
pub(super) trait Point: Copy {
    /// `self` plus `other`.
    fn plus(&self, other: &Self) -> Self;

    /// `self` less `other`.
    fn minus(&self, other: &Self) -> Self;

    /// `self` plus `self`.
    fn doubled(&self) -> Self;
}

/// Multiples of a point: in row `i`, once, twice and so on to 2^(WIDTH - 1) times the point times
/// 2^(WIDTH i).
pub(super) struct Table<P, const WIDTH: usize>(Vec<Vec<P>>);

impl<P: Point, const WIDTH: usize> Table<P, WIDTH> {
    /// The most that a digit is, either way round zero.
    const LARGEST: usize = 1 << (WIDTH - 1);

    /// The table for scalars of `bytes` bytes.
    pub(super) fn new(point: P, bytes: usize) -> Self {
        let mut base = point;
        // One row for each digit, and one for what is carried out of the last.
        let rows = (0..=(8 * bytes).div_ceil(WIDTH)).map(|_| {
            let mut row = Vec::with_capacity(Self::LARGEST);
            let mut multiple = base;
            row.push(multiple);
            while row.len() < Self::LARGEST {
                multiple = multiple.plus(&base);
                row.push(multiple);
            }
            base = multiple.doubled();
            row
        });
        Self(rows.collect())
    }

    /// `sum` plus the point times `scalar`, which is little-endian.
    pub(super) fn add_times(&self, scalar: &[u8], mut sum: P) -> P {
        let mut bytes = scalar.iter();
        let (mut bits, mut count, mut carry) = (0_usize, 0, 0);
        for row in &self.0 {
            while count < WIDTH {
                bits |= usize::from(bytes.next().copied().unwrap_or(0)) << count;
                count += 8;
            }
            // Digits on either side of zero, so that a row needs half as many points.
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
                sum = if carry == 0 {
                    sum.plus(multiple)
                } else {
                    sum.minus(multiple)
                };
            }
        }
        sum
    }
}
