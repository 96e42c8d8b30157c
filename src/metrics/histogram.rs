//! How long something took, how often.

use std::time::Duration;

use super::text::Family;

/// The upper bounds of the histogram's buckets. Most answers come from memory; a change waits for the
/// disk, or for etcd.
const BOUNDS: [Duration; 16] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(10),
];

/// A distribution of times, with the same buckets for all that is measured.
#[derive(Clone, Default)]
pub struct Histogram {
    /// One for each of the bounds; what took longer is only in `count`.
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Histogram {
    pub fn observe(&mut self, took: Duration) {
        if let Some(bucket) = self.buckets.get_mut(BOUNDS.partition_point(|bound| *bound < took)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum += took;
    }

    /// Adds its samples to `family`, with this label.
    pub fn write<'a>(&self, mut family: Family<'a>, label: (&str, &str)) -> Family<'a> {
        let mut within = 0;
        for (bound, bucket) in BOUNDS.iter().zip(self.buckets) {
            within += bucket;
            let bound = bound.as_secs_f64().to_string();
            family = family.part("_bucket", &[label, ("le", &bound)], within);
        }
        family
            .part("_bucket", &[label, ("le", "+Inf")], self.count)
            .part("_sum", &[label], self.sum.as_secs_f64())
            .part("_count", &[label], self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_ascend() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }
}
