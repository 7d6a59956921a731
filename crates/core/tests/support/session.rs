//! A catalog session over the `postgres` crate, for tests and developer programs.

use pgmig_core::source::CatalogSession;
use pgmig_core::{Error, Result};
use postgres::{Client, NoTls};

/// A connection that is set up the way a run sets up its own.
pub struct Session {
    client: Client,
    version_num: u32,
}

impl Session {
    /// Connects, empties the search path and turns off JIT compilation.
    pub fn connect(dsn: &str) -> Self {
        let mut client = Client::connect(dsn, NoTls).expect("could not connect");
        client.batch_execute("set search_path = ''; set jit = off").expect("set failed");
        let row = client.query_one("show server_version_num", &[]).expect("show failed");
        let version_num = row.get::<_, &str>(0).parse().expect("not a version");
        Session { client, version_num }
    }
}

impl CatalogSession for Session {
    fn query_json(&mut self, query: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let wrapped = format!("select row_to_json(q)::text from (\n{query}) q");
        let rows = self
            .client
            .query(&wrapped, &[])
            .map_err(|error| Error::Internal(format!("{:?} in {query}", error.as_db_error())))?;
        rows.iter().try_for_each(|row| each(row.get(0)))
    }

    fn version_num(&self) -> u32 {
        self.version_num
    }
}
