//! A buffer with a maximum size.

use std::io::{self, Write};

/// Maximum size of one file that is made from parts of secrets, in bytes. A secret in Key Vault has at most 25 kB.
pub(super) const MAX_FILE_SIZE: usize = 1 << 20;

/// Collects up to [`MAX_FILE_SIZE`] bytes. Further writes fail.
pub(super) struct LimitedWriter(pub(super) Vec<u8>);

impl Write for LimitedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_FILE_SIZE {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
