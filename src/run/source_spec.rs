//! What the user gave as the source: a connection string, or the name of a foreign server.

use pgmig_core::secret::Secret;
use pgmig_core::source::dsn::{self, Dsn};
use pgmig_core::{Error, Result};
use pgrx::prelude::*;
use serde::{Deserialize, Serialize};

use crate::pg::{foreign, process};

/// Wrappers whose servers and mappings describe a PostgreSQL connection.
const WRAPPERS: [&str; 2] = ["postgres_fdw", "dblink_fdw"];

/// What it takes to build the `Dsn` again in another process; holds the secret.
#[derive(Clone, Serialize, Deserialize)]
pub enum SourceSpec {
    /// A connection string or URI.
    Text(Secret),
    /// The options of a foreign server and its user mapping.
    Options(Vec<(String, Secret)>),
}

impl SourceSpec {
    /// The parsed source, with `role` as the user where none is named.
    pub fn dsn(&self, role: &str) -> Result<Dsn> {
        let mut dsn = match self {
            SourceSpec::Text(text) => Dsn::parse(text.reveal())?,
            SourceSpec::Options(options) => Dsn::from_options(
                options.iter().map(|(key, value)| (key.as_str(), value.reveal())),
            )?,
        };
        dsn.set_default_user(role);
        Ok(dsn)
    }
}

/// Resolves `source` as `dblink_connect` does: a foreign server of that name comes first. Returns its
/// name if it is one. Only a superuser may have files read, here or in the options of a foreign server.
pub fn resolve(source: &str) -> Result<(SourceSpec, Option<String>)> {
    match foreign::find_server(source)? {
        Some(server) => Ok((resolve_server(source, &server)?, Some(source.to_owned()))),
        None if is_plain_name(source) => Err(Error::ConnectionString {
            message: format!("foreign server \"{source}\" does not exist"),
            hint: Some(
                "Give the name of a foreign server, or a connection string such as \
                 'host=old-server dbname=shop user=migrator'."
                    .to_owned(),
            ),
        }),
        None => {
            if !process::is_superuser(process::current_user()) {
                refuse_file(Dsn::parse(source)?.file_parameter())?;
            }
            Ok((SourceSpec::Text(Secret::new(source.to_owned())), None))
        }
    }
}

/// Whether a text can only be meant as a name; a connection string gone wrong is not repeated.
fn is_plain_name(source: &str) -> bool {
    !source.is_empty() && !source.contains(['=', ':', '@', '/'])
}

fn resolve_server(name: &str, server: &foreign::ForeignServer) -> Result<SourceSpec> {
    if !WRAPPERS.contains(&server.wrapper.as_str()) {
        return Err(Error::ConnectionString {
            message: format!(
                "foreign server \"{name}\" belongs to foreign-data wrapper \"{}\"",
                server.wrapper
            ),
            hint: Some("Use a server of postgres_fdw or dblink_fdw.".to_owned()),
        });
    }
    let is_allowed = Spi::get_one_with_args::<bool>(
        "select pg_catalog.has_server_privilege($1, 'usage')",
        &[name.into()],
    );
    if !matches!(is_allowed, Ok(Some(true))) {
        return Err(Error::Preflight {
            message: format!("permission denied for foreign server {name}"),
            detail: None,
            hint: Some(format!("Grant USAGE on foreign server \"{name}\" to the current user.")),
            sqlstate: "42501",
        });
    }
    // The wrappers let nobody else put files into a user mapping.
    if !process::is_superuser(process::current_user()) && !process::is_superuser(server.owner) {
        let options = server.options.iter();
        refuse_file(dsn::file_option(options.map(|(key, value)| (key.as_str(), value.as_str()))))?;
    }
    let mut options = server.options.clone();
    options.extend(server.user_mapping());
    let options = options.into_iter().map(|(key, value)| (key, Secret::new(value)));
    Ok(SourceSpec::Options(options.collect()))
}

/// Refuses a parameter that names a file, if there is one.
fn refuse_file(parameter: Option<&str>) -> Result<()> {
    let Some(parameter) = parameter else {
        return Ok(());
    };
    Err(Error::Preflight {
        message: format!("permission denied for connection parameter \"{parameter}\""),
        detail: Some("It names a file that the server's user would read.".to_owned()),
        hint: Some(
            "Only superusers may name files, here or as owners of a foreign server; \
             sslrootcert=system needs none."
                .to_owned(),
        ),
        sqlstate: "42501",
    })
}
