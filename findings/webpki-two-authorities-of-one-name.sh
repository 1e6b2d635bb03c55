#!/usr/bin/env bash
# rustls: a certificate of a second authority with the same subject name is refused for its signature,
# and not for its issuer.
#
# The guess: a peer that trusts authority A and is shown a certificate of authority B says that it does
# not know the issuer (`UnknownIssuer`), whatever B is called.
# Seen (rustls 0.23.46, rustls-webpki 0.103.17, rcgen 0.14.10): if both roots have the same
# subject name, as two authorities of one cluster that were made one after the other, the error is
# `BadSignature`. It reads like damage or an attack, where somebody has only distributed the wrong root.
# With another name it is `UnknownIssuer`. So give each root a name of its own, or take both errors for
# the same one.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/src"
cat >"$dir/Cargo.toml" <<'TOML'
[package]
name = "twins"
version = "0.0.0"
edition = "2021"
[dependencies]
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std"] }
rcgen = { version = "=0.14.10", default-features = false, features = ["ring"] }
rustls-webpki = "=0.103.17"
TOML
cat >"$dir/src/main.rs" <<'RUST'
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::RootCertStore;

/// Makes a root with that name, and a certificate of it for localhost.
fn authority(name: &str) -> (CertificateDer<'static>, CertificateDer<'static>) {
    let root_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::from_params(&params, &root_key);
    let key = KeyPair::generate().unwrap();
    let host = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let host = host.signed_by(&key, &issuer).unwrap();
    (root.der().clone(), host.der().clone())
}

/// Says what somebody who trusts one authority thinks of a certificate of another.
fn verdict(trusted: &str, shown: &str) -> String {
    let ((root, _), (_, host)) = (authority(trusted), authority(shown));
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let name = ServerName::try_from("localhost").unwrap();
    let verifier = verifier.build().unwrap();
    match verifier.verify_server_cert(&host, &[], &name, &[], UnixTime::now()) {
        Ok(_) => "believed".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

fn main() {
    println!("another name: {}", verdict("prod root 1", "prod root 2"));
    println!("the same name: {}", verdict("prod root", "prod root"));
}
RUST
seen=$(cargo run -q --manifest-path "$dir/Cargo.toml" --target-dir "$dir/target")
echo "$seen"
expected='another name: InvalidCertificate(UnknownIssuer)
the same name: InvalidCertificate(BadSignature)'
[ "$seen" = "$expected" ]
echo "as described"
