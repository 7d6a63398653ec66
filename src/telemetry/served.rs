//! How objects came to a mount.

use std::fmt;

/// How an object came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Flight => "flight",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Failover => "failover",
        }
    }
}

/// How many objects of a mount came which way. Shown as `vault:2 fresh:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    vault: usize,
    flight: usize,
    fresh: usize,
    stale: usize,
    failover: usize,
}

impl Came {
    /// One more object came this way.
    pub fn add(&mut self, by: Served) {
        *match by {
            Served::Vault => &mut self.vault,
            Served::Flight => &mut self.flight,
            Served::Fresh => &mut self.fresh,
            Served::Stale => &mut self.stale,
            Served::Failover => &mut self.failover,
        } += 1;
    }

    /// How many came this way.
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

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came = Served::ALL.into_iter().filter(|by| self.count(*by) > 0);
        for (index, by) in came.enumerate() {
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
    fn only_the_ways_that_were_taken_are_shown() {
        let mut came = Came::default();
        assert_eq!(came.to_string(), "");
        for by in [Served::Stale, Served::Vault, Served::Stale] {
            came.add(by);
        }
        assert_eq!(came.to_string(), "vault:1 stale:2");
    }
}
