#!/usr/bin/env bash
# tonic: a call that runs into the client's own time limit ends with CANCELLED, and not with
# DEADLINE_EXCEEDED.
#
# The guess: gRPC names a missed deadline DEADLINE_EXCEEDED, and CANCELLED means that somebody
# cancelled the call or that the connection went away.
# Seen (tonic 0.14.2): with `Endpoint::timeout(200 ms)` and a server that takes longer, the status is
# CANCELLED with the text "Timeout expired". A client that takes CANCELLED for a lost connection
# reports a slow server as a broken one, and dials again.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/src"
cat >"$dir/Cargo.toml" <<'TOML'
[package]
name = "slow"
version = "0.0.0"
edition = "2021"
[dependencies]
tonic = "=0.14.2"
tonic-health = "=0.14.2"
tokio = { version = "1", features = ["rt-multi-thread", "time", "net", "macros"] }
tokio-stream = { version = "0.1", features = ["net"] }
TOML
cat >"$dir/src/main.rs" <<'RUST'
use std::time::Duration;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

struct Slow;

#[tonic::async_trait]
impl Health for Slow {
    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(Response::new(HealthCheckResponse::default()))
    }
    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

#[tokio::main]
async fn main() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(HealthServer::new(Slow));
    tokio::spawn(server.serve_with_incoming(incoming));

    let endpoint = tonic::transport::Endpoint::from_shared(address).unwrap();
    let channel = endpoint.timeout(Duration::from_millis(200)).connect().await.unwrap();
    let request = HealthCheckRequest { service: String::new() };
    let status = HealthClient::new(channel).check(request).await.unwrap_err();
    println!("{:?}: {}", status.code(), status.message());
}
RUST
seen=$(cargo run -q --manifest-path "$dir/Cargo.toml" --target-dir "$dir/target")
echo "$seen"
[ "$seen" = "Cancelled: Timeout expired" ]
echo "as described"
