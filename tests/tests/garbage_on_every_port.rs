//! Whatever bytes a stranger sends to whatever port: masters and workers go on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use cluster_tests::cluster::Cluster;

/// The beginning of HTTP/2, after which gRPC expects frames.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn masters_and_workers_go_on() {
    let cluster = Cluster::builder().workers(1).start().await;
    let worker = cluster.worker_names().remove(0);
    let mut ports = cluster.grpc_addresses();
    ports.extend(cluster.http_addresses());
    ports.push(cluster.worker(&worker).address().to_owned());

    for port in ports {
        for garbage in garbage() {
            tokio::task::spawn_blocking({
                let port = port.clone();
                move || shout(&port, &garbage)
            })
            .await
            .unwrap();
        }
    }

    for id in cluster.master_ids() {
        assert_eq!(cluster.probe(id, "/livez").await, Some(200), "master {id}");
    }
    cluster.await_all_ready().await;
    let mut client = cluster.client();
    let task = client.submit(&cluster.effects().task("after")).await;
    client.await_state(&task, "completed").await;
    cluster.check_replicas_agree().await;
}

fn garbage() -> Vec<Vec<u8>> {
    let mut state = 0x5eed_u64;
    let mut noise = |count: usize| {
        let byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        std::iter::repeat_with(byte).take(count).collect::<Vec<u8>>()
    };
    let frame_of_max = [0xff; 9];
    vec![
        Vec::new(),
        vec![0],
        noise(64),
        noise(100_000),
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_vec(),
        [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 100_000]].concat(),
        // How TLS begins.
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &noise(500)].concat(),
        PREFACE.to_vec(),
        [PREFACE, &frame_of_max].concat(),
        [PREFACE, &noise(10_000)].concat(),
        // Settings with a window above what is allowed, then headers that do not decode.
        [PREFACE, b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff"].concat(),
        [PREFACE, b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff"].concat(),
    ]
}

/// Says it, ends, and listens for a moment. That the other side hangs up is as good an answer as any.
fn shout(address: &str, garbage: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.write_all(garbage).ok();
    stream.shutdown(std::net::Shutdown::Write).ok();
    stream.read_to_end(&mut Vec::new()).ok();
}
