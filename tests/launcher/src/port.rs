//! Free ports, for providers that cannot disable theirs with 0.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that is free now and that no other call in this process returns. It is below the kernel's ephemeral
/// ports: with `SO_REUSEPORT`, two providers on one port would not fail.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 12_000 + u16::try_from(std::process::id() % 8_000).unwrap_or_default();
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if is_free(port) {
            return port;
        }
    }
}

fn is_free(port: u16) -> bool {
    let bound = |address: IpAddr| TcpListener::bind((address, port));
    match bound(Ipv6Addr::UNSPECIFIED.into()) {
        // A kernel without IPv6.
        Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported) => {
            bound(Ipv4Addr::UNSPECIFIED.into()).is_ok()
        }
        bound => bound.is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_out_twice_and_none_that_is_taken() {
        let (first, second) = (free_port(), free_port());
        assert_ne!(first, second);
        let _taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, first)).unwrap();
        assert!(!is_free(first) && is_free(second));
    }
}
