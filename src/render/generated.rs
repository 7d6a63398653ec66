//! Limits the memory of generated contents, which are JSON fields and templates. Otherwise, a small class could generate
//! any amount.

use std::io::{self, Write};

use crate::secret::SecretBytes;

/// Maximum size in bytes of all JSON fields and templates of one mount together.
pub const MAX_GENERATED: usize = 256 << 10;

/// The number of bytes that a mount may still generate.
#[derive(Debug)]
pub struct Generated {
    left: usize,
}

impl Default for Generated {
    fn default() -> Self {
        Self { left: MAX_GENERATED }
    }
}

/// A buffer for contents of unknown size. Writing fails above the limit.
pub(super) struct Limited<'a> {
    generated: &'a mut Generated,
    bytes: SecretBytes,
}

impl Generated {
    /// Copies `bytes`; `None` if the limit is exceeded.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<SecretBytes> {
        self.left = self.left.checked_sub(bytes.len())?;
        Some(SecretBytes::new(bytes.to_vec()))
    }

    /// Starts contents of unknown size.
    pub(super) fn begin(&mut self) -> Limited<'_> {
        Limited { generated: self, bytes: SecretBytes::default() }
    }
}

impl Limited<'_> {
    /// The contents.
    pub(super) fn finish(self) -> SecretBytes {
        self.bytes
    }
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.generated.left.checked_sub(bytes.len());
        self.generated.left = left.ok_or(io::ErrorKind::StorageFull)?;
        self.bytes.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
