//! From an endpoint as it is configured, in any of its spellings, to the receiver's base URL.

use url::Url;

/// The base URL, without a trailing slash, of a server named by its base URL or by one that ends in one of `suffixes`
/// (longest first). A base may have a path. `secrets` are the parameters that credentials belong into.
pub(super) fn base(endpoint: &str, suffixes: &[&str], example: &str, secrets: &str) -> Result<String, String> {
    let url = Url::parse(endpoint).map_err(|_| format!("must be a URL such as {example}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https://".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("must not carry credentials: use {secrets}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or a fragment".into());
    }
    let path = url.path().trim_end_matches('/');
    let path = suffixes.iter().find_map(|suffix| path.strip_suffix(suffix)).unwrap_or(path).trim_end_matches('/');
    Ok(format!("{}{path}", url.origin().ascii_serialization()))
}
