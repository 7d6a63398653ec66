//! Where the objects of a mount come from.

use std::fmt;

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Served {
    /// From its vault, asked for this mount.
    Vault,
    /// From a request of another pod that was under way.
    Flight,
    /// From the cache, young enough.
    Fresh,
    /// From the cache, since nothing fresher could be had.
    Stale,
    /// From the failover vault.
    Failover,
}

impl Served {
    const ALL: [Self; 5] = [Self::Vault, Self::Flight, Self::Fresh, Self::Stale, Self::Failover];

    /// The word in logs, metrics and the audit log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Flight => "flight",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Failover => "failover",
        }
    }
}

/// How many objects of a mount came from each source. Shown as `vault:2 fresh:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    vault: usize,
    flight: usize,
    fresh: usize,
    stale: usize,
    failover: usize,
}

impl SourceCounts {
    /// Counts one more object from this source.
    pub fn add(&mut self, by: Served) {
        *match by {
            Served::Vault => &mut self.vault,
            Served::Flight => &mut self.flight,
            Served::Fresh => &mut self.fresh,
            Served::Stale => &mut self.stale,
            Served::Failover => &mut self.failover,
        } += 1;
    }

    /// The objects from this source.
    pub fn count(&self, by: Served) -> usize {
        match by {
            Served::Vault => self.vault,
            Served::Flight => self.flight,
            Served::Fresh => self.fresh,
            Served::Stale => self.stale,
            Served::Failover => self.failover,
        }
    }
}

impl fmt::Display for SourceCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = Served::ALL.into_iter().filter(|by| self.count(*by) > 0);
        for (index, by) in sources.enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{}:{}", by.label(), self.count(by))?;
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
        for by in [Served::Stale, Served::Vault, Served::Stale] {
            sources.add(by);
        }
        assert_eq!(sources.to_string(), "vault:1 stale:2");
    }
}
