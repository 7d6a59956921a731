//! Everything that talks to the source.

pub mod binary_types;
pub mod catalog;
pub mod dsn;
pub mod large_objects;
pub mod ranges;
pub mod session;
pub mod snapshot;
pub mod unchanged;
pub mod wire;

use crate::Result;

/// A session that answers catalog queries: the source over its connection, the target through SPI.
///
/// Every catalog query is a plain `select` in a `.sql` file. Implementations wrap it as
/// `select row_to_json(q)::text from (<query>) q` and hand each row's JSON text to `each`, so that one
/// query and one struct serve both databases.
pub trait CatalogSession {
    /// Runs `query` and calls `each` with every row as one JSON object.
    fn query_json(&mut self, query: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()>;

    /// Runs all of `queries` and calls `each` with a query's position and every row of it, in order; to be
    /// done with one message where that saves waiting.
    fn query_json_each(
        &mut self,
        queries: &[String],
        each: &mut dyn FnMut(usize, &str) -> Result<()>,
    ) -> Result<()> {
        for (position, query) in queries.iter().enumerate() {
            self.query_json(query, &mut |json| each(position, json))?;
        }
        Ok(())
    }

    /// `server_version_num` of the server, such as 150018.
    fn version_num(&self) -> u32;
}
