//! The only unsafe code: safe, RAII-shaped access to what the server offers an extension.
//!
//! One call per `unsafe` block, each with its reason. Nothing here knows what a run is. Every function
//! is for the main thread unless its comment says otherwise; `Drop`s never raise.

pub mod catch;
pub mod collation;
pub mod copy_in;
pub mod created;
pub mod foreign;
pub mod foreign_key;
pub mod heap_count;
mod heap_file;
mod heap_load;
mod heap_pages;
pub mod index_build;
pub mod large_object;
pub mod latch;
pub mod mailbox;
pub mod owner;
mod page_writer;
pub mod process;
mod relation;
pub mod scan;
pub mod spi;
pub mod statistics;
mod syscache;
pub mod table_create;
pub mod thread;
pub mod transaction;
pub mod utility;
pub mod worker;
