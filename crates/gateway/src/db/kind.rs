//! The three kinds of entities, and what sets them apart.

use ai_tracing_config::{Schema, entities};

/// A kind of entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Upstream services.
    Services,
    /// Routes to them.
    Routes,
    /// Plugins on them.
    Plugins,
}

impl Kind {
    /// All kinds; each refers only to those before it.
    pub const ALL: [Self; 3] = [Self::Services, Self::Routes, Self::Plugins];

    /// The kind with this name in URLs and declarative files.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Name in URLs and declarative files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Routes => "routes",
            Self::Plugins => "plugins",
        }
    }

    /// Name of one entity, and of the field by which another one refers to it.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Services => "service",
            Self::Routes => "route",
            Self::Plugins => "plugin",
        }
    }

    /// The unique field that may stand for the id in URLs.
    pub fn endpoint_key(self) -> &'static str {
        match self {
            Self::Services | Self::Routes => "name",
            Self::Plugins => "instance_name",
        }
    }

    /// What entities of this kind refer to, each by the field that is the parent's [`Kind::singular`].
    pub fn parents(self) -> &'static [Self] {
        match self {
            Self::Services => &[],
            Self::Routes => &[Self::Services],
            Self::Plugins => &[Self::Services, Self::Routes],
        }
    }

    /// The kinds that refer to this one.
    pub fn children(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |kind| kind.parents().contains(&self))
    }

    /// What an entity has to look like.
    pub fn schema(self) -> &'static Schema {
        match self {
            Self::Services => entities::service::schema(),
            Self::Routes => entities::route::schema(),
            Self::Plugins => entities::plugin::schema(),
        }
    }
}
