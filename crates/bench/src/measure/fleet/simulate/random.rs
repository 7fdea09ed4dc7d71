//! Numbers that look random and are the same in each run.

/// A generator of them.
///
/// # Source
///
/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014: SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        scaled(end, self.draw())
    }
}

/// A part of `whole`, by a number that was drawn.
pub(super) fn scaled(whole: u64, drawn: u32) -> u64 {
    (u64::from(drawn) * whole) >> 32
}
