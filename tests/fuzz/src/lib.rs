//! Tries decoders with bytes that no correct peer, client or disk would hold: noise, and valid
//! encodings after some mutations.
//!
//! A test tries as many inputs as proptest does by default (`PROPTEST_CASES`), or for as long as
//! `CLOUDAI_FUZZ_SECONDS` says. A failing input is shrunk, shown, and its seed kept beside the
//! package's sources in `proptest-regressions`.
#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that fails should panic, and a long one says how far it came"
)]

mod memory;
mod mutation;

use std::panic::Location;
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

pub use crate::memory::Memory;
pub use crate::mutation::{Mutations, mutated, mutated_text, mutations};

/// Says for how many seconds each fuzz test runs.
const SECONDS: &str = "CLOUDAI_FUZZ_SECONDS";

/// Inputs tried before the clock is read: a batch takes about a second where an input takes long.
const BATCH_CASES: u32 = 256;

/// One fuzz test.
#[derive(Debug)]
pub struct Fuzz {
    name: &'static str,
    file: &'static str,
    cases: u32,
}

impl Fuzz {
    /// Names the decoder that is tried.
    #[track_caller]
    #[must_use]
    pub fn of(name: &'static str) -> Self {
        Self { name, file: Location::caller().file(), cases: Config::default().cases }
    }

    /// Tries at most so many inputs unless a time is given: each takes long.
    #[must_use]
    pub fn at_most(self, cases: u32) -> Self {
        Self { cases: self.cases.min(cases), ..self }
    }

    /// Tries the inputs.
    ///
    /// # Panics
    /// If `check` panics for one of them.
    pub fn run<S: Strategy>(self, inputs: S, check: impl Fn(S::Value)) {
        let Some(time) = time() else {
            self.try_some(self.cases, &inputs, &check);
            return;
        };
        let begun_at = Instant::now();
        let mut cases = 0_u64;
        while begun_at.elapsed() < time {
            self.try_some(self.cases.min(BATCH_CASES), &inputs, &check);
            cases += u64::from(self.cases.min(BATCH_CASES));
        }
        let seconds = begun_at.elapsed().as_secs();
        eprintln!("fuzz: {}: {cases} inputs in {seconds} s", self.name);
    }

    fn try_some<S: Strategy>(&self, cases: u32, inputs: &S, check: &impl Fn(S::Value)) {
        let config = Config { cases, source_file: Some(self.file), ..Config::default() };
        let tried = TestRunner::new(config).run(inputs, |input| {
            check(input);
            Ok(())
        });
        if let Err(error) = tried {
            panic!("{}: {error}", self.name);
        }
    }
}

fn time() -> Option<Duration> {
    let seconds = std::env::var(SECONDS).ok()?;
    match seconds.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => panic!("{SECONDS} is not a number of seconds: '{seconds}'"),
    }
}
