//! Catalog queries that are asked all at once, so that a distant server is waited for once.
//!
//! Queries go in, each with a handle for its rows; after `run` the handles give them out.

use std::cell::RefCell;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::{Secrets, decode, select_lines};
use crate::Result;
use crate::source::CatalogSession;

/// Takes a row of its query.
type Reader = Box<dyn FnMut(&str) -> Result<()>>;

/// Queries as they read for a server's version.
pub struct Batch {
    major: u32,
    texts: Vec<String>,
    readers: Vec<Reader>,
}

/// The rows of a query, once it has run.
pub struct Rows<T>(Rc<RefCell<Vec<T>>>);

impl<T> Rows<T> {
    /// The rows, in their order.
    pub fn take(self) -> Vec<T> {
        self.0.take()
    }
}

impl Batch {
    /// A batch for the server of a session.
    pub fn new(session: &dyn CatalogSession) -> Self {
        let major = session.version_num() / 10_000;
        Batch { major, texts: Vec::new(), readers: Vec::new() }
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Adds a query, marked for versions as those of the catalog are.
    pub fn add<T: DeserializeOwned + 'static>(&mut self, query: &'static str) -> Rows<T> {
        let rows = Rc::new(RefCell::new(Vec::new()));
        let read = Rc::clone(&rows);
        self.texts.push(select_lines(query, self.major, Secrets::Redacted));
        self.readers.push(Box::new(move |json| {
            read.borrow_mut().push(decode(query, json)?);
            Ok(())
        }));
        Rows(rows)
    }

    /// Runs all queries; the first error is that of all.
    pub fn run(mut self, session: &mut dyn CatalogSession) -> Result<()> {
        session.query_json_each(&self.texts, &mut |position, json| self.readers[position](json))
    }
}
