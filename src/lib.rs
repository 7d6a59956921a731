//! pgmig: copies a whole PostgreSQL database into the one it is installed in.

mod api;
mod check;
mod load;
mod pg;
mod run;
mod source_session;

::pgrx::pg_module_magic!(name, version);
