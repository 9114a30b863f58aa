//! Upstreams: what a service compiles to, and the connections of one proxy thread.
//!
//! Each proxy thread has its own [`Pool`], so a connection never wakes another thread. Idle HTTP/1.1 connections are
//! reused last in, first out; an HTTP/2 connection is shared by as many calls as its peer allows. What has been idle
//! for [`IDLE`] is closed.
//!
//! TLS certificates are verified unless the service says `tls_verify: false` (Kong's default is not to verify; a
//! gateway that sends API keys to the public internet must).

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tower::Service;

use super::path::normalize;
use super::tee::RequestBody;
use crate::{entity, tls};

/// How long an idle connection is kept: Kong's `upstream_keepalive_idle_timeout`.
pub const IDLE: Duration = Duration::from_secs(60);

/// Idle connections kept to one upstream by one thread: Kong's `upstream_keepalive_pool_size`.
const MAX_IDLE: usize = 512;

/// Calls on one HTTP/2 connection before another is opened. Servers allow 100 and more (RFC 9113, 6.5.2 recommends no
/// fewer); calls beyond what the server allows would wait inside the connection.
const MAX_STREAMS: u32 = 100;

/// Bytes that one call on an HTTP/2 connection, of a client or to an upstream, may have under way before they are taken.
pub const STREAM_WINDOW: u32 = 256 << 10;

/// The same for a connection with `streams` calls: as much as all of them together, so that one call whose peer takes
/// nothing never holds the others up.
pub const fn connection_window(streams: u32) -> u32 {
    streams * STREAM_WINDOW
}

/// Longest list of header fields over HTTP/2, counted as RFC 9113, 6.5.2 does; hyper's own limit is 16 KiB.
pub const MAX_HEADER_LIST: u32 = 128 << 10;

/// What connections are shared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Scheme, host and port to connect to.
    pub uri: Uri,
    /// Verify the certificate.
    pub verify: bool,
}

/// A service, compiled.
#[derive(Debug)]
pub struct Profile {
    /// Name, or id where it has none.
    pub name: String,
    /// Where to connect.
    pub target: Arc<Target>,
    /// Scheme of the target.
    pub scheme: Scheme,
    /// Host and port of the target; the port is left out where it is the scheme's own.
    pub authority: Authority,
    /// [`Self::authority`] as a header.
    pub host_header: HeaderValue,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path that comes before the request's; `/` where there is none.
    pub path: String,
    /// Longest time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Longest time between two writes.
    pub write_timeout: Duration,
    /// Longest time between two reads.
    pub read_timeout: Duration,
    /// Further attempts after a failed connect.
    pub retries: u32,
}

impl Profile {
    /// Compiles a service.
    ///
    /// # Errors
    ///
    /// Names the service and the attribute that cannot be used.
    pub fn new(service: &entity::Service) -> Result<Self, String> {
        let name = service.name.clone().unwrap_or_else(|| service.id.clone());
        let wrong = |attribute: &str, why: &dyn fmt::Display| format!("service {name}: {attribute}: {why}");
        let (scheme, own_port) = match service.protocol.as_str() {
            "http" => (Scheme::HTTP, 80),
            "https" => (Scheme::HTTPS, 443),
            other => return Err(wrong("protocol", &format!("{other} is not supported"))),
        };
        let bare = &service.host;
        let host = if bare.contains(':') && !bare.starts_with('[') { format!("[{bare}]") } else { bare.clone() };
        let full = format!("{host}:{}", service.port);
        let authority = if service.port == own_port { &host } else { &full };
        let authority = Authority::try_from(authority.as_str()).map_err(|why| wrong("host", &why))?;
        let uri = Uri::builder().scheme(scheme.clone()).authority(full).path_and_query("/").build();
        Ok(Self {
            target: Arc::new(Target {
                uri: uri.map_err(|why| wrong("host", &why))?,
                verify: service.tls_verify != Some(false),
            }),
            scheme,
            host_header: HeaderValue::try_from(authority.as_str()).map_err(|why| wrong("host", &why))?,
            authority,
            host,
            port: service.port,
            path: service.path.as_deref().map_or_else(|| "/".to_owned(), |path| normalize(path).into_owned()),
            connect_timeout: Duration::from_millis(service.connect_timeout),
            write_timeout: Duration::from_millis(service.write_timeout),
            read_timeout: Duration::from_millis(service.read_timeout),
            retries: service.retries,
            name,
        })
    }
}

/// Makes connections; cheap to clone.
#[derive(Clone)]
pub struct Connector {
    verified: Https,
    unverified: Https,
}

/// Connects over TLS, by what the upstream is offered.
#[derive(Clone)]
struct Https {
    any: HttpsConnector<HttpConnector<Resolver>>,
    http1: HttpsConnector<HttpConnector<Resolver>>,
}

/// What a call needs of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// HTTP/1.1 or HTTP/2, whichever the upstream prefers.
    Any,
    /// HTTP/1.1: only there can a connection switch to WebSocket.
    Http1,
}

/// A connection that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name does not resolve.
    #[error("name resolution failed")]
    Name,
    /// TLS: the certificate or the protocol is not acceptable. Another attempt would not change that.
    #[error("tls: {0}")]
    Tls(String),
    /// Refused, unreachable, broken off.
    #[error("connect: {0}")]
    Io(String),
    /// Took longer than the service's `connect_timeout`.
    #[error("connect: timed out")]
    Timeout,
}

impl Connector {
    /// A connector that trusts the system's certificate authorities, or Mozilla's where the system has none.
    ///
    /// # Errors
    ///
    /// When the TLS library refuses its own defaults.
    pub fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let trusting = Arc::new(TrustAll(Arc::clone(&provider)));
        let unverified = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(trusting)
            .with_no_client_auth();
        Ok(Self { verified: Https::new(tls::verified()?), unverified: Https::new(unverified) })
    }

    async fn connect(&self, target: &Target, wanted: Wanted, timeout: Duration) -> Result<Sender, ConnectError> {
        let https = if target.verify { &self.verified } else { &self.unverified };
        let mut connector = match wanted {
            Wanted::Any => https.any.clone(),
            Wanted::Http1 => https.http1.clone(),
        };
        let connecting = async {
            let io = connector.call(target.uri.clone()).await.map_err(|error| connect_error(&*error))?;
            if io.connected().is_negotiated_h2() {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .timer(hyper_util::rt::TokioTimer::new())
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(connection_window(MAX_STREAMS))
                    .max_header_list_size(MAX_HEADER_LIST)
                    .handshake(io)
                    .await
                    .map_err(|error| ConnectError::Io(error.to_string()))?;
                tokio::spawn(connection);
                Ok(Sender::H2(Shared { sender, in_flight: Arc::new(()) }))
            } else {
                let (sender, connection) =
                    http1::handshake(io).await.map_err(|error| ConnectError::Io(error.to_string()))?;
                tokio::spawn(connection.with_upgrades());
                Ok(Sender::H1(sender))
            }
        };
        tokio::time::timeout(timeout, connecting).await.unwrap_or(Err(ConnectError::Timeout))
    }
}

impl Https {
    fn new(config: ClientConfig) -> Self {
        let mut http = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(IDLE));
        let mut http1 = config.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            any: HttpsConnectorBuilder::new()
                .with_tls_config(config)
                .https_or_http()
                .enable_all_versions()
                .wrap_connector(http.clone()),
            http1: HttpsConnector::from((http, http1)),
        }
    }
}

fn connect_error(error: &(dyn Error + 'static)) -> ConnectError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<NameError>() {
            return ConnectError::Name;
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return ConnectError::Tls(tls.to_string());
        }
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            // What an I/O error wraps is not its source, but itself.
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    ConnectError::Io(error.to_string())
}

/// The system's resolver, whose failures can be told from those of connecting.
#[derive(Clone, Debug)]
struct Resolver(GaiResolver);

#[derive(Debug, thiserror::Error)]
#[error("name resolution failed")]
struct NameError(#[source] std::io::Error);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = NameError;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, NameError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), NameError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async { resolving.await.map_err(NameError) })
    }
}

/// Accepts any certificate: `tls_verify: false`. Signatures are still checked, so the peer holds the key it shows.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls::pki_types::CertificateDer<'_>,
        _intermediates: &[rustls::pki_types::CertificateDer<'_>],
        _server_name: &rustls::pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection that can take a call.
pub enum Sender {
    /// One call at a time.
    H1(http1::SendRequest<RequestBody>),
    /// Many calls.
    H2(Shared),
}

/// A clone of an HTTP/2 connection; the count of clones is the count of calls.
#[derive(Clone)]
pub struct Shared {
    sender: http2::SendRequest<RequestBody>,
    in_flight: Arc<()>,
}

impl Shared {
    fn has_room(&self) -> bool {
        // One reference is the pool's own.
        !self.sender.is_closed() && Arc::strong_count(&self.in_flight) <= MAX_STREAMS as usize
    }
}

impl Sender {
    /// Sends a request; hands it back when nothing of it was sent.
    pub async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::H1(sender) => sender.try_send_request(request).await,
            Self::H2(shared) => shared.sender.try_send_request(request).await,
        }
    }

    /// Whether the connection speaks HTTP/2.
    pub fn is_h2(&self) -> bool {
        matches!(self, Self::H2(_))
    }
}

/// The connections of one proxy thread.
pub struct Pool {
    connector: Connector,
    idle: Mutex<HashMap<Arc<Target>, Idle>>,
}

#[derive(Default)]
struct Idle {
    h1: Vec<(http1::SendRequest<RequestBody>, Instant)>,
    h2: Vec<(Shared, Instant)>,
}

impl Pool {
    /// An empty pool.
    pub fn new(connector: Connector) -> Self {
        Self { connector, idle: Mutex::default() }
    }

    /// A connection that is open already, if any.
    pub fn reuse(&self, target: &Arc<Target>, wanted: Wanted) -> Option<Sender> {
        let mut idle = self.lock();
        let idle = idle.get_mut(target)?;
        // A connection that is not ready still uploads to an upstream that answered early: it is left to finish.
        if let Some(at) = idle.h1.iter().rposition(|(sender, since)| sender.is_ready() && since.elapsed() < IDLE) {
            return Some(Sender::H1(idle.h1.remove(at).0));
        }
        if wanted == Wanted::Http1 {
            return None;
        }
        let (shared, used) = idle.h2.iter_mut().find(|(shared, _)| shared.has_room())?;
        *used = Instant::now();
        Some(Sender::H2(shared.clone()))
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Says why none can be had.
    pub async fn connect(&self, profile: &Profile, wanted: Wanted) -> Result<Sender, ConnectError> {
        let sender = self.connector.connect(&profile.target, wanted, profile.connect_timeout).await?;
        if let Sender::H2(shared) = &sender {
            let mut idle = self.lock();
            idle.entry(Arc::clone(&profile.target)).or_default().h2.push((shared.clone(), Instant::now()));
        }
        Ok(sender)
    }

    /// Takes a connection back whose call has ended.
    pub fn give_back(&self, target: &Arc<Target>, sender: Sender) {
        let Sender::H1(sender) = sender else { return };
        if sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        let idle = match idle.get_mut(target) {
            Some(idle) => idle,
            None => idle.entry(Arc::clone(target)).or_default(),
        };
        if idle.h1.len() < MAX_IDLE {
            idle.h1.push((sender, Instant::now()));
        }
    }

    /// Gives a connection up on which the upstream took too long: no further call may hang on it. Those that share it go
    /// on. (Dropping an HTTP/1.1 connection closes it.)
    pub fn give_up(&self, target: &Arc<Target>, sender: &Sender) {
        if let (Sender::H2(late), Some(idle)) = (sender, self.lock().get_mut(target)) {
            idle.h2.retain(|(shared, _)| !Arc::ptr_eq(&shared.in_flight, &late.in_flight));
        }
    }

    /// Closes what has been idle for too long; call it now and then.
    pub fn sweep(&self) {
        self.lock().retain(|_, idle| {
            idle.h1.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE);
            idle.h2.retain(|(shared, used)| {
                let in_use = Arc::strong_count(&shared.in_flight) > 1;
                !shared.sender.is_closed() && (in_use || used.elapsed() < IDLE)
            });
            !(idle.h1.is_empty() && idle.h2.is_empty())
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Target>, Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
