//! What a driver sends over its connection, after the preface: in whatever pieces it comes, h2 reads the same,
//! and no more than was sent. The first byte says where the pieces end.

#![no_main]

use keyvault_csi_provider::server::DriverConnection;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncReadExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn read(stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs nothing");
    let mut read = Vec::new();
    runtime.block_on(DriverConnection::new(stream).read_to_end(&mut read)).expect("a slice does not fail");
    read
}

fuzz_target!(|input: &[u8]| {
    let Some((at, frames)) = input.split_first() else { return };
    let sent = [PREFACE, frames].concat();
    let whole = read(sent.as_slice());
    assert!(whole.len() <= sent.len());
    assert!(whole.starts_with(PREFACE));
    let (one, two) = sent.split_at(usize::from(*at).min(sent.len()));
    assert_eq!(read(one.chain(two)), whole);
    assert_eq!(read(whole.as_slice()), whole, "what h2 may read stays as it is");
});
