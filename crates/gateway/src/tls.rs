//! TLS as a client.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

/// Trusts the system's certificate authorities, or Mozilla's where the system has none.
///
/// # Errors
/// The TLS library refuses its own defaults.
pub fn verified() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    Ok(match builder()?.with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(_) => builder()?.with_webpki_roots().with_no_client_auth(),
    })
}
