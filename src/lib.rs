//! pgmig: copies a whole PostgreSQL database into the one it is installed in.
mod pg;
mod run;

::pgrx::pg_module_magic!(name, version);
