//! Reranking: a query and documents in, scores out.

mod scores;

use super::Endpoint;
use crate::record::Operation;

pub use scores::keep_results;

/// Where it is found. Anybody may call a path so: a query and documents have to be there.
pub const ENDPOINTS: &[Endpoint] =
    &[Endpoint { anybodys: true, ..Endpoint::new("/rerank", &scores::Rerank, Operation::Rerank) }];
