//! The limits on the size and the depth of YAML.

use super::{Position, YamlError};

/// The remaining size. YAML inside of YAML is parsed again, so all parses share one budget.
#[derive(Debug)]
pub struct Budget {
    nodes: usize,
    bytes: usize,
    pub(super) depth: usize,
}

impl Default for Budget {
    /// The budget of one request, with its aliases expanded.
    fn default() -> Self {
        Self { nodes: 100_000, bytes: 8 << 20, depth: 32 }
    }
}

impl Budget {
    /// The budget of a file of this size from the command line: it limits only the expansion of aliases.
    pub fn of_file(bytes: usize) -> Self {
        let request = Self::default();
        // A node takes at least one byte, and a node with an anchor counts twice.
        Self { nodes: request.nodes + 2 * bytes, bytes: request.bytes + 3 * bytes, depth: 128 }
    }

    pub(super) fn spend(&mut self, nodes: usize, bytes: usize, at: Position) -> Result<(), YamlError> {
        match (self.nodes.checked_sub(nodes), self.bytes.checked_sub(bytes)) {
            (Some(nodes), Some(bytes)) => {
                (self.nodes, self.bytes) = (nodes, bytes);
                Ok(())
            }
            _ => {
                let problem = "the document is too large with its aliases expanded".to_owned();
                Err(YamlError { position: at, problem, help: "make it smaller, or use fewer aliases" })
            }
        }
    }
}
