//! Prints the schema of a database as ordered statements, for developers:
//! `schema_sql 'host=… dbname=…'`.
//! A second argument is the `server_version_num` of the target; without it that of the source is taken.

#[path = "../tests/support/session.rs"]
mod session;

use pgmig_core::ddl::{self, DdlOptions};
use pgmig_core::plan::order;
use pgmig_core::source::catalog;
use session::Session;

fn main() -> pgmig_core::Result<()> {
    let dsn = std::env::args().nth(1).expect("usage: schema_sql CONNECTION [VERSION]");
    let catalog = catalog::read(&mut Session::connect(&dsn))?;
    let target_version = std::env::args().nth(2).map_or(catalog.server.version_num, |version| {
        version.parse().expect("not a server_version_num")
    });
    let options = DdlOptions::all(target_version);
    let items = order::sort(ddl::render(&catalog, &options), &catalog.depends);
    println!("set search_path = '';\nset check_function_bodies = off;");
    let mut section = None;
    for (position, item) in items.iter().enumerate() {
        if section.replace(item.section) != Some(item.section) {
            println!("-- section: {:?}", item.section);
        }
        println!("-- {position} {:?}: {:?} needs {:?}", item.kind, item.object, item.depends_on);
        let attributes = item.attributes.iter().map(|attribute| &attribute.sql);
        for sql in item.create.iter().chain(attributes) {
            println!("{sql};");
        }
    }
    Ok(())
}
