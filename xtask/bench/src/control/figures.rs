//! What was measured, as names, values and units; and quantiles. Pure.

/// One measured value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    pub(super) phase: &'static str,
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
}

/// All of a run, in the order of measuring.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<Figure>);

impl Figures {
    pub(super) fn add(&mut self, phase: &'static str, name: &'static str, value: f64, unit: &'static str) {
        self.0.push(Figure { phase, name, value, unit });
    }

    pub(super) fn all(&self) -> &[Figure] {
        &self.0
    }
}

/// The value below which that many of a hundred lie; 0 of nothing.
pub(super) fn percentile(values: &[f64], of_hundred: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * of_hundred).div_ceil(100);
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let seen = [50, 99, 100].map(|share| percentile(&values, share).to_string());
        assert_eq!(seen, ["50", "99", "100"]);
        assert_eq!(percentile(&[], 50).to_string(), "0");
    }
}
