#!/usr/bin/env bash
# tokio-rustls: a server that takes its connection back from `LazyConfigAcceptor`, to answer a client
# that speaks plain HTTP, finds that something was sent on it already.
#
# The guess: the acceptor fails at the first byte that is no TLS record, `take_io` returns the
# connection untouched, and the server can write "HTTP/1.1 400 … use https://" to it.
# Seen (tokio-rustls 0.26.6): before it fails the acceptor writes a TLS alert, seven bytes from 0x15 on.
# The answer follows it, so an HTTP client reads an invalid status line and never shows the text. A
# server that wants to answer reads the first message with rustls' own `server::Acceptor`, which
# returns the alert instead of sending it.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/src"
cat >"$dir/Cargo.toml" <<'TOML'
[package]
name = "plain"
version = "0.0.0"
edition = "2021"
[dependencies]
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std"] }
tokio-rustls = { version = "=0.26.6", default-features = false, features = ["ring"] }
tokio = { version = "1", features = ["rt", "macros", "io-util"] }
TOML
cat >"$dir/src/main.rs" <<'RUST'
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::LazyConfigAcceptor;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (mut client, server) = tokio::io::duplex(4096);
    client.write_all(REQUEST).await.unwrap();
    let mut acceptor = Box::pin(LazyConfigAcceptor::new(Acceptor::default(), server));
    let error = acceptor.as_mut().await.err().unwrap();
    let mut server = acceptor.take_io().unwrap();
    server.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    drop(server);
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.unwrap();
    println!("server: {error}");
    println!("client reads: {:02x?}, then {:?}", &read[..7], String::from_utf8_lossy(&read[7..20]));

    // What rustls does by itself.
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut &REQUEST[..]).unwrap();
    let (error, _alert) = acceptor.accept().err().unwrap();
    println!("rustls alone: {error}, and nothing was sent");
}
RUST
seen=$(cargo run -q --manifest-path "$dir/Cargo.toml" --target-dir "$dir/target")
echo "$seen"
grep -q '^client reads: \[15, 03, .*\], then "HTTP/1.1 400 "$' <<<"$seen"
grep -q '^rustls alone: .*and nothing was sent$' <<<"$seen"
echo "as described"
