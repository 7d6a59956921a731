//! How long to wait before the next attempt to get what a run has lost, and when to give up.

use std::time::{Duration, Instant};

use pgmig_core::Error;
use pgmig_core::options::Options;

use crate::pg::latch;

/// Longest wait between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Attempts that have failed in a row.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    failures: u32,
    retries: u32,
    delay: Duration,
    until: Instant,
}

impl Backoff {
    /// None so far.
    pub fn new(options: &Options) -> Self {
        Backoff {
            failures: 0,
            retries: options.retries,
            delay: options.retry_delay,
            until: Instant::now(),
        }
    }

    /// Counts a failure; true if there is another attempt to come.
    pub fn fail(&mut self) -> bool {
        let doublings = self.failures.min(16);
        let delay = self.delay.saturating_mul(1 << doublings).min(MAX_DELAY.max(self.delay));
        self.until = Instant::now() + delay;
        self.failures += 1;
        self.failures <= self.retries
    }

    /// What is left of the wait.
    pub fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Waits until the next attempt is due, with interrupts enabled.
    pub fn rest(&self) {
        while !self.remaining().is_zero() {
            latch::wait(self.remaining());
        }
    }

    /// Says that the last attempt has failed.
    pub fn message(&self, aim: &str, error: &Error) -> String {
        format!("attempt {} {aim}failed and is followed by another one: {error}", self.failures)
    }
}
