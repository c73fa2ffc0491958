//! What remains of many samples.

/// The smallest sample; none of no samples.
pub fn minimum(samples: &[f64]) -> Option<f64> {
    samples.iter().copied().min_by(f64::total_cmp)
}

/// The middle sample, or the mean of the two in the middle; none of no samples.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut samples = samples.to_vec();
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    match samples.len() {
        0 => None,
        length if length % 2 == 0 => Some((samples[middle - 1] + samples[middle]) / 2.0),
        _ => Some(samples[middle]),
    }
}

/// The geometric mean of ratios, which are all above zero; none of no ratios.
pub fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (logarithms / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_of_samples_in_any_order() {
        assert_eq!(minimum(&[3.0, 1.5, 2.0]), Some(1.5));
        assert_eq!(minimum(&[]), None);
    }

    #[test]
    fn median_of_odd_and_even_numbers_of_samples() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 5.0, 6.0]), Some(5.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn geometric_mean_treats_twice_and_half_alike() {
        let mean = geometric_mean(&[2.0, 0.5, 8.0]).unwrap();
        assert!((mean - 2.0).abs() < 1e-12, "{mean}");
        assert_eq!(geometric_mean(&[]), None);
    }
}
