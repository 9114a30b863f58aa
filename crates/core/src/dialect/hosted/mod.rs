//! (to be written)

use super::Endpoint;

pub const ENDPOINTS: &[Endpoint] = &[];
