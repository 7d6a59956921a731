//! The coordinator's view of its workers: started, given tasks, watched, stopped.
//!
//! Each worker has a mailbox. Its state, STARTING (0) at first, says whose turn it is:
//!
//! ```text
//!   STARTING ──worker──> IDLE ──coordinator──> ASSIGNED ──worker──> DONE | PARTLY_DONE | FAILED
//!   DONE | PARTLY_DONE | FAILED ──coordinator──> IDLE
//!   STARTING ──worker──> REFUSED (could not start; the text says why)
//! ```
//!
//! A worker that is gone without an answer has died; its transaction is rolled back by then.

use pgmig_core::error::{Remedy, TargetError};
use pgmig_core::source::dsn::Endpoint;
use pgmig_core::{Error, Result, secret};
use pgrx::pg_sys;
use serde::{Deserialize, Serialize};

use super::launch::SentError;
use super::source_spec::SourceSpec;
use super::state::{RunId, RunKind};
use crate::pg::latch;
use crate::pg::mailbox::Mailbox;
use crate::pg::worker::{Worker, WorkerStatus};

pub(super) const IDLE: u32 = 1;
pub(super) const ASSIGNED: u32 = 2;
pub(super) const DONE: u32 = 3;
pub(super) const FAILED: u32 = 4;
pub(super) const REFUSED: u32 = 5;
pub(super) const PARTLY_DONE: u32 = 6;

/// A task number that asks the worker to give up its session with the source.
pub(super) const RELEASE_SOURCE: i64 = 0;
/// A task number that asks the worker to end.
pub(super) const END: i64 = -1;

/// Room in a worker's mailbox for the error of a task.
const ANSWER_BYTES: usize = 32 * 1024;

/// What a worker must know to work for a run; travels in shared memory because it holds the secret.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WorkerRequest {
    pub run: RunId,
    pub kind: RunKind,
    /// 1 and up.
    pub worker: i32,
    pub source: SourceSpec,
    pub is_superuser: bool,
    /// Options in canonical JSON.
    pub options: String,
    /// What tells the run's snapshot from others; its names are in pgmig's tables.
    pub xids: String,
    /// `application_name` of the sessions with the source.
    pub application_name: String,
    /// Where the snapshot is, of the places that the source may be in.
    pub place: Option<Endpoint>,
}

/// What has become of a worker since the last look.
pub(super) enum Change {
    /// It is ready for its first task.
    Ready,
    /// It has done the task it was given.
    Done(i32),
    /// It has done what could be done of the task; the error says what could not.
    PartlyDone(i32, Error),
    /// The task it was given has failed, and what may help.
    Failed(i32, Error, Remedy),
    /// It could not start, or has died; with the task it was at.
    Gone(Option<i32>, Error),
}

/// One worker.
pub(super) struct Slot {
    pub number: i32,
    worker: Worker,
    mailbox: Mailbox,
    task: Option<i32>,
    is_ready: bool,
    /// Whether it has had a task that reads from the source, so that its session is probably open.
    has_session: bool,
    /// Whether it has been asked to give up its session with the source.
    is_released: bool,
}

/// The workers of a run.
pub(super) struct Pool {
    slots: Vec<Slot>,
}

impl Pool {
    /// Registers up to `count` workers; fewer, or none, when slots run out.
    pub fn start(count: usize, role: pg_sys::Oid, request: &WorkerRequest) -> Result<Pool> {
        let mut pool = Pool { slots: Vec::new() };
        for number in 1..=i32::try_from(count).unwrap_or(i32::MAX) {
            let request = WorkerRequest { worker: number, ..request.clone() };
            let text = secret::encode(&request)?;
            let mailbox = Mailbox::create(role, &text, ANSWER_BYTES)?;
            let name = format!("pgmig run {} worker {number}", request.run);
            let worker = Worker::register("pgmig_worker_main", &name, "pgmig worker", &mailbox)?;
            let Some(worker) = worker else {
                break;
            };
            pool.slots.push(Slot {
                number,
                worker,
                mailbox,
                task: None,
                is_ready: false,
                has_session: false,
                is_released: false,
            });
        }
        Ok(pool)
    }

    /// How many workers there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// What has changed since the last call; workers that are gone are removed.
    pub fn changes(&mut self) -> Vec<(i32, Change)> {
        let mut changes = Vec::new();
        self.slots.retain_mut(|slot| match slot.change() {
            Some(change) => {
                let stays = !matches!(change, Change::Gone(..));
                changes.push((slot.number, change));
                stays
            }
            None => true,
        });
        changes
    }

    /// The number of a worker without a task that `may_work`; for a task that reads from the source, one
    /// with a session if there is any: to open another one takes several round trips.
    pub fn idle(&self, reads_source: bool, may_work: impl Fn(i32) -> bool) -> Option<i32> {
        self.slots
            .iter()
            .filter(|slot| slot.is_ready && slot.task.is_none() && may_work(slot.number))
            .min_by_key(|slot| slot.has_session != reads_source)
            .map(|slot| slot.number)
    }

    /// Lets a worker without a task go.
    pub fn dismiss(&mut self, number: i32) {
        self.slots.retain(|slot| slot.number != number);
    }

    /// How many workers have a task.
    pub fn busy_count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.task.is_some()).count()
    }

    /// Process id of the worker `number`, 0 if it has none.
    pub fn pid(&self, number: i32) -> i32 {
        self.find(number).and_then(|slot| slot.mailbox.peer_pid()).unwrap_or(0)
    }

    /// Gives a task to the idle worker `number`.
    pub fn assign(&mut self, number: i32, task: i32, reads_source: bool) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.number == number) {
            slot.task = Some(task);
            slot.has_session |= reads_source;
            slot.send(i64::from(task));
        }
    }

    /// Asks every worker without a task, once, to give up its session with the source; it takes no
    /// task until it has answered, or the answer would overwrite the task.
    pub fn release_source(&mut self) {
        for slot in &mut self.slots {
            if slot.is_ready && slot.task.is_none() && !slot.is_released {
                slot.is_released = true;
                slot.has_session = false;
                slot.is_ready = false;
                slot.send(RELEASE_SOURCE);
            }
        }
    }

    /// Ends the workers, those at a task at once, and returns whether all are gone; to be called again
    /// until they are.
    pub fn stop(&mut self) -> bool {
        self.slots.retain(|slot| slot.worker.status() != WorkerStatus::Stopped);
        for slot in &self.slots {
            if !slot.is_ready || slot.task.is_some() {
                slot.worker.terminate();
            } else if slot.mailbox.state() == IDLE {
                slot.send(END);
            }
        }
        self.slots.is_empty()
    }

    fn find(&self, number: i32) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.number == number)
    }
}

impl Slot {
    fn send(&self, task: i64) {
        self.mailbox.set_number(task);
        self.mailbox.set_state(ASSIGNED);
        if let Some(pid) = self.mailbox.peer_pid() {
            latch::wake(pid);
        }
    }

    fn change(&mut self) -> Option<Change> {
        // The status comes first: a worker that answers and ends in between has answered.
        let status = self.worker.status();
        match self.mailbox.state() {
            IDLE if !self.is_ready => {
                self.is_ready = true;
                Some(Change::Ready)
            }
            DONE => {
                self.mailbox.set_state(IDLE);
                self.task.take().map(Change::Done)
            }
            FAILED => {
                let (error, remedy) = SentError::decode(&self.mailbox.take_text());
                self.mailbox.set_state(IDLE);
                self.task.take().map(|task| Change::Failed(task, error, remedy))
            }
            PARTLY_DONE => {
                let (error, _) = SentError::decode(&self.mailbox.take_text());
                self.mailbox.set_state(IDLE);
                self.task.take().map(|task| Change::PartlyDone(task, error))
            }
            REFUSED => Some(Change::Gone(None, SentError::decode(&self.mailbox.take_text()).0)),
            _ if status == WorkerStatus::Stopped => Some(self.died()),
            _ => None,
        }
    }

    fn died(&mut self) -> Change {
        let error = TargetError {
            sqlstate: "57P01".to_owned(),
            message: format!("worker {} has ended unexpectedly", self.number),
            hint: Some("The server's log says why.".to_owned()),
            ..TargetError::default()
        };
        Change::Gone(self.task.take(), Error::Target(Box::new(error)))
    }
}
