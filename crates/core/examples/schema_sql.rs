//! Prints the schema of a database as ordered statements, for developers:
//! `schema_sql 'host=… dbname=…'`.
//! With a second argument the indexes behind keys are built first.

#[path = "../tests/support/session.rs"]
mod session;

use pgmig_core::ddl::{self, DdlOptions};
use pgmig_core::plan::order;
use pgmig_core::source::catalog;
use session::Session;

fn main() -> pgmig_core::Result<()> {
    let dsn = std::env::args().nth(1).expect("usage: schema_sql CONNECTION");
    let catalog = catalog::read(&mut Session::connect(&dsn))?;
    let options = DdlOptions::all(catalog.server.version_num);
    let items = order::sort(ddl::render(&catalog, &options), &catalog.depends);
    println!("set search_path = '';\nset check_function_bodies = off;");
    let mut section = None;
    for (position, mut item) in items.into_iter().enumerate() {
        if section.replace(item.section) != Some(item.section) {
            println!("-- section: {:?}", item.section);
        }
        println!("-- {position} {:?}: {:?} needs {:?}", item.kind, item.object, item.depends_on);
        let built_first = item.index_definition.iter().zip(&item.using_index).next();
        if let Some((index, constraint)) = built_first.filter(|_| std::env::args().len() > 2) {
            item.create = vec![index.clone(), constraint.clone()];
        }
        let attributes = item.attributes.iter().map(|attribute| &attribute.sql);
        for sql in item.create.iter().chain(attributes) {
            println!("{sql};");
        }
    }
    Ok(())
}
