//! Backups that a master sends, by gRPC and by REST.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use proto::backup::{Decoder, Section, Summary};
use proto::client::{Client, ClientOptions};
use proto::problem::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::one_master::OneMaster;

fn client(master: &OneMaster) -> Client {
    let options = ClientOptions { deadline: Duration::from_secs(5), ..ClientOptions::default() };
    Client::new([master.grpc().to_string()], options).unwrap()
}

/// Returns the summary of a whole backup.
fn summary(bytes: &[u8]) -> Summary {
    let (mut decoder, mut summary) = (Decoder::default(), None);
    decoder.push(bytes);
    while let Some(section) = decoder.next_section().unwrap() {
        if let Section::Summary(read) = section {
            summary = Some(*read);
        }
    }
    decoder.finish().unwrap();
    summary.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_by_grpc_says_what_it_holds() {
    let master = OneMaster::start().await;
    for _ in 0..3 {
        master.submit("true").await;
    }
    let cancelled = master.submit("true").await;
    master.delete(&format!("/api/tasks/{cancelled}")).await;

    let mut stream = client(&master).save_snapshot().await.unwrap();
    let mut bytes = Vec::new();
    while let Some(part) = stream.next().await.unwrap() {
        bytes.extend_from_slice(&part);
    }

    let summary = summary(&bytes);
    assert_eq!(summary.tasks.into_iter().collect::<Vec<_>>(), [("queued".to_owned(), 3)]);
    assert_eq!((summary.finished_tasks, summary.master), (1, 1));
    assert!(summary.index.unwrap() >= 5);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_by_rest_is_the_file_itself() {
    let master = OneMaster::start().await;
    master.submit("true").await;
    let mut stream = TcpStream::connect(master.http()).await.unwrap();
    let request =
        "POST /api/cluster/snapshot HTTP/1.0\r\nhost: master\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();

    let begin = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let (head, body) = answer.split_at(begin + 4);
    let head = String::from_utf8_lossy(head).to_lowercase();
    assert!(head.starts_with("http/1.0 200"), "{head}");
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    assert_eq!(summary(body).tasks.get("queued"), Some(&1));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_that_are_not_read_do_not_pile_up() {
    let master = OneMaster::start().await;
    // More than the windows of a connection take, and than the disk makes smaller.
    for _ in 0..4 {
        let noise = || (0..3_000).map(|_| uuid::Uuid::new_v4().to_string()).collect::<String>();
        let task = || serde_json::json!({ "command": ["true", noise()] });
        let tasks = (0..40).map(|_| task()).collect::<serde_json::Value>();
        assert_eq!(master.post("/api/tasks", &tasks).await.status, 201);
    }
    let client = client(&master);
    let first = client.save_snapshot().await.unwrap();
    let second = client.save_snapshot().await.unwrap();

    let refused = client.save_snapshot().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded, "{refused}");

    drop((first, second));
    let begun = eventually::eventually("there is room again", eventually::PATIENCE, async || {
        client.save_snapshot().await.map_err(|error| error.to_string())
    });
    drop(begun.await);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_saved_by_themselves_and_the_oldest_are_removed() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("backups");
    let master = OneMaster::start_with(|config| {
        config.backup.directory.clone_from(&directory);
        config.backup.interval = Duration::from_secs(1);
        config.backup.keep = 2;
    })
    .await;
    let names = || {
        let entries = std::fs::read_dir(&directory).into_iter().flatten();
        let mut names = entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        names.retain(|path| path.extension().is_some_and(|extension| extension == "backup"));
        names.sort();
        names
    };
    let first = eventually::eventually("a backup is there", eventually::PATIENCE, async || {
        names().pop().ok_or_else(|| "none is".to_owned())
    });
    let first = first.await;
    let removed = eventually::eventually("the first one goes", eventually::PATIENCE, async || {
        eventually::require(!first.exists(), || format!("{:?}", names()))
    });
    removed.await;

    for name in names() {
        if let Ok(bytes) = std::fs::read(&name) {
            assert_eq!(summary(&bytes).master, 1);
        }
    }
    assert!(names().len() <= 3, "{:?}", names());
    master.until_metrics_say("cloudai_backup_interval_seconds 1.0").await;
    let metrics = master.get("/metrics").await.body;
    let age = metrics.lines().find_map(|line| line.strip_prefix("cloudai_backup_age_seconds "));
    assert!(age.unwrap().parse::<f64>().unwrap() < 60.0, "{metrics}");
    master.stop().await;
}
