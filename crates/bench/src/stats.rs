//! Medians, spreads and ratios of pairs.

use serde::{Deserialize, Serialize};

/// The summary of repeated measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The middle sample.
    pub(crate) median: f64,
    /// A quarter of the samples are less.
    pub(crate) low: f64,
    /// A quarter of the samples are more.
    pub(crate) high: f64,
}

impl Summary {
    /// Sums up `samples`; zeros if there are none.
    pub(crate) fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            median: quantile(&sorted, 0.5),
            low: quantile(&sorted, 0.25),
            high: quantile(&sorted, 0.75),
        }
    }

    /// The ratio of each sample to the sample taken beside it, summed up. Pairs whose second half
    /// is zero have no ratio and are left out.
    pub(crate) fn of_ratios(samples: &[f64], beside: &[f64]) -> Self {
        let ratios: Vec<f64> = samples
            .iter()
            .zip(beside)
            .filter(|(_, base)| **base > 0.0)
            .map(|(sample, base)| sample / base)
            .collect();
        Self::of(&ratios)
    }

    /// A value that was counted and not measured.
    pub(crate) fn exactly(value: f64) -> Self {
        Self {
            median: value,
            low: value,
            high: value,
        }
    }
}

/// The value below which the share `at` of `sorted` is; between two samples, their weighted mean.
pub(crate) fn quantile(sorted: &[f64], at: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let place = at * last as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_quartiles_are_those_of_the_sorted_samples() {
        let summary = Summary::of(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(
            summary,
            Summary {
                median: 3.0,
                low: 2.0,
                high: 4.0
            }
        );
        assert_eq!(Summary::of(&[1.0, 2.0]).median, 1.5);
        assert_eq!(Summary::of(&[7.0]), Summary::exactly(7.0));
        assert_eq!(Summary::of(&[]).median, 0.0);
    }

    #[test]
    fn one_wild_sample_does_not_move_the_median() {
        assert_eq!(Summary::of(&[1.0, 1.0, 1.0, 1.0, 900.0]).median, 1.0);
    }

    /// The machine was twice as slow for the second pair, which does not change the ratio.
    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let ratio = Summary::of_ratios(&[2.0, 4.0, 2.0], &[1.0, 2.0, 1.0]);
        assert_eq!(ratio, Summary::exactly(2.0));
        assert_eq!(Summary::of_ratios(&[3.0, 1.0], &[0.0, 1.0]).median, 1.0);
    }
}
