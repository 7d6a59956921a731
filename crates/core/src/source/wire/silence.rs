//! Servers that say nothing: at work, or cut off by a network that does not tell.
//!
//! A network may stop passing bytes and keep the connection up, so a session that waits looks now and
//! then whether the server is still at work for it, over another connection. It is lost when that has
//! been denied twice in a row: an answer may have been on its way the first time.

use std::time::Duration;

/// Time without a byte after which the server is looked at.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// Denials in a row after which the session is lost.
const DENIALS: u32 = 2;

/// Says whether the server is at work for the session that waits.
pub type IsAtWork = Box<dyn FnMut() -> bool + Send>;

/// A session's watch over its server.
pub(super) struct Silence {
    is_at_work: IsAtWork,
    denials: u32,
}

impl Silence {
    pub(super) fn new(is_at_work: IsAtWork) -> Silence {
        Silence { is_at_work, denials: 0 }
    }

    /// Whether it is worth while to wait on after another interval without a byte.
    pub(super) fn goes_on(&mut self) -> bool {
        self.denials = if (self.is_at_work)() { 0 } else { self.denials + 1 };
        self.denials < DENIALS
    }

    /// Takes note that the server has said something.
    pub(super) fn break_off(&mut self) {
        self.denials = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_given_up_when_it_was_found_idle_twice_in_a_row() {
        let mut answers = [false, true, false, false].into_iter();
        let mut silence = Silence::new(Box::new(move || answers.next().unwrap()));
        assert_eq!([(); 4].map(|()| silence.goes_on()), [true, true, true, false]);
        let mut silence = Silence::new(Box::new(|| false));
        assert!(silence.goes_on());
        silence.break_off();
        assert!(silence.goes_on());
        assert!(!silence.goes_on());
    }
}
