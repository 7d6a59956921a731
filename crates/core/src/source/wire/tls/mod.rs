//! TLS over a socket: the handshake, and what libpq's parameters make of certificates.
//!
//! `files` reads certificates and keys, `verifier` judges the server's, `client` shows our own,
//! `stream` carries the bytes, `binding` ties a login to the connection. What must hold: nothing is
//! read from the socket before the handshake but the one byte that answers the request, so that nobody
//! in between can put plain text in front of what is encrypted.

mod binding;
mod client;
mod files;
mod name;
mod path;
mod stream;
mod verifier;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::pki_types::{DnsName, IpAddr, Ipv4Addr, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};

use self::client::ClientCertificate;
use self::stream::TlsStream;
use self::verifier::Verifier;
use super::message;
use super::socket::{PlainStream, Socket};
use crate::source::dsn::{Endpoint, Negotiation, TlsOptions, TlsVersion};
use crate::{Error, Result};

/// PostgreSQL's name among the protocols that run over TLS.
const ALPN: &[u8] = b"postgresql";

/// A stream in a TLS connection, and what a login can be bound to.
pub(super) struct Encrypted {
    pub(super) stream: TlsStream,
    /// Hash of the server's certificate; None if its kind has none.
    pub(super) end_point: Option<Vec<u8>>,
}

/// Why there is no TLS.
pub(super) enum Failure {
    /// The server does not do TLS; the socket can go on without it.
    Refused,
    /// Something on the way; the socket is lost.
    Broken(String),
}

/// What it takes to start TLS with a server, again and again.
#[derive(Clone)]
pub(super) struct TlsConnector {
    config: Arc<ClientConfig>,
    client: Option<Arc<ClientCertificate>>,
    server_name: ServerName<'static>,
    negotiation: Negotiation,
}

impl TlsConnector {
    /// Reads the files that the options name.
    pub(super) fn new(options: &TlsOptions, endpoint: &Endpoint) -> Result<TlsConnector> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let versions: Vec<&'static SupportedProtocolVersion> =
            [(TlsVersion::V1_2, &TLS12), (TlsVersion::V1_3, &TLS13)]
                .into_iter()
                .filter(|(version, _)| {
                    (options.min_version..=options.max_version).contains(version)
                })
                .map(|(_, version)| version)
                .collect();
        let host = endpoint.host();
        let verifier = Verifier::new(options, &host, algorithms)?;
        let client = ClientCertificate::load(options, &provider)?.map(Arc::new);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| Error::Internal(format!("TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &client {
            Some(client) => builder.with_client_cert_resolver(Arc::clone(client) as _),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        // PostgreSQL offers none.
        config.resumption = Resumption::disabled();
        let dns_name = DnsName::try_from(host).ok().filter(|_| options.sends_server_name);
        config.enable_sni = dns_name.is_some();
        let server_name = match dns_name {
            Some(name) => ServerName::DnsName(name),
            // Stands for "none": it is not sent, and the verifier knows the host itself.
            None => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0; 4]))),
        };
        Ok(TlsConnector {
            config: Arc::new(config),
            client,
            server_name,
            negotiation: options.negotiation,
        })
    }

    /// Asks for TLS and shakes hands, until `deadline` at most.
    pub(super) fn start(
        &self,
        socket: &Arc<Socket>,
        deadline: Option<Instant>,
    ) -> std::result::Result<Encrypted, Failure> {
        let broken = |error: io::Error| Failure::Broken(describe_io(&error));
        let mut plain = PlainStream(Arc::clone(socket));
        if self.negotiation == Negotiation::Postgres {
            socket.limit(deadline).map_err(broken)?;
            match request(&mut plain).map_err(broken)? {
                b'S' => {}
                b'N' => return Err(Failure::Refused),
                // Whoever sent it is not known yet, so its text is not shown.
                b'E' => {
                    return Err(Failure::Broken(
                        "the server answers the request for TLS with an error".to_owned(),
                    ));
                }
                _ => {
                    return Err(Failure::Broken(
                        "the server does not answer the request for TLS as PostgreSQL does"
                            .to_owned(),
                    ));
                }
            }
        }
        let mut connection =
            ClientConnection::new(Arc::clone(&self.config), self.server_name.clone())
                .map_err(|error| Failure::Broken(describe(&error)))?;
        stream::shake_hands(&mut connection, &mut plain, socket, deadline).map_err(broken)?;
        self.check(&connection).map_err(Failure::Broken)?;
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        let end_point = certificate.and_then(|certificate| binding::end_point(certificate));
        Ok(Encrypted { stream: TlsStream::new(connection, plain), end_point })
    }

    /// Checks what a handshake that has succeeded must have brought.
    fn check(&self, connection: &ClientConnection) -> std::result::Result<(), String> {
        if self.negotiation == Negotiation::Direct && connection.alpn_protocol() != Some(ALPN) {
            return Err("the server speaks TLS, but not for PostgreSQL's protocol".to_owned());
        }
        if self.client.as_ref().is_some_and(|client| client.was_wanted_in_vain()) {
            return Err("the server did not ask for the client's certificate, and \
                        sslcertmode=require wants it to"
                .to_owned());
        }
        Ok(())
    }
}

/// Asks for TLS and returns the server's one byte.
fn request(plain: &mut PlainStream) -> io::Result<u8> {
    plain.write_all(&message::tls_request())?;
    let mut answer = [0];
    plain.read_exact(&mut answer)?;
    Ok(answer[0])
}

/// An error of the socket under TLS, in words.
fn describe_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "no answer within the time allowed".to_owned()
        }
        io::ErrorKind::UnexpectedEof => {
            "the server closed the connection instead of starting TLS".to_owned()
        }
        _ => error.to_string(),
    }
}

/// An error of TLS, in words.
fn describe(error: &rustls::Error) -> String {
    match error {
        rustls::Error::General(text) => text.clone(),
        rustls::Error::AlertReceived(alert) => {
            format!("the server refuses TLS with alert {alert:?}")
        }
        other => format!("TLS failed: {other}"),
    }
}
