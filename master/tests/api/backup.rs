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
