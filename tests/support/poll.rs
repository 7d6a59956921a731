//! Waiting for something to become true: tests poll, they never rely on how long something takes.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Longest wait: far more than anything takes on a busy machine, the next minute of cron included.
const LIMIT: Duration = Duration::from_secs(180);

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until `is_so` says yes; after minutes it fails and says what it waited for.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        if begun.elapsed() > LIMIT {
            bail!("waited in vain: {what}");
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
