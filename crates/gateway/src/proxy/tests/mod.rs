//! The proxy as its peers see it: bytes on the wire, and the record of each call.

mod ends;
mod harness;
mod http;
mod limits;
mod tls;
