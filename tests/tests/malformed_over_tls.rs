//! Malformed requests of somebody with a certificate: each is refused, and none is remembered.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cluster_fuzz::mutated;
use cluster_tests::cluster::Cluster;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Says how many requests are made.
const COUNT: &str = "CLOUDAI_MALFORMED";
/// So many without being told: a few seconds.
const COUNT_DEFAULT: usize = 2_000;
/// Requests after which a master has the memory that it needs for such.
const WARM_UP: usize = 500;
/// Memory that a master may have more at the end, as a part of what it had then: connections and
/// allocators keep some.
const GROWTH_MAX: f64 = 0.25;
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests as clients make them: method and path, and the body.
const REQUESTS: [(&str, &str); 8] = [
    ("GET /api/tasks?state=queued&limit=2&cursor=t9", ""),
    ("GET /api/tasks?index=1&wait=1ms&consistency=stale", ""),
    ("GET /api/workers/w1/history", ""),
    ("POST /api/tasks", r#"{"command":["true"],"resources":{"cpu":0.5,"custom":{"a":1}}}"#),
    ("POST /api/tasks", r#"[{"command":["a","b"],"env":{"K":"v"},"name":null},{"command":["c"]}]"#),
    ("POST /api/workers/w1/labels", r#"{"set":{"zone":"b"},"remove":["c"]}"#),
    ("PUT /api/cluster/config", r#"{"worker":{"lease":"10m"},"retention.tasks":7}"#),
    ("DELETE /api/cluster/orphans?up_to=o9", ""),
];

fn request() -> impl Strategy<Value = Vec<u8>> {
    select(REQUESTS.to_vec()).prop_map(|(line, body)| {
        // With one key for all of them, no more than one task is ever submitted.
        let headers = "host: localhost\r\ncontent-type: application/json\r\nidempotency-key: k\r\n";
        let length = body.len();
        format!("{line} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
    })
}

struct Stranger {
    tls: TlsConnector,
    address: String,
}

impl Stranger {
    fn new(authority: &Path, certificate: &Path, key: &Path, address: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap);
        let provider = rustls::crypto::ring::default_provider();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.collect(), PrivateKeyDer::from_pem_file(key).unwrap())
            .unwrap();
        Self { tls: TlsConnector::from(Arc::new(config)), address: address.to_owned() }
    }

    /// Sends it and ends, and returns what comes back.
    async fn send(&self, request: &[u8]) -> io::Result<String> {
        let tcp = TcpStream::connect(&self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.tls.connect(name, tcp).await?;
        // A master that has heard enough answers and closes.
        stream.write_all(request).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Memory of a process, in KiB.
fn memory_of(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_and_leave_nothing_behind() {
    let count = std::env::var(COUNT).map_or(COUNT_DEFAULT, |count| count.parse().unwrap());
    let cluster = Cluster::builder().masters(1).secured().start().await;
    let own = cluster.certificates().unwrap();
    let (certificate, key) = own.issue("admin", "mallory");
    let address = cluster.http_addresses().remove(0);
    let stranger = Stranger::new(&own.authority(), &certificate, &key, &address);
    let pid = cluster.master(1).pid();

    let (requests, mut runner) = (mutated(request()), TestRunner::deterministic());
    let mut warm = None;
    for number in 0..count {
        if number == WARM_UP {
            warm = Some(memory_of(pid));
        }
        let request = requests.new_tree(&mut runner).unwrap().current();
        let answer =
            tokio::time::timeout(PATIENCE, stranger.send(&request)).await.unwrap().unwrap();
        let is_http = answer.is_empty() || answer.starts_with("HTTP/1.");
        let is_fault = answer.starts_with("HTTP/1.1 500");
        assert!(is_http && !is_fault, "{answer}\n{}", String::from_utf8_lossy(&request));
    }

    let (warm, end) = (warm.unwrap(), memory_of(pid));
    println!("{count} requests: {warm} KiB after the first {WARM_UP}, {end} KiB at the end");
    assert!(end < warm * (1.0 + GROWTH_MAX), "{warm} KiB have become {end} KiB");
    assert_eq!(cluster.probe(1, "/livez").await, Some(200));
    assert!(!cluster.master(1).log().contains("panicked"));
}
