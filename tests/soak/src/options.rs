//! The command line.

use clap::Parser;
use keyvault_csi_provider::cli::serve::FileWriterArg;
use keyvault_csi_provider::deliver::FileWriter;

/// Mount, rotate, inject faults and restart at random, and check that no pod gets an object that it may not read, and
/// that no file is missing or left over
#[derive(Debug, Clone, Parser)]
#[command(name = "soak")]
pub(crate) struct Options {
    /// Total duration of faults; after them, each file writer has up to two minutes to recover
    #[arg(long = "for", value_name = "DURATION", default_value = "60s")]
    pub(crate) duration: humantime::Duration,
    /// Seed of all random numbers [default: a new one, which is printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Number of pods at a time
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) pods: u32,
    /// Process that writes the files [default: each for half of the time]
    #[arg(long, value_enum)]
    pub(crate) file_writer: Option<FileWriterArg>,
}

impl Options {
    /// The writers to run with, one after the other.
    pub(crate) fn writers(&self) -> Vec<FileWriter> {
        self.file_writer
            .map_or_else(|| vec![FileWriter::Driver, FileWriter::Provider], |only| vec![only.into()])
    }
}
