//! pgmig: copies a whole PostgreSQL database into the one it is installed in.

mod api;
mod check;
mod load;
mod pg;
mod run;
mod source_session;

::pgrx::pg_module_magic!(name, version);

#[cfg(any(test, feature = "pg_test"))]
mod server_tests;

/// What `cargo pgrx test` looks for.
#[cfg(test)]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    pub fn postgresql_conf_options() -> Vec<&'static str> {
        Vec::new()
    }
}
