//! The sources of a mount's objects.

use std::fmt;

/// The source of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A request to its vault for this mount.
    Vault,
    /// A running request for another pod.
    Shared,
    /// A fresh cached value.
    Cached,
    /// A stale cached value, because no fresher one was available.
    Stale,
    /// The vault's replica.
    Replica,
}

impl Source {
    const ALL: [Self; 5] = [Self::Vault, Self::Shared, Self::Cached, Self::Stale, Self::Replica];

    /// The value in logs, metrics and the audit log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Shared => "shared",
            Self::Cached => "cached",
            Self::Stale => "stale",
            Self::Replica => "replica",
        }
    }
}

/// Numbers of a mount's objects by source. Shown as `vault:2 cached:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    vault: usize,
    shared: usize,
    cached: usize,
    stale: usize,
    replica: usize,
}

impl SourceCounts {
    /// Counts one more object from this source.
    pub fn add(&mut self, source: Source) {
        *match source {
            Source::Vault => &mut self.vault,
            Source::Shared => &mut self.shared,
            Source::Cached => &mut self.cached,
            Source::Stale => &mut self.stale,
            Source::Replica => &mut self.replica,
        } += 1;
    }

    /// The objects from this source.
    pub fn count(&self, source: Source) -> usize {
        match source {
            Source::Vault => self.vault,
            Source::Shared => self.shared,
            Source::Cached => self.cached,
            Source::Stale => self.stale,
            Source::Replica => self.replica,
        }
    }
}

impl fmt::Display for SourceCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = Source::ALL.into_iter().filter(|source| self.count(*source) > 0);
        for (index, source) in sources.enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{}:{}", source.label(), self.count(source))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_that_were_used_are_shown() {
        let mut sources = SourceCounts::default();
        assert_eq!(sources.to_string(), "");
        for source in [Source::Stale, Source::Vault, Source::Stale] {
            sources.add(source);
        }
        assert_eq!(sources.to_string(), "vault:1 stale:2");
    }
}
