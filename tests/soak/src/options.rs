//! The command line.

use clap::Parser;
use keyvault_csi_provider::cli::serve::FileWriterArg;
use keyvault_csi_provider::deliver::FileWriter;

/// Mounts, rotates, breaks and restarts at random, and checks that nobody gets what he must not, and that
/// nothing is lost or left over.
#[derive(Debug, Clone, Parser)]
#[command(name = "soak")]
pub(crate) struct Options {
    /// How long faults last in all; each file writer then has up to two minutes more for everything to recover
    #[arg(long = "for", value_name = "DURATION", default_value = "60s")]
    pub(crate) duration: humantime::Duration,
    /// What all random numbers begin with; made up and printed if left out
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many pods there are at a time
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) pods: u32,
    /// Who writes the files; the one for half of the time, and then the other, if left out
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
