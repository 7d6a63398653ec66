//! The process: no core dumps, and probes that survive a flood.

use crate::harness::{Provider, World};

#[tokio::test]
async fn the_process_dumps_no_core() {
    let world = World::start(&[]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", world.provider.process_id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
}

#[tokio::test]
async fn probes_and_scrapes_succeed_while_clients_flood_the_ports() {
    let world = World::start(&[]).await;
    let Provider { health_port, metrics_port, .. } = world.provider;
    // Addresses of this machine other than that of the probes.
    let floods = ["127.0.0.2", "127.0.0.3"].into_iter().flat_map(|from| {
        [health_port, metrics_port].map(|port| tokio::spawn(flood(from.parse().unwrap(), port)))
    });
    let floods = floods.collect::<Vec<_>>();
    for _ in 0..50 {
        assert_eq!(Provider::get(health_port, "/healthz").await.0, 200);
        assert_eq!(Provider::get(metrics_port, "/metrics").await.0, 200);
    }
    floods.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Opens connections as fast as possible, sends nothing and keeps them open.
async fn flood(from: std::net::IpAddr, port: u16) {
    let mut held = std::collections::VecDeque::new();
    loop {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        if let Ok(connection) = socket.connect(([127, 0, 0, 1], port).into()).await {
            held.push_back(connection);
        }
        if held.len() > 200 {
            held.pop_front();
        }
    }
}
