//! Writing, limiting, reading, following and removing logs.

use std::time::Duration;

use super::*;
use crate::ledger::attempt_ref;

const A: AttemptRef = attempt_ref(1, 1);
const B: AttemptRef = attempt_ref(2, 1);

fn logs(bytes_max: u64) -> (tempfile::TempDir, Logs) {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::new(dir.path().join("tasks"), bytes_max);
    for attempt in [A, B] {
        std::fs::create_dir_all(logs.dir(attempt)).unwrap();
    }
    (dir, logs)
}

async fn read(logs: &Logs, streams: &[Stream], tail_lines: Option<u64>) -> String {
    let mut reader = logs.open(A, streams, Follow::No, tail_lines).unwrap();
    let mut text = Vec::new();
    while let Some((_, bytes)) = reader.next_chunk().await.unwrap() {
        text.extend(bytes);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn output_is_kept_by_stream() {
    let (_dir, logs) = logs(1_000);
    let attempt = logs.begin(A);
    attempt.record(Stream::Stdout, &b"out\n"[..]).await.unwrap();
    attempt.record(Stream::Stderr, &b"err\n"[..]).await.unwrap();
    drop(attempt);

    assert_eq!(read(&logs, &Stream::ALL, None).await, "out\nerr\n");
    assert_eq!(read(&logs, &[Stream::Stderr], None).await, "err\n");
    assert!(logs.open(attempt_ref(9, 1), &Stream::ALL, Follow::Yes, None).is_none());
}

#[tokio::test]
async fn output_beyond_the_limit_is_dropped_and_says_so() {
    let (_dir, logs) = logs(10);
    let attempt = logs.begin(A);
    let printed = vec![b'x'; 3 * CHUNK_BYTES];

    attempt.record(Stream::Stdout, &printed[..]).await.unwrap();

    assert_eq!(
        read(&logs, &[Stream::Stdout], None).await,
        "xxxxxxxxxx\n[output beyond 10 bytes dropped]\n"
    );
}

#[tokio::test]
async fn output_of_exactly_the_limit_is_whole() {
    let (_dir, logs) = logs(10);
    logs.begin(A).record(Stream::Stdout, &b"0123456789"[..]).await.unwrap();
    assert_eq!(read(&logs, &[Stream::Stdout], None).await, "0123456789");
}

#[tokio::test]
async fn the_tail_begins_at_a_line() {
    let (_dir, logs) = logs(1 << 20);
    let text = (0..30_000).map(|n| format!("line {n}\n")).collect::<String>();
    logs.begin(A).record(Stream::Stdout, text.as_bytes()).await.unwrap();

    assert_eq!(read(&logs, &[Stream::Stdout], Some(2)).await, "line 29998\nline 29999\n");
    assert_eq!(read(&logs, &[Stream::Stdout], Some(0)).await, "");
    assert_eq!(read(&logs, &[Stream::Stdout], Some(99_999)).await, text);
    let half = read(&logs, &[Stream::Stdout], Some(15_000)).await;
    assert!(half.starts_with("line 15000\n"), "{}", &half[..20]);
}

#[tokio::test]
async fn the_tail_counts_a_last_line_without_its_break() {
    let (_dir, logs) = logs(1_000);
    logs.begin(A).record(Stream::Stdout, &b"a\nb\nc"[..]).await.unwrap();
    assert_eq!(read(&logs, &[Stream::Stdout], Some(2)).await, "b\nc");
}

#[tokio::test]
async fn a_follower_sees_everything_up_to_the_end() {
    let (_dir, logs) = logs(1_000);
    let attempt = logs.begin(A);
    let mut reader = logs.open(A, &Stream::ALL, Follow::Yes, None).unwrap();
    let (mut process, output) = tokio::io::duplex(64);

    let follow = async {
        let mut seen = Vec::new();
        while let Some((stream, bytes)) = reader.next_chunk().await.unwrap() {
            seen.push(format!("{stream}: {}", String::from_utf8_lossy(&bytes)));
        }
        seen
    };
    let print = async move {
        let recording = async {
            attempt.record(Stream::Stdout, output).await.unwrap();
            attempt.record(Stream::Stderr, &b"bye"[..]).await.unwrap();
            drop(attempt);
        };
        let printing = async {
            process.write_all(b"one").await.unwrap();
            tokio::task::yield_now().await;
            drop(process);
        };
        tokio::join!(recording, printing)
    };
    let (seen, _) = tokio::join!(follow, print);

    assert_eq!(seen, ["stdout: one", "stderr: bye"]);
}

#[tokio::test]
async fn old_logs_are_removed_and_live_ones_are_not() {
    let (_dir, logs) = logs(1_000);
    let _live = logs.begin(B);

    logs.remove_old(Retention { age: Duration::from_secs(3_600), attempts_max: 10 });
    assert!(logs.dir(A).is_dir());

    logs.remove_old(Retention { age: Duration::ZERO, attempts_max: 10 });
    assert!(!logs.dir(A).exists() && !logs.dir(A).parent().unwrap().exists());
    assert!(logs.dir(B).is_dir());
}

#[tokio::test]
async fn the_youngest_logs_are_kept_when_there_are_too_many() {
    let (_dir, logs) = logs(1_000);
    let older = std::fs::File::open(logs.dir(A)).unwrap();
    older.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).unwrap();

    logs.remove_old(Retention { age: Duration::MAX, attempts_max: 1 });

    assert!(!logs.dir(A).exists());
    assert!(logs.dir(B).is_dir());
}
