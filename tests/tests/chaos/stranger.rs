//! Somebody who calls every port and talks nonsense.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A stranger is gone again after this time, whatever it was told.
const PATIENCE: Duration = Duration::from_millis(200);

/// Says something else to every port, and hangs up.
pub(super) async fn call_everybody(cluster: &Cluster, random: &mut StdRng) {
    let workers = cluster.started_workers();
    let workers = workers.iter().map(|name| cluster.worker(name).address().to_owned());
    let masters = cluster.grpc_addresses().into_iter().chain(cluster.http_addresses());
    let mut calls = tokio::task::JoinSet::new();
    for address in masters.chain(workers) {
        for _ in 0..4 {
            calls.spawn(say(address.clone(), nonsense(random)));
        }
    }
    calls.join_all().await;
}

/// Refused, cut off or left without an answer: all of it is right, as long as nobody falls over.
async fn say(address: String, words: Vec<u8>) {
    let call = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&words).await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    tokio::time::timeout(PATIENCE, call).await.ok();
}

fn nonsense(random: &mut StdRng) -> Vec<u8> {
    let mut noise = vec![0; random.random_range(0..4_096)];
    random.fill_bytes(&mut noise);
    match random.random_range(0..4) {
        0 => noise,
        1 => [PREFACE, &noise].concat(),
        2 => [PREFACE, &frame(random, &noise)].concat(),
        _ => {
            let head = b"POST /api/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
            let length = format!("content-length: {}\r\n\r\n", random.random_range(0..10_000));
            [head, length.as_bytes(), &noise].concat()
        }
    }
}

/// An HTTP/2 frame with a head that is right and a payload that is not.
fn frame(random: &mut StdRng, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let (kind, flags) = (random.random_range(0..10_u8), random.random::<u8>());
    let stream = random.random_range(0..8_u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}
