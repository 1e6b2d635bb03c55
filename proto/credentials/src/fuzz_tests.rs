//! Whatever a stranger says in a handshake, before anybody is known: it is understood, or refused.

use std::time::SystemTime;

use cluster_fuzz::{Fuzz, Memory, mutated, mutated_text};
use proptest::prelude::*;
use proptest::sample::select;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::accept::read_hello;
use crate::authority::Authority;
use crate::certificate::{Certificate, issuer_cluster, not_after};
use crate::identity::{Identity, Role};

/// A certificate of each role, and those of its authority.
fn certificates() -> Vec<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "a certificate's dates are of the wall clock")]
    let now = SystemTime::now();
    let made = Authority::create("prod", now).unwrap();
    let authority = Authority::open(&made.root, &made.issuer, &made.issuer_key).unwrap();
    let hosts = ["localhost".parse().unwrap(), "10.0.0.1".parse().unwrap()];
    let mut texts = vec![made.root.clone(), made.issuer];
    for role in Role::ALL {
        let holder = Identity::new("prod", role, "1").unwrap();
        let day = std::time::Duration::from_secs(86_400);
        texts.push(authority.issue(&holder, &hosts, day, now).unwrap().chain);
    }
    let read = |text: &String| CertificateDer::from_pem_slice(text.as_bytes()).unwrap().to_vec();
    texts.iter().map(read).collect()
}

#[test]
fn a_certificate_is_understood_or_refused() {
    // Names and extensions are read into lists of their own.
    let memory = Memory { per_byte: 64, fixed: 64 << 10 };
    Fuzz::of("certificates").run(mutated(select(certificates())), |bytes| {
        memory.hold(&bytes, |bytes| {
            let der = CertificateDer::from(bytes);
            let holder = Certificate::read(&der).map(|certificate| certificate.identity);
            if let Ok(holder) = holder {
                assert_eq!(holder.to_string().parse(), Ok(holder));
            }
            issuer_cluster(&der).ok();
            not_after(&der).ok();
        });
    });
}

#[test]
fn a_name_is_understood_or_refused() {
    let valid =
        "spiffe://[a-z0-9.-]{1,9}/(master/[0-9]{1,20}|worker/[a-z0-9.-]{1,9}|admin/[a-z]{1,9})";
    Fuzz::of("names of holders").run(mutated_text(valid), |text| {
        if let Ok(holder) = text.parse::<Identity>() {
            assert_eq!(holder.to_string(), text, "one holder has one name");
        }
    });
}

/// First message of a client.
fn hello() -> Vec<u8> {
    let provider = rustls::crypto::ring::default_provider();
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(config.into(), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_first_message_is_understood_or_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // The largest message of a handshake is 64 KiB, and it is collected before it is read.
    let memory = Memory { per_byte: 64, fixed: 256 << 10 };
    Fuzz::of("first messages").run(mutated(Just(hello())), |bytes| {
        memory.hold(&bytes, |bytes| {
            let answer = Vec::new();
            let mut stream = tokio::io::join(bytes, answer);
            // One that is not whole ends with the stream.
            drop(runtime.block_on(read_hello(&mut stream)));
        });
    });
}
