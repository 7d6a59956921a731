//! Threads beside the server's main thread, for blocking network I/O and nothing else.
//!
//! No function of the server may be called on them. Signals must reach the main thread only, so a
//! thread starts with every signal blocked and inherits that to the threads it starts itself.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use pgmig_core::{Error, Result};

use super::latch;

/// How long the main thread sleeps at most before it looks for interrupts again.
const POLL: Duration = Duration::from_millis(50);

/// Starts `work` on a thread that no signal ever reaches.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let builder = std::thread::Builder::new().name(name.to_owned()).stack_size(512 * 1024);
    let blocked = SignalsBlocked::new();
    let started = builder.spawn(work);
    drop(blocked);
    started
        .map(drop)
        .map_err(|error| Error::Internal(format!("could not start thread \"{name}\": {error}")))
}

/// A value owned by a thread of its own, on which closures run one after another.
///
/// The main thread never blocks in the network: it waits for answers with interrupts enabled. When
/// the actor is dropped the value is dropped on its thread.
pub struct Actor<V> {
    requests: mpsc::Sender<Request<V>>,
}

type Request<V> = Box<dyn FnOnce(&mut V) + Send>;

impl<V: 'static> Actor<V> {
    /// Starts the thread, makes the value on it with `open`, and waits for that.
    pub fn start(name: &str, open: impl FnOnce() -> Result<V> + Send + 'static) -> Result<Self> {
        let (requests, inbox) = mpsc::channel::<Request<V>>();
        let (opened, opening) = mpsc::channel();
        spawn(name, move || match open() {
            Ok(mut value) => {
                // The waiting side may have been interrupted; then the inbox is closed too.
                let _ = opened.send(Ok(()));
                while let Ok(request) = inbox.recv() {
                    request(&mut value);
                }
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        })?;
        Pending { answer: opening }.wait()??;
        Ok(Actor { requests })
    }

    /// Runs `work` on the value's thread and waits for its result.
    pub fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut V) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.begin(work)?.wait()?
    }

    /// Has `work` run on the value's thread and returns at once.
    pub fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut V) -> T + Send + 'static,
    ) -> Result<Pending<T>> {
        let (answer, pending) = Pending::new();
        self.requests
            .send(Box::new(move |value| answer.give(work(value))))
            .map_err(|_| Error::Lost("its thread has ended".to_owned()))?;
        Ok(pending)
    }
}

/// An answer that a thread owes the main thread.
pub struct Pending<T> {
    answer: mpsc::Receiver<T>,
}

/// The thread's side of a `Pending`.
pub struct Answer<T> {
    sender: mpsc::Sender<T>,
}

impl<T> Answer<T> {
    /// Gives the answer. Nobody listens any more when the main thread was interrupted.
    pub fn give(self, answer: T) {
        let _ = self.sender.send(answer);
    }
}

impl<T> Pending<T> {
    /// An answer to come, and what gives it.
    pub fn new() -> (Answer<T>, Self) {
        let (sender, answer) = mpsc::channel();
        (Answer { sender }, Pending { answer })
    }

    /// Waits for the answer with interrupts enabled.
    pub fn wait(self) -> Result<T> {
        loop {
            // A plain receive wakes up at once; the latch is looked at between the polls.
            match self.answer.recv_timeout(POLL) {
                Ok(answer) => return Ok(answer),
                Err(mpsc::RecvTimeoutError::Timeout) => latch::wait(Duration::ZERO),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Error::Lost("its thread has ended".to_owned()));
                }
            }
        }
    }
}

impl<T> Pending<T> {
    /// Waits for the answer for a while, with interrupts enabled; None if there is none by then.
    pub fn wait_within(&self, limit: Duration) -> Result<Option<T>> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            match self.answer.recv_timeout(POLL) {
                Ok(answer) => return Ok(Some(answer)),
                Err(mpsc::RecvTimeoutError::Timeout) => latch::wait(Duration::ZERO),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Error::Lost("its thread has ended".to_owned()));
                }
            }
        }
        Ok(None)
    }
}

/// Blocks every signal of the calling thread and restores the old mask on drop.
struct SignalsBlocked {
    old: libc::sigset_t,
}

impl SignalsBlocked {
    fn new() -> Self {
        // SAFETY: sigset_t is plain data for which all zeroes is a valid value.
        let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut old: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `all` is a valid set to write.
        unsafe { libc::sigfillset(&mut all) };
        // SAFETY: both sets are valid for the call.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old) };
        SignalsBlocked { old }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: `old` was filled by pthread_sigmask above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.old, std::ptr::null_mut()) };
    }
}
