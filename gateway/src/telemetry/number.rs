//! Numbers that every worker changes often and somebody reads seldom. Each is spread over a few cache lines, a worker
//! changing its own, so that workers neither lock nor pull a line out of each other's cache.

use std::{
    cell::Cell,
    sync::{
        LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// Parts of a spread number: as many as cores, up to 16.
static PARTS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, |cores| cores.get().min(16)));

/// The next thread takes the next part.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PART: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % *PARTS);
}

/// A cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

#[derive(Debug)]
struct Spread(Box<[Line]>);

impl Spread {
    fn new() -> Self {
        Self((0..*PARTS).map(|_| Line::default()).collect())
    }

    fn mine(&self) -> &AtomicU64 {
        &self.0[PART.get()].0
    }

    /// Parts may have wrapped below zero; their sum has not.
    fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, line| sum.wrapping_add(line.0.load(Relaxed)))
    }
}

/// A number that only grows.
#[derive(Debug)]
pub struct Counter(Spread);

impl Counter {
    /// Starts at 0.
    pub fn new() -> Self {
        Self(Spread::new())
    }

    /// Adds. Cost: one atomic addition on a line of this thread.
    pub fn add(&self, amount: u64) {
        self.0.mine().fetch_add(amount, Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.sum()
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

/// How many of something there are now; one thread may count up and another down.
#[derive(Debug)]
pub struct Level(Spread);

impl Level {
    /// Starts at 0.
    pub fn new() -> Self {
        Self(Spread::new())
    }

    /// One more.
    pub fn up(&self) {
        self.0.mine().fetch_add(1, Relaxed);
    }

    /// One less.
    pub fn down(&self) {
        self.0.mine().fetch_sub(1, Relaxed);
    }

    /// How many there are. Read beside changes it may be off by those, but never below 0.
    pub fn get(&self) -> u64 {
        u64::try_from(self.0.sum().cast_signed()).unwrap_or(0)
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::new()
    }
}

/// A number that is set now and then.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// As it was set last; 0 at first.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// How often values fell into each of a few ranges.
#[derive(Debug)]
pub struct Histogram {
    bounds: Box<[f64]>,
    parts: Box<[Part]>,
}

/// The buckets of some threads, the last one for values above every bound.
#[derive(Debug)]
#[repr(align(64))]
struct Part {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Ranges up to and including each of `bounds`, which ascend, and one above them.
    pub fn new(bounds: &[f64]) -> Self {
        debug_assert!(bounds.is_sorted(), "bounds ascend");
        let buckets = || (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        let parts = (0..*PARTS).map(|_| Part { buckets: buckets(), sum: AtomicU64::new(0) });
        Self { bounds: bounds.into(), parts: parts.collect() }
    }

    /// Counts a value. One that is not finite is left out, as it would spoil the sum.
    pub fn observe(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let part = &self.parts[PART.get()];
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        part.buckets[bucket].fetch_add(1, Relaxed);
        let add = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        // Cannot fail: `add` always answers.
        let _ = part.sum.fetch_update(Relaxed, Relaxed, add);
    }

    /// Upper bounds with the number of values up to each, the last bound being infinite.
    pub fn cumulative(&self) -> Vec<(f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let count = |bucket: usize| self.parts.iter().map(|part| part.buckets[bucket].load(Relaxed)).sum::<u64>();
        let mut sum = 0;
        let upto = bounds.enumerate().map(|(bucket, bound)| {
            sum += count(bucket);
            (bound, sum)
        });
        upto.collect()
    }

    /// Sum of all values.
    pub fn sum(&self) -> f64 {
        self.parts.iter().map(|part| f64::from_bits(part.sum.load(Relaxed))).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn threads_add_up() {
        let (counter, level, histogram) = (Counter::new(), Level::new(), Histogram::new(&[1.0, 10.0]));
        thread::scope(|scope| {
            for n in 0..8 {
                let (counter, level, histogram) = (&counter, &level, &histogram);
                scope.spawn(move || {
                    for _ in 0..1000 {
                        counter.add(2);
                        level.up();
                        histogram.observe(5.0);
                    }
                    histogram.observe(f64::from(n * 100));
                });
            }
        });
        thread::scope(|scope| scope.spawn(|| (0..7_999).for_each(|_| level.down())).join().unwrap());
        assert_eq!((counter.get(), level.get()), (16_000, 1));
        assert_eq!(histogram.cumulative(), [(1.0, 1), (10.0, 8_001), (f64::INFINITY, 8_008)]);
        assert!((histogram.sum() - 42_800.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_value_at_a_bound_belongs_below_it() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        [1.0, 2.0, 2.1, -5.0, f64::NAN, f64::INFINITY].into_iter().for_each(|value| histogram.observe(value));
        assert_eq!(histogram.cumulative(), [(1.0, 2), (2.0, 3), (f64::INFINITY, 4)]);
    }
}
