//! Bytes of any kind into whatever reads what strangers write, and whatever decides by it against the plainest way to decide
//! the same. Each target runs a short fixed number of inputs in every test run; `SANDGATE_FUZZ_RUNS` and
//! `SANDGATE_FUZZ_SEED` ask for more and others. A failure names the target, the seed, the run and the input, and
//! `SANDGATE_FUZZ_RUN` repeats it alone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of this is tests and what they are made of")]

mod balancing;
mod entities;
mod harness;
mod modules;
mod routing;
mod streams;
mod texts;
mod tls;
mod wire;
