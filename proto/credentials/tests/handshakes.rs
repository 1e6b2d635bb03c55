//! Decides who gets through a handshake, who does not, and what is said then.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use credentials::{
    Accepted, Acceptor, Authority, Callers, Connector, Credentials, CredentialsError, Expected,
    Files, Identity, IssueError, NewAuthority, NotAccepted, Protocol, Role, Secured, TrustFiles,
    is_certificate_refused, sentence,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[expect(clippy::disallowed_methods, reason = "a certificate's dates are of the wall clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// An authority, and a directory with the files of those to whom it issued certificates.
struct Cluster {
    name: &'static str,
    authority: Authority,
    dir: TempDir,
}

impl Cluster {
    fn new(name: &'static str) -> Self {
        let NewAuthority { root, issuer, issuer_key, .. } = Authority::create(name, now()).unwrap();
        let authority = Authority::open(&root, &issuer, &issuer_key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.crt"), root).unwrap();
        Self { name, authority, dir }
    }

    fn files(&self, role: Role, name: &str) -> Files {
        self.files_at(role, name, now(), DAY)
    }

    fn files_at(&self, role: Role, name: &str, from: SystemTime, life: Duration) -> Files {
        let holder = Identity::new(self.name, role, name).unwrap();
        let issued = self.authority.issue(&holder, &[], life, from).unwrap();
        let stem = self.dir.path().join(format!("{role}-{name}"));
        let files = Files {
            certificate: stem.with_extension("crt"),
            key: stem.with_extension("key"),
            trusted: self.dir.path().join("ca.crt"),
        };
        replace(&files.certificate, &issued.chain);
        replace(&files.key, issued.key.reveal());
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    fn holder(&self, role: Role, name: &str) -> Credentials {
        Credentials::load(self.files(role, name)).unwrap()
    }
}

/// Returns the files of a master that is vouched for by a root which ends then.
fn files_under_root_until(dir: &Path, end: SystemTime) -> Files {
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut root = CertificateParams::default();
    root.not_before = (now() - DAY).into();
    root.not_after = end.into();
    root.distinguished_name.push(DnType::CommonName, "short root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut holder = CertificateParams::default();
    holder.not_before = (now() - DAY).into();
    holder.not_after = (now() + DAY).into();
    holder.subject_alt_names = vec![SanType::URI("spiffe://prod/master/9".try_into().unwrap())];
    holder.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let issuer = Issuer::from_params(&root, &root_key);
    let files = Files {
        certificate: dir.join("short.crt"),
        key: dir.join("short.key"),
        trusted: dir.join("short-ca.crt"),
    };
    replace(&files.certificate, &holder.signed_by(&key, &issuer).unwrap().pem());
    replace(&files.key, &key.serialize_pem());
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    replace(&files.trusted, &root.self_signed(&root_key).unwrap().pem());
    files
}

/// Writes a file as others do that must never be seen half.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

type Ends =
    (io::Result<Secured<DuplexStream>>, Result<Accepted<DuplexStream>, NotAccepted<DuplexStream>>);

/// Lets one connect to the other.
async fn meet(
    client: &Credentials,
    expected: Expected,
    server: &Credentials,
    callers: Callers,
) -> Ends {
    let (near, far) = tokio::io::duplex(64 << 10);
    let connector = Connector::new(client.clone(), expected, Protocol::Grpc);
    let acceptor = Acceptor::new(server.clone(), callers, Protocol::Grpc);
    tokio::join!(connector.connect("10.0.0.1", near), acceptor.accept(far))
}

/// Returns what a client is told that was refused, which shows when it first reads.
async fn refusal(client: io::Result<Secured<DuplexStream>>) -> String {
    let error = match client {
        Ok(mut stream) => stream.read_u8().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(is_certificate_refused(&error), "{error:?}");
    sentence(&error).unwrap()
}

#[expect(clippy::panic, reason = "a test that cannot go on should panic")]
fn failure(server: Result<Accepted<DuplexStream>, NotAccepted<DuplexStream>>) -> String {
    let Err(NotAccepted::Failed(error)) = server else { panic!("it was admitted: {server:?}") };
    sentence(&error).unwrap()
}

#[tokio::test]
async fn members_know_each_other_by_name_and_not_by_address() {
    let cluster = Cluster::new("prod");
    let (first, second) = (cluster.holder(Role::Master, "1"), cluster.holder(Role::Master, "2"));
    let (client, server) = meet(&first, Expected::Master, &second, Callers::Masters).await;
    let mut server = server.unwrap();
    assert_eq!(server.caller.unwrap().identity.to_string(), "spiffe://prod/master/1");
    let mut client = client.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.flush().await.unwrap();
    let mut heard = [0; 5];
    server.stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn a_server_whose_certificate_was_revoked_is_not_believed() {
    let cluster = Cluster::new("prod");
    let (first, second) = (cluster.holder(Role::Master, "1"), cluster.holder(Role::Master, "2"));
    first.refuse_revoked(|certificate| certificate.identity.name() == "2");
    let said = refusal(meet(&first, Expected::Master, &second, Callers::Masters).await.0).await;
    assert!(said.contains("spiffe://prod/master/2, whose certificate was revoked"), "{said}");
}

#[tokio::test]
async fn a_worker_is_not_taken_for_another_or_for_a_master() {
    let cluster = Cluster::new("prod");
    let (master, worker) = (cluster.holder(Role::Master, "1"), cluster.holder(Role::Worker, "w1"));
    let asked = |name: &str| Expected::Worker(name.into());
    let (client, server) = meet(&master, asked("w1"), &worker, Callers::Masters).await;
    assert_eq!(server.unwrap().caller.unwrap().identity.name(), "1");
    client.unwrap();

    let (client, _) = meet(&master, asked("w2"), &worker, Callers::Masters).await;
    let told = refusal(client).await;
    assert!(told.contains("spiffe://prod/worker/w1, and not w2"), "{told}");
    let (client, _) = meet(&master, Expected::Master, &worker, Callers::Masters).await;
    let told = refusal(client).await;
    assert!(told.contains("and no master"), "{told}");

    let (client, server) = meet(&worker, asked("w1"), &worker, Callers::Masters).await;
    assert!(failure(server).contains("and no master"));
    assert!(refusal(client).await.contains("its log says why"));
}

#[tokio::test]
async fn whoever_shows_nothing_is_nobody() {
    let cluster = Cluster::new("prod");
    let master = cluster.holder(Role::Master, "1");
    let trusted = cluster.dir.path().join("ca.crt");
    let nobody = Credentials::load(TrustFiles { trusted, own: None, cluster: None }).unwrap();
    assert_eq!(nobody.identity(), None);
    let (client, server) = meet(&nobody, Expected::Master, &master, Callers::Anyone).await;
    assert_eq!(server.unwrap().caller, None);
    client.unwrap();

    let (client, server) = meet(&nobody, Expected::Master, &master, Callers::Masters).await;
    assert!(failure(server).contains("shows no certificate"));
    assert!(refusal(client).await.contains("wants a certificate"));
}

#[tokio::test]
async fn another_authority_is_not_believed_even_for_the_same_names() {
    let (ours, theirs) = (Cluster::new("prod"), Cluster::new("prod"));
    let (master, stranger) = (ours.holder(Role::Master, "1"), theirs.holder(Role::Master, "1"));
    let (client, _) = meet(&stranger, Expected::Master, &master, Callers::Anyone).await;
    let told = refusal(client).await;
    assert!(told.contains("nobody whom we trust"), "{told}");

    // One that trusts us, and shows what we do not trust.
    let own =
        Some(["crt", "key"].map(|end| theirs.dir.path().join(format!("master-1.{end}"))).into());
    let files = TrustFiles { trusted: ours.dir.path().join("ca.crt"), own, cluster: None };
    let error = Credentials::load(files).unwrap_err();
    assert!(matches!(error, CredentialsError::Untrusted { .. }), "{error}");
}

/// While an authority is replaced, both are trusted.
#[tokio::test]
async fn two_authorities_can_be_trusted_at_once() {
    let (old, new) = (Cluster::new("prod"), Cluster::new("prod"));
    let both = old.dir.path().join("both.crt");
    let texts = [&old, &new].map(|cluster| fs::read(cluster.dir.path().join("ca.crt")).unwrap());
    fs::write(&both, texts.concat()).unwrap();
    let holder = |cluster: &Cluster, name: &str| {
        let files = Files { trusted: both.clone(), ..cluster.files(Role::Master, name) };
        Credentials::load(files).unwrap()
    };
    let (first, second) = (holder(&old, "1"), holder(&new, "2"));
    for (client, server) in [(&first, &second), (&second, &first)] {
        let (client, server) = meet(client, Expected::Master, server, Callers::Masters).await;
        client.unwrap();
        assert_eq!(server.unwrap().caller.unwrap().identity.cluster(), "prod");
    }
}

/// Files of two authorities in one directory make no certificate that nobody would believe.
#[test]
fn an_issuer_of_another_root_is_refused() {
    let (one, other) = (Authority::create("prod", now()), Authority::create("prod", now()));
    let (one, other) = (one.unwrap(), other.unwrap());
    let error = Authority::open(&one.root, &other.issuer, &other.issuer_key).unwrap_err();
    assert!(matches!(error, IssueError::OtherRoot), "{error}");
}

/// One authority of a company may issue for several clusters, by names of its own.
#[tokio::test]
async fn another_cluster_of_the_same_authority_is_refused() {
    let cluster = Cluster::new("prod");
    let holder = Identity::new("test", Role::Master, "1").unwrap();
    let refused = cluster.authority.issue(&holder, &[], DAY, now()).unwrap_err();
    assert!(refused.to_string().contains("cannot name anybody of test"), "{refused}");
}

#[tokio::test]
async fn what_has_expired_is_not_used_and_not_believed() {
    let cluster = Cluster::new("prod");
    let long_ago = now() - 10 * DAY;
    let files = cluster.files_at(Role::Worker, "old", long_ago, DAY);
    let error = Credentials::load(files).unwrap_err();
    assert!(matches!(error, CredentialsError::Expired { .. }), "{error}");
    let files = cluster.files_at(Role::Worker, "young", now() + DAY, DAY);
    let error = Credentials::load(files).unwrap_err();
    assert!(matches!(error, CredentialsError::NotYet { .. }), "{error}");

    // One that expires while it is in use.
    let master = cluster.holder(Role::Master, "1");
    let life = Duration::from_secs(3);
    let files = cluster.files_at(Role::Worker, "w", now(), life);
    let worker = Credentials::load(files).unwrap();
    let (client, server) = meet(&worker, Expected::Master, &master, Callers::Anyone).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap().stream);
    let over = worker.not_after().unwrap() + Duration::from_secs(1);
    while now() < over {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (late, refused) = meet(&worker, Expected::Master, &master, Callers::Anyone).await;
    assert!(failure(refused).contains("it was valid until"));
    assert!(refusal(late).await.contains("clocks is wrong"));

    // The connection from before stays.
    client.write_u8(7).await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), 7);
}

#[tokio::test]
async fn new_files_are_shown_by_new_connections_and_old_ones_stay() {
    let cluster = Cluster::new("prod");
    let files = cluster.files(Role::Master, "1");
    let master = Credentials::load(files.clone()).unwrap();
    let worker = cluster.holder(Role::Worker, "w");
    assert!(!master.refresh().unwrap());

    let shown = |stream: &Secured<DuplexStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let (client, server) = meet(&worker, Expected::Master, &master, Callers::Anyone).await;
    let (mut before, mut far) = (client.unwrap(), server.unwrap().stream);
    cluster.files(Role::Master, "1");
    assert!(master.refresh().unwrap());
    let (client, _server) = meet(&worker, Expected::Master, &master, Callers::Anyone).await;
    assert_ne!(shown(&before), shown(&client.unwrap()));
    before.write_u8(1).await.unwrap();
    before.flush().await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), 1);

    // Files that cannot be used are told of each time, and change nothing.
    replace(&files.certificate, "nothing");
    for _ in 0..2 {
        assert!(master.refresh().is_err());
    }
    let (client, _server) = meet(&worker, Expected::Master, &master, Callers::Anyone).await;
    client.unwrap();

    // Nor does somebody else's. A permission that is mended is noticed.
    let other = cluster.files(Role::Master, "2");
    replace(&files.certificate, &fs::read_to_string(&other.certificate).unwrap());
    replace(&files.key, &fs::read_to_string(&other.key).unwrap());
    let set_mode = |mode| fs::set_permissions(&files.key, fs::Permissions::from_mode(mode));
    set_mode(0o600).unwrap();
    let error = master.refresh().unwrap_err();
    assert!(matches!(error, CredentialsError::OtherHolder { .. }), "{error}");
    cluster.files(Role::Master, "1");
    set_mode(0o644).unwrap();
    let error = master.refresh().unwrap_err();
    assert!(matches!(error, CredentialsError::KeyIsOpen { .. }), "{error}");
    set_mode(0o600).unwrap();
    assert!(master.refresh().unwrap());
    let (client, _server) = meet(&worker, Expected::Master, &master, Callers::Anyone).await;
    client.unwrap();
}

#[tokio::test]
async fn a_peer_without_tls_can_be_answered() {
    let cluster = Cluster::new("prod");
    let master = cluster.holder(Role::Master, "1");
    let acceptor = Acceptor::new(master, Callers::Anyone, Protocol::Http);
    let (mut near, far) = tokio::io::duplex(64 << 10);
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let Err(NotAccepted::Plain(mut far)) = acceptor.accept(far).await else {
        panic!("clear text was not recognized")
    };
    far.write_all(b"no").await.unwrap();
    drop(far);
    let mut said = Vec::new();
    near.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"no");
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let cluster = Cluster::new("prod");
    let files = cluster.files(Role::Worker, "w");
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Credentials::load(files).unwrap_err().to_string();
    assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
}

#[test]
fn files_that_do_not_fit_together_are_refused_by_name() {
    let cluster = Cluster::new("prod");
    let (one, two) = (cluster.files(Role::Worker, "a"), cluster.files(Role::Worker, "b"));
    let mixed = Files { key: two.key.clone(), ..one.clone() };
    let error = Credentials::load(mixed).unwrap_err();
    assert!(matches!(error, CredentialsError::OtherKey { .. }), "{error}");
    let swapped = Files { certificate: one.key.clone(), ..one.clone() };
    let error = Credentials::load(swapped).unwrap_err();
    assert!(matches!(error, CredentialsError::Empty { .. }), "{error}");
    let root = Files { certificate: one.trusted.clone(), ..one };
    let error = Credentials::load(root).unwrap_err();
    assert!(matches!(error, CredentialsError::Certificate { .. }), "{error}");
}

#[tokio::test]
async fn a_trusted_certificate_vouches_for_others_in_its_time_only() {
    let cluster = Cluster::new("prod");
    let ca = fs::read_to_string(cluster.dir.path().join("ca.crt")).unwrap();
    let until = now() + Duration::from_secs(3);
    let short = files_under_root_until(cluster.dir.path(), until);
    // Both trust both.
    let both = format!("{ca}{}", fs::read_to_string(&short.trusted).unwrap());
    replace(&short.trusted, &both);
    replace(&cluster.dir.path().join("ca.crt"), &both);
    let server = cluster.holder(Role::Master, "1");
    let client = Credentials::load(short.clone()).unwrap();
    assert!(client.not_after().unwrap() <= until, "it ends with what vouches for it");
    assert!(server.not_after().unwrap() > until);
    assert!(meet(&client, Expected::Master, &server, Callers::Masters).await.1.is_ok());

    // From then on nobody believes it, under credentials that are in use and when they are loaded.
    let refused = async {
        loop {
            let met = meet(&client, Expected::Master, &server, Callers::Masters).await;
            if met.1.is_err() {
                return failure(met.1);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap();
    assert!(refused.contains("nobody whom we trust has issued it"), "{refused}");
    let told = Credentials::load(short).unwrap_err().to_string();
    assert!(told.contains("short-ca.crt: CN=short root was valid until"), "{told}");
    cluster.holder(Role::Master, "1");
}
