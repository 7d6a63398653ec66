//! The memory of contents that a class generates: JSON fields and templates. One small class could ask for any amount.

use std::io::{self, Write};

use crate::secret::SecretBytes;

/// Bytes that JSON fields and templates of one mount may have together.
pub const MOST_GENERATED: usize = 256 << 10;

/// What is left of [`MOST_GENERATED`].
#[derive(Debug)]
pub struct Generated {
    left: usize,
}

impl Default for Generated {
    fn default() -> Self {
        Self { left: MOST_GENERATED }
    }
}

/// Contents in the making. Writing fails beyond the limit.
pub(super) struct Limited<'a> {
    generated: &'a mut Generated,
    bytes: Vec<u8>,
}

impl Generated {
    /// A copy of `bytes`, if so many are left.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<SecretBytes> {
        self.left = self.left.checked_sub(bytes.len())?;
        Some(SecretBytes::new(bytes.to_vec()))
    }

    /// Begins contents of unknown size.
    pub(super) fn begin(&mut self) -> Limited<'_> {
        Limited { generated: self, bytes: Vec::new() }
    }
}

impl Limited<'_> {
    /// The contents.
    pub(super) fn finish(self) -> SecretBytes {
        SecretBytes::new(self.bytes)
    }
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.generated.left.checked_sub(bytes.len());
        self.generated.left = left.ok_or(io::ErrorKind::StorageFull)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
