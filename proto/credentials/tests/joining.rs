//! Joins a cluster that is known by the digest of its root alone, and has a key certified.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use credentials::{
    Acceptor, Authority, Callers, CertificateRequest, Connector, Credentials, Expected, Files,
    Identity, NewAuthority, Protocol, Role, Secured, TrustFiles, now, sentence,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, DuplexStream};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// An authority, and a directory with the files of those to whom it issued certificates.
struct Cluster {
    authority: Authority,
    dir: TempDir,
}

impl Cluster {
    fn new() -> Self {
        let NewAuthority { root, issuer, issuer_key, .. } =
            Authority::create("prod", now()).unwrap();
        let authority = Authority::open(&root, &issuer, &issuer_key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.crt"), root).unwrap();
        Self { authority, dir }
    }

    fn root(&self) -> String {
        fs::read_to_string(self.dir.path().join("ca.crt")).unwrap()
    }

    fn files(&self, role: Role, name: &str) -> Files {
        let holder = Identity::new("prod", role, name).unwrap();
        let issued = self.authority.issue(&holder, &[], DAY, now()).unwrap();
        let stem = self.dir.path().join(format!("{role}-{name}"));
        let files = Files {
            certificate: stem.with_extension("crt"),
            key: stem.with_extension("key"),
            trusted: self.dir.path().join("ca.crt"),
        };
        fs::write(&files.certificate, &issued.chain).unwrap();
        fs::write(&files.key, issued.key.reveal()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    fn holder(&self, role: Role, name: &str) -> Credentials {
        Credentials::load(self.files(role, name)).unwrap()
    }
}

/// Connects to a server that lets everybody in.
async fn connect(connector: Connector, server: &Credentials) -> io::Result<Secured<DuplexStream>> {
    let (near, far) = tokio::io::duplex(64 << 10);
    let acceptor = Acceptor::new(server.clone(), Callers::Anyone, Protocol::Grpc);
    tokio::join!(connector.connect("10.0.0.1", near), acceptor.accept(far)).0
}

/// Connects as one who trusts a root alone, to a master.
async fn meet(joining: &Credentials, server: &Credentials) -> io::Result<Secured<DuplexStream>> {
    connect(Connector::new(joining.clone(), Expected::Master, Protocol::Grpc), server).await
}

/// Returns the reason that a client has for breaking off.
async fn refusal(client: io::Result<Secured<DuplexStream>>) -> String {
    let error = match client {
        Ok(mut stream) => stream.read_u8().await.unwrap_err(),
        Err(error) => error,
    };
    sentence(&error).unwrap()
}

#[tokio::test]
async fn a_root_is_believed_by_its_digest_and_a_master_by_that_root() {
    let (own, foreign) = (Cluster::new(), Cluster::new());
    let digest = own.authority.digest();

    // Anybody may answer the first question; only the right root has the digest.
    for cluster in [&own, &foreign] {
        let master = cluster.holder(Role::Master, "1");
        connect(Connector::unverified(Protocol::Grpc), &master).await.unwrap();
    }
    assert_eq!(credentials::root_of_digest(&foreign.root(), &digest), None);
    assert_eq!(credentials::root_of_digest("no PEM", &digest), None);
    let several = foreign.root() + &own.root();
    let root = credentials::root_of_digest(&several, &digest).unwrap();
    let pinned = own.dir.path().join("pinned.crt");
    fs::write(&pinned, root).unwrap();
    let joining =
        Credentials::load(TrustFiles { trusted: pinned, own: None, cluster: None }).unwrap();

    meet(&joining, &own.holder(Role::Master, "1")).await.unwrap();
    // Neither a master of another cluster, nor a worker that poses as one, hears the token.
    let refused = refusal(meet(&joining, &foreign.holder(Role::Master, "1")).await).await;
    assert!(refused.contains("nobody whom we trust has issued it"), "{refused}");
    let refused = refusal(meet(&joining, &own.holder(Role::Worker, "w1")).await).await;
    assert!(refused.contains("and no master"), "{refused}");
}

#[test]
fn a_request_is_certified_for_whom_the_issuer_says() {
    let cluster = Cluster::new();
    let key = credentials::draw_key().unwrap();
    let request = CertificateRequest::read(&credentials::request(&key).unwrap()).unwrap();
    let again = CertificateRequest::read(&credentials::request(&key).unwrap()).unwrap();
    assert_eq!(request.key_digest(), again.key_digest());
    let holder = Identity::new("prod", Role::Worker, "w1").unwrap();
    let end = cluster.authority.end_of(DAY, now()).unwrap();
    let serial = [0x40, 0, 7];
    let to = (&holder, [].as_slice());
    let chain = cluster.authority.certify(&request, to, &serial, (now(), end)).unwrap();

    let master = cluster.holder(Role::Master, "1");
    let believed = master.check_chain(&chain).unwrap();
    assert_eq!((believed.identity, believed.serial), (holder, serial.to_vec()));
    let foreign = Cluster::new().holder(Role::Master, "1");
    assert!(foreign.check_chain(&chain).is_err());

    // The key and the certificate go together, as files do.
    let files = cluster.files(Role::Worker, "w1");
    fs::write(&files.certificate, &chain).unwrap();
    fs::write(&files.key, key.reveal()).unwrap();
    Credentials::load(files).unwrap();
}
