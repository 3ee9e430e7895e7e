//! Feeds targets with inputs made from a seed, and says exactly how to repeat the one that fails.
//!
//! Every run of a target has numbers of its own, made from the seed, the target's name and the number of the run: any one
//! of them can be repeated alone.

use std::{
    any::Any,
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

const SEED: u64 = 20_261_125;
/// The longest input made of a corpus, in bytes.
pub(crate) const LONGEST: usize = 2_000;
/// Processor time of one input; more is a finding.
const PATIENCE: Duration = Duration::from_secs(1);
/// An input that has not ended after this, by the wall clock, ends the whole run: nothing can stop its thread.
const HANGS: Duration = Duration::from_secs(60);

/// Vigna's splitmix64: the same numbers at each run.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Those of one run.
    fn of(seed: u64, target: &str, run: u64) -> Self {
        let mut numbers = target.bytes().fold(Self(seed), |mut numbers, byte| Self(numbers.next() ^ u64::from(byte)));
        Self(numbers.next() ^ run)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`, which 0 is taken for 1.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or_default()
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn of_list<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }

    /// Some of the list, in its order.
    pub(crate) fn some<T: Clone>(&mut self, list: &[T], most: usize) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.of_list(list).clone()).collect()
    }
}

/// An input of the corpus, cut, joined with another, doubled, or with bytes changed.
pub(crate) fn made(numbers: &mut Numbers, corpus: &[&[u8]], longest: usize) -> Vec<u8> {
    let mut input = numbers.of_list(corpus).to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(input.len() + 1);
        match numbers.below(7) {
            0 => input.truncate(at),
            1 => {
                let other = *numbers.of_list(corpus);
                let from = numbers.below(other.len() + 1);
                input.splice(at..at, other[from..].iter().copied());
            }
            2 => input.insert(at, numbers.next().to_le_bytes()[0]),
            3 => input.insert(at, *numbers.of_list(b"/%.\0\r\n{}[]\"'\\*~&|=:?#;,-0")),
            4 if at < input.len() => drop(input.remove(at)),
            5 if at < input.len() => input[at] ^= 1 << numbers.below(8),
            _ => {
                let part = input[at..].to_vec();
                input.extend(part.repeat(1 + numbers.below(3)));
            }
        }
        input.truncate(longest);
    }
    input
}

/// What a reader is fed with, and how often in every test run.
pub(crate) struct Target {
    /// That of its test, which repeats it.
    pub(crate) name: &'static str,
    /// Inputs, unless `SANDGATE_FUZZ_RUNS` says otherwise.
    pub(crate) runs: u64,
}

impl Target {
    /// Feeds bytes made of a corpus.
    pub(crate) fn feed(&self, corpus: &[&str], check: impl Fn(&[u8])) {
        let corpus: Vec<&[u8]> = corpus.iter().map(|text| text.as_bytes()).collect();
        self.feed_bytes(&corpus, check);
    }

    /// The same with a corpus that is no text.
    pub(crate) fn feed_bytes(&self, corpus: &[&[u8]], check: impl Fn(&[u8])) {
        self.run(|numbers| made(numbers, corpus, LONGEST), |input| check(input));
    }

    /// Feeds those of these bytes that are text, to readers that nothing else ever reaches.
    pub(crate) fn feed_texts(&self, corpus: &[&str], check: impl Fn(&str)) {
        let corpus: Vec<&[u8]> = corpus.iter().map(|text| text.as_bytes()).collect();
        let make = |numbers: &mut Numbers| {
            String::from_utf8(made(numbers, &corpus, LONGEST))
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        };
        self.run(make, |text| check(text));
    }

    /// Whether only one run is wanted, so that nothing can be said about all of them.
    pub(crate) fn is_repeated(&self) -> bool {
        std::env::vars().any(|(name, _)| name.starts_with("SANDGATE_FUZZ_RUN"))
    }

    /// Makes inputs of any kind and checks each.
    pub(crate) fn run<I: Debug>(&self, make: impl Fn(&mut Numbers) -> I, check: impl Fn(&I)) {
        let settings = Settings::read(std::env::vars()).unwrap_or_else(|problem| panic!("{problem}"));
        let runs = match settings.run {
            Some(run) => run..=run,
            None => 0..=settings.runs.unwrap_or(self.runs).saturating_sub(1),
        };
        let watchdog = Watchdog::start();
        for run in runs {
            let repeat = format!(
                "SANDGATE_FUZZ_SEED={} SANDGATE_FUZZ_RUN={run} cargo test -p sandgate --test fuzz {}",
                settings.seed, self.name
            );
            watchdog.begins(&repeat);
            let input = make(&mut Numbers::of(settings.seed, self.name, run));
            let began = processor_time();
            let outcome = catch_unwind(AssertUnwindSafe(|| check(&input)));
            let took = processor_time().saturating_sub(began);
            if outcome.is_err() || took > PATIENCE {
                eprintln!("{}: run {run} of seed {} took {took:?} with {input:?}", self.name, settings.seed);
                eprintln!("again: {repeat}");
                let slow = || -> Box<dyn Any + Send> { Box::new(format!("{}: an input took {took:?}", self.name)) };
                resume_unwind(outcome.err().unwrap_or_else(slow));
            }
        }
    }
}

/// Of this thread alone: other tests and other programs have their own.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What the environment asks for.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    seed: u64,
    /// Inputs of each target, in place of what it has by itself.
    runs: Option<u64>,
    /// The only run that is wanted.
    run: Option<u64>,
}

impl Settings {
    /// Reads `SANDGATE_FUZZ_*`. Errors: a value that is no number, a name that means nothing, or what excludes each other.
    fn read(variables: impl Iterator<Item = (String, String)>) -> Result<Self, String> {
        let mut settings = Self { seed: SEED, runs: None, run: None };
        for (name, value) in variables.filter(|(name, _)| name.starts_with("SANDGATE_FUZZ_")) {
            let number: u64 = value.parse().map_err(|_| format!("{name} is {value:?}, which is no whole number"))?;
            match &*name {
                "SANDGATE_FUZZ_SEED" => settings.seed = number,
                "SANDGATE_FUZZ_RUNS" if number > 0 => settings.runs = Some(number),
                "SANDGATE_FUZZ_RUNS" => return Err("SANDGATE_FUZZ_RUNS is 0: nothing would be tried".to_owned()),
                "SANDGATE_FUZZ_RUN" => settings.run = Some(number),
                _ => return Err(format!("{name} means nothing: there are SANDGATE_FUZZ_SEED, _RUNS and _RUN")),
            }
        }
        match (settings.runs, settings.run) {
            (Some(_), Some(_)) => Err("SANDGATE_FUZZ_RUN is one run, and SANDGATE_FUZZ_RUNS says how many".to_owned()),
            _ => Ok(settings),
        }
    }
}

/// Ends the process when an input does not end.
struct Watchdog(Arc<(Mutex<Watched>, Condvar)>);

struct Watched {
    repeat: String,
    since: Instant,
    is_over: bool,
}

impl Watchdog {
    fn start() -> Self {
        let watched = Watched { repeat: String::new(), since: Instant::now(), is_over: false };
        let shared = Arc::new((Mutex::new(watched), Condvar::new()));
        let own = shared.clone();
        thread::spawn(move || {
            let (watched, woken) = &*own;
            let mut now = watched.lock().unwrap();
            while !now.is_over {
                if now.since.elapsed() > HANGS {
                    eprintln!("an input has not ended after {HANGS:?}; again: {}", now.repeat);
                    std::process::abort();
                }
                now = woken.wait_timeout(now, Duration::from_secs(1)).unwrap().0;
            }
        });
        Self(shared)
    }

    fn begins(&self, repeat: &str) {
        let mut watched = self.0.0.lock().unwrap();
        watched.since = Instant::now();
        repeat.clone_into(&mut watched.repeat);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_over = true;
        self.0.1.notify_all();
    }
}

#[test]
fn settings_are_numbers_or_errors() {
    let read = |variables: &[(&str, &str)]| {
        Settings::read(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    };
    assert_eq!(read(&[("PATH", "x")]), Ok(Settings { seed: SEED, runs: None, run: None }));
    let all = read(&[("SANDGATE_FUZZ_SEED", "7"), ("SANDGATE_FUZZ_RUN", "3")]);
    assert_eq!(all, Ok(Settings { seed: 7, runs: None, run: Some(3) }));
    for bad in [
        &[("SANDGATE_FUZZ_RUNS", "1e6")][..],
        &[("SANDGATE_FUZZ_RUNS", "")],
        &[("SANDGATE_FUZZ_RUNS", "0")],
        &[("SANDGATE_FUZZ_SEED", "-1")],
        &[("SANDGATE_FUZZ_SEEDS", "1")],
        &[("SANDGATE_FUZZ_RUNS", "1"), ("SANDGATE_FUZZ_RUN", "1")],
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_run_has_the_same_numbers_whatever_came_before() {
    let numbers = |target, run| Numbers::of(1, target, run).next();
    assert_eq!(numbers("a", 5), numbers("a", 5));
    assert!(numbers("a", 5) != numbers("a", 6) && numbers("a", 5) != numbers("b", 5));
}

#[test]
#[should_panic(expected = "an input took")]
fn an_input_that_takes_long_is_a_finding() {
    let spin = |(): &()| {
        let began = processor_time();
        while processor_time() - began < PATIENCE + Duration::from_millis(10) {}
    };
    Target { name: "spin", runs: 1 }.run(|_| (), spin);
}
