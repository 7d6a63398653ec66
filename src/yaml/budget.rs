//! How much is read.

use super::{Position, YamlError};

/// What is left to be read. Text inside text is read again, so all readings share it.
#[derive(Debug)]
pub struct Budget {
    nodes: usize,
    bytes: usize,
    pub(super) depth: usize,
}

impl Default for Budget {
    /// What one request may have read, with what aliases repeat.
    fn default() -> Self {
        Self { nodes: 100_000, bytes: 8 << 20, depth: 32 }
    }
}

impl Budget {
    /// For a file of so many bytes, which somebody named: only what aliases repeat is bounded.
    pub fn of_file(bytes: usize) -> Self {
        let request = Self::default();
        // A node takes a byte at least, and one with an anchor counts twice.
        Self { nodes: request.nodes + 2 * bytes, bytes: request.bytes + 3 * bytes, depth: 128 }
    }

    pub(super) fn spend(&mut self, nodes: usize, bytes: usize, at: Position) -> Result<(), YamlError> {
        match (self.nodes.checked_sub(nodes), self.bytes.checked_sub(bytes)) {
            (Some(nodes), Some(bytes)) => {
                (self.nodes, self.bytes) = (nodes, bytes);
                Ok(())
            }
            _ => {
                let problem = "it is too large once its aliases are written out".to_owned();
                Err(YamlError { position: at, problem, help: "make it smaller" })
            }
        }
    }
}
