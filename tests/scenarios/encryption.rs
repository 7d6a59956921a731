//! A source that lets nobody in without TLS and a client certificate.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use pgmig_tests::{
    Cluster, ClusterOptions, Gate, Installation, Pair, eventually, expect_error, run,
};

/// Certificates as PostgreSQL's documentation has them made: one authority, the server's for the host,
/// the client's for the role.
const CERTIFICATES: &str = "
    exec 2>/dev/null
    printf '[ca]\nbasicConstraints=critical,CA:true\n' > ca.cnf
    openssl req -new -nodes -out ca.csr -keyout ca.key -subj /CN=authority
    openssl x509 -req -in ca.csr -days 3650 -extfile ca.cnf -extensions ca -signkey ca.key -out ca.crt
    for name in old-server.test migrator; do
        openssl req -new -nodes -out $name.csr -keyout $name.key -subj /CN=$name
        openssl x509 -req -in $name.csr -days 365 -CA ca.crt -CAkey ca.key -CAcreateserial \\
            -out $name.crt
    done
    chmod 600 *.key";

/// Role `migrator` needs a certificate, `reader` a password.
const AUTHENTICATION: &str = "
    local all all trust
    hostssl all migrator 127.0.0.1/32 cert
    hostssl all reader 127.0.0.1/32 scram-sha-256\n";

/// Makes the certificates in the cluster's directory and turns TLS on.
fn encrypt(source: &Cluster) -> Result<()> {
    let directory = source.directory().display();
    let script = format!("cd {directory} && {{ {CERTIFICATES}; }}");
    let mut bash = source.installation().foreign_program(Path::new("bash"))?;
    run(bash.args(["-euo", "pipefail", "-c", &script]))?;
    fs::write(source.data_dir().join("pg_hba.conf"), AUTHENTICATION)?;
    let mut client = source.client("postgres")?;
    for (name, value) in [
        ("ssl_cert_file", format!("{directory}/old-server.test.crt")),
        ("ssl_key_file", format!("{directory}/old-server.test.key")),
        ("ssl_ca_file", format!("{directory}/ca.crt")),
        ("log_connections", "on".to_owned()),
        ("ssl", "on".to_owned()),
    ] {
        client.batch_execute(&format!("alter system set {name} = '{value}'"))?;
    }
    client.batch_execute(
        "select pg_reload_conf();
        create role migrator login;
        create role reader login password 'geheim';
        grant pg_read_all_data to migrator, reader;
        grant all on database postgres to migrator",
    )?;
    eventually("TLS is on", || {
        let row = source.client("postgres")?.query_one("show ssl", &[])?;
        Ok(row.get::<_, &str>(0) == "on")
    })
}

/// A pair whose source wants TLS.
fn encrypted_pair() -> Result<Pair> {
    let installation = Installation::of_extension()?;
    let source = ClusterOptions::new(installation.clone(), "encrypted").tcp_auth("reject");
    let pair = Pair::start(source, ClusterOptions::new(installation, "trusting"))?;
    encrypt(&pair.source)?;
    Ok(pair)
}

#[test]
fn every_session_of_a_run_is_encrypted_and_shows_its_certificate() -> Result<()> {
    let pair = encrypted_pair()?;
    let databases = pair.databases("encryption")?;
    let directory = pair.source.directory().display();
    let dsn = format!(
        "host=old-server.test hostaddr=127.0.0.1 port={} dbname=encryption user=migrator \
         sslmode=verify-full sslrootcert={directory}/ca.crt sslcert={directory}/migrator.crt \
         sslkey={directory}/migrator.key",
        pair.source.port()
    );
    let gate = Gate::close(&databases)?;
    gate.open()?;
    let mut target = databases.target()?;
    let migrate = "select status from pgmig.migrate($1, $2::text::jsonb)";
    let options = r#"{"jobs": 2, "validation": "checksum"}"#;
    let rows = target.query(migrate, &[&dsn, &options])?;
    ensure!(rows.iter().all(|row| row.get::<_, &str>(0) == "match") && !rows.is_empty());
    databases.expect_same_data()?;

    // Coordinator and workers, none of them in clear.
    let log = pair.source.log()?;
    let sessions: Vec<_> =
        log.lines().filter(|line| line.contains("authorized: user=migrator")).collect();
    ensure!(sessions.len() >= 3, "{sessions:?}");
    ensure!(sessions.iter().all(|line| line.contains("SSL enabled")), "{sessions:?}");

    for (from, to, cause) in [
        ("host=old-server.test", "host=elsewhere.test", "host name \"elsewhere.test\""),
        ("sslmode=verify-full", "sslmode=disable", "no encryption"),
        ("/migrator.key", "/ca.key", "not the key of sslcert"),
        ("/ca.crt", "/missing.crt", "missing.crt"),
        (&format!("sslrootcert={directory}/ca.crt"), "sslrootcert=system", "operating system"),
    ] {
        let error = target.query(migrate, &[&dsn.replace(from, to), &options]).err();
        let error = error.as_ref().and_then(|error| error.as_db_error());
        ensure!(error.is_some_and(|error| error.message().contains(cause)), "{to}: {error:?}");
    }
    Ok(())
}

#[test]
fn a_cancelled_run_ends_its_encrypted_sessions_too() -> Result<()> {
    let pair = encrypted_pair()?;
    let databases = pair.databases("encryption_cancel")?;
    let mut gate = Gate::close(&databases)?;
    let dsn = format!(
        "host=127.0.0.1 port={} dbname=encryption_cancel user=reader password=geheim \
         sslmode=require channel_binding=require",
        pair.source.port()
    );
    let mut target = databases.target()?;
    let start = "select pgmig.start($1, $2::text::jsonb)";
    let run: i64 = target.query_one(start, &[&dsn, &pgmig_tests::GATED])?.get(0);
    gate.await_run()?;
    target.query_one("select pgmig.cancel($1)", &[&run])?;
    let outcome = target.query("select * from pgmig.wait($1)", &[&run]);
    expect_error("57014", outcome)?;
    pgmig_tests::aftermath::expect_end(&databases, "cancelled", "on request")
}

#[test]
fn only_superusers_have_files_read() -> Result<()> {
    let pair = encrypted_pair()?;
    let databases = pair.databases("encryption_files")?;
    databases.execute_on_source("create table t (id int); insert into t values (1)")?;
    let directory = pair.source.directory().display();
    let port = pair.source.port();
    databases.execute_on_target(&format!(
        "create role limited login;
        create extension postgres_fdw;
        grant usage on foreign data wrapper postgres_fdw to limited;
        grant execute on all functions in schema pgmig to limited;
        grant all on schema public to limited;
        create server trusted foreign data wrapper postgres_fdw options (
            host 'old-server.test', hostaddr '127.0.0.1', port '{port}', dbname 'encryption_files',
            sslmode 'verify-full', sslrootcert '{directory}/ca.crt');
        grant usage on foreign server trusted to limited;
        create user mapping for limited server trusted options (user 'reader', password 'geheim');
        set role limited;
        create server own foreign data wrapper postgres_fdw options (
            hostaddr '127.0.0.1', port '{port}', dbname 'encryption_files',
            sslmode 'verify-ca', sslrootcert '{directory}/ca.crt');
        create user mapping for limited server own options (user 'reader', password 'geheim')"
    ))?;
    let mut limited = databases.target()?;
    limited.batch_execute("set session authorization limited")?;
    let migrate = "select status from pgmig.migrate($1, '{\"owner\": false, \"privileges\": false,
        \"comments\": false}')";
    let dsn = format!(
        "hostaddr=127.0.0.1 port={port} dbname=encryption_files user=reader password=geheim"
    );
    for parameter in ["sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"] {
        let source = format!("{dsn} {parameter}=/etc/passwd sslmode=require");
        let outcome = limited.query(migrate, &[&source]);
        // A certificate without its key is refused as such, before anything is read.
        let error = outcome.err().and_then(|error| error.as_db_error().cloned());
        let is_refused = error.as_ref().is_some_and(|error| {
            error.message().contains(parameter) && ["42501", "08001"].contains(&error.code().code())
        });
        ensure!(is_refused, "{parameter}: {error:?}");
    }
    let error = expect_error("42501", limited.query(migrate, &[&"own"]))?;
    ensure!(error.message().contains("\"sslrootcert\""), "{error:?}");
    for source in ["trusted", &dsn] {
        let row = limited.query_one(migrate, &[&source])?;
        ensure!(row.get::<_, &str>(0) == "match");
        limited.batch_execute("drop table t")?;
    }
    Ok(())
}
