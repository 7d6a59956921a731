//! Heap pages and tuples as PostgreSQL 15 to 18 lay them out on 64-bit machines, without a server.
//!
//! Reading: index builds and foreign key checks read whole tables for one or two columns. `page` has line
//! pointers and tuples, `deform` columns of a tuple, `key` values that sort as plain integers, `sort` many
//! of them in order, `key_set` whether a value is among many; `wide_key` has keys with texts, `wide_sort`
//! many of these in order.
//!
//! Writing: `rows` takes the rows out of a binary COPY, `form` makes tuples of them, `pglz` compresses
//! long values, `fill` makes pages of tuples.
//!
//! Layout: `storage/bufpage.h`, `access/htup_details.h`, `varatt.h`.

pub mod deform;
pub mod fill;
pub mod form;
pub mod key;
pub mod key_set;
pub mod page;
pub mod pglz;
pub mod rows;
pub mod sort;
pub mod wide_key;
pub mod wide_sort;

#[cfg(test)]
mod tests;
