//! People log in to clusters, and commands run in the context of the one in use.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use cluster_tests::cluster::Cluster;
use cluster_tests::process::binary;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Token of the file that the master has.
const TOKEN: &str = "4f1c0a6be2d94b7c8a35d1e07f9264bb";

/// A person with a home directory, and nothing in the environment.
struct Person {
    home: PathBuf,
}

impl Person {
    async fn run(&self, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(binary("clusterctl"));
        let ours =
            std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("CLUSTERCTL"));
        for name in ours {
            command.env_remove(name);
        }
        let mut child = command
            .args(args)
            .env("HOME", &self.home)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        child.wait_with_output().await.unwrap()
    }

    /// Runs a command that must exit so; returns what it prints, in which no token may be.
    async fn expect(&self, args: &[&str], input: &str, code: i32) -> String {
        let output = self.run(args, input).await;
        let [stdout, stderr] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stdout}{stderr}");
        assert!(!stdout.contains(TOKEN) && !stderr.contains(TOKEN), "{stdout}{stderr}");
        stdout + &stderr
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn people_log_in_once_and_work_in_the_context() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("root admin {TOKEN}\n")).unwrap();
    set_mode(file.path(), 0o600);
    let cluster = Cluster::builder()
        .masters(1)
        .master_arg("--access-anonymous", "none")
        .master_arg("--access-token-file", file.path().to_str().unwrap())
        .start()
        .await;
    let person = Person { home: cluster.dir().join("home") };
    std::fs::create_dir(&person.home).unwrap();
    let endpoints = cluster.grpc_addresses().join(",");
    let login = ["login", "prod", "--endpoints", &endpoints, "--token-file"];

    // Wrong credentials leave nothing behind.
    let contexts = person.home.join(".config/clusterctl/contexts.toml");
    let wrong = [&login[..], &["-"]].concat();
    person.expect(&wrong, "0123456789abcdef0123456789abcdef", 5).await;
    assert!(!contexts.exists());

    let told = person.expect(&wrong, TOKEN, 0).await;
    assert!(told.contains("user:root has the role admin there"), "{told}");
    assert_eq!((mode(&contexts), mode(contexts.parent().unwrap())), (0o600, 0o700));
    person.expect(&["status"], "", 0).await;
    assert!(person.expect(&["whoami"], "", 0).await.contains("user:root"));
    assert!(person.expect(&["context", "list"], "", 0).await.contains(&endpoints));
    person.expect(&["context", "show", "-o", "json"], "", 0).await;

    // Another context, with a file of the token, relative to where the login was.
    let token = person.home.join("root.token");
    std::fs::write(&token, TOKEN).unwrap();
    set_mode(&token, 0o600);
    let login = ["login", "other", "--endpoints", &endpoints, "--token-file"];
    person.expect(&[&login[..], &[token.to_str().unwrap()]].concat(), "", 0).await;
    std::fs::remove_file(&token).unwrap();
    person.expect(&["status"], "", 2).await;
    person.expect(&["status", "--context", "prod"], "", 0).await;
    person.expect(&["context", "use", "prod"], "", 0).await;
    person.expect(&["status"], "", 0).await;
    // The token is for the cluster of the context alone.
    person.expect(&["status", "--endpoints", &endpoints], "", 5).await;

    set_mode(&contexts, 0o644);
    let told = person.expect(&["status"], "", 2).await;
    assert!(told.contains("chmod 600"), "{told}");
    set_mode(&contexts, 0o600);
    person.expect(&["context", "delete", "prod"], "", 0).await;
    person.expect(&["context", "show"], "", 3).await;
    person.expect(&["status", "--context", "prod"], "", 3).await;
}
