//! Kong 3.9's entities: services, routes, plugins.
//!
//! Names, defaults and messages are Kong's (<https://developer.konghq.com/admin-api/>). A field that we cannot act on
//! is known where ordinary configurations carry it, and takes `null` only; all others are unknown.

pub mod plugin;
pub mod route;
pub mod service;

use crate::schema::{Auto, Field, foreign, integer, set, string};
use crate::typedefs::Typedef;

fn id() -> Field {
    string().is(Typedef::Uuid).auto(Auto::Id).about("The entity's id, a UUID; made where none is given.")
}

fn created_at() -> Field {
    integer().is(Typedef::Timestamp).auto(Auto::CreatedAt).about("When it was created, in seconds since the epoch.")
}

fn updated_at() -> Field {
    integer()
        .is(Typedef::Timestamp)
        .auto(Auto::UpdatedAt)
        .about("When it was last written, in seconds since the epoch.")
}

fn name(about: &'static str) -> Field {
    string().unique().is(Typedef::Name).about(about)
}

fn tags() -> Field {
    set(string().is(Typedef::Tag)).about("Strings to find it by.")
}

fn certificate() -> Field {
    foreign("certificates")
}
