//! Tests of writing, limiting, reading, following and removing logs.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use proto::output::CHUNK_BYTES;
use tokio::io::AsyncWriteExt;

use super::file_clock::Reading;
use super::retention::{CLOCK_PATIENCE, Remains};
use super::*;
use crate::clock::{self, Moment};
use crate::ledger::attempt_ref;
use OutputStream::{Stderr, Stdout};

pub(super) const A: AttemptRef = attempt_ref(1, 1);
const B: AttemptRef = attempt_ref(2, 1);
const READERS_MAX: usize = 3;

const HOUR: Duration = Duration::from_hours(1);
const WEEK: Duration = Duration::from_hours(7 * 24);

pub(super) fn logs(bytes_max: u64) -> (tempfile::TempDir, Logs) {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::new(dir.path(), bytes_max, READERS_MAX);
    (dir, logs)
}

/// Returns an attempt that has printed to both streams and ended.
pub(super) async fn printed(logs: &Logs, attempt: AttemptRef, stdout: &[u8], stderr: &[u8]) {
    fs::create_dir_all(logs.working_dir(attempt)).unwrap();
    let attempt = logs.begin(attempt);
    let [out, err] = attempt.create().unwrap();
    attempt.record(out, stdout).await.unwrap();
    attempt.record(err, stderr).await.unwrap();
}

async fn read(logs: &Logs, streams: &[OutputStream], tail_lines: Option<u64>) -> String {
    let mut reader = logs.open(A, streams, Follow::No, tail_lines).unwrap();
    let mut text = Vec::new();
    while let Some((_, bytes, _)) = reader.next_chunk().await.unwrap() {
        text.extend(bytes);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn output_is_kept_by_stream() {
    let (_dir, logs) = logs(1_000);
    printed(&logs, A, b"out\n", b"err\n").await;

    assert_eq!(read(&logs, &OutputStream::ALL, None).await, "out\nerr\n");
    assert_eq!(read(&logs, &[Stderr], None).await, "err\n");
    let unknown = attempt_ref(9, 1);
    let opened = logs.open(unknown, &OutputStream::ALL, Follow::Yes, None);
    assert_eq!(opened.unwrap_err(), OpenError::Unknown(unknown));
}

#[tokio::test]
async fn beyond_the_limit_the_beginning_and_the_end_are_kept() {
    let (_dir, logs) = logs(3 << 20);
    let text = (0..1_000_000).map(|n| format!("line {n}\n")).collect::<String>();

    printed(&logs, A, text.as_bytes(), b"").await;

    let kept = read(&logs, &[Stdout], None).await;
    let (head, rest) = kept.split_once("\n[").unwrap();
    let (dropped, tail) = rest.split_once(" bytes of output dropped]\n").unwrap();
    assert_eq!(head.len(), 1 << 20);
    assert!(tail.len() >= 1 << 20, "{}", tail.len());
    assert!(text.starts_with(head) && text.ends_with(tail));
    assert_eq!(head.len() + dropped.parse::<usize>().unwrap() + tail.len(), text.len());
    assert!(head.len() + tail.len() <= 3 << 20);
    assert_eq!(read(&logs, &[Stdout], Some(2)).await, "line 999998\nline 999999\n");
}

#[tokio::test]
async fn output_of_exactly_the_limit_is_whole() {
    let (_dir, logs) = logs(10);
    printed(&logs, A, b"0123456789", b"").await;
    assert_eq!(read(&logs, &[Stdout], None).await, "0123456789");
}

#[tokio::test]
async fn a_refusal_of_the_disk_is_told_once_and_later_output_is_kept_again() {
    let (_dir, logs) = logs(1_000);
    let attempt = logs.begin(A);
    let [mut out, _] = attempt.create().unwrap();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();

    out.keep(b"kept").unwrap();
    out.divert(full());
    assert_eq!(out.keep(b"lost").unwrap_err().kind(), io::ErrorKind::StorageFull);
    out.keep(b"lost").unwrap();
    let path = logs.dir(A).join("stdout");
    out.divert(fs::OpenOptions::new().append(true).open(path).unwrap());
    out.keep(b", kept again").unwrap();

    assert_eq!(read(&logs, &[Stdout], None).await, "kept, kept again");
}

#[tokio::test]
async fn a_marker_says_where_output_was_lost() {
    let (_dir, logs) = logs(1_000);
    let attempt = logs.begin(A);
    let [mut out, _] = attempt.create().unwrap();

    out.keep(b"before").unwrap();
    out.mark_loss(&io::ErrorKind::StorageFull.into());
    out.keep(b"after").unwrap();

    let expected = "before\n[output lost: no space left]\nafter";
    assert_eq!(read(&logs, &[Stdout], None).await, expected);
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was() {
    let (_dir, logs) = logs(1 << 20);
    printed(&logs, A, &vec![b'x'; 2 * CHUNK_BYTES as usize], b"").await;
    let mut reader = logs.open(A, &[Stdout], Follow::No, None).unwrap();
    let (stream, bytes, position) = reader.next_chunk().await.unwrap().unwrap();

    let mut again = logs.open(A, &[Stdout], Follow::No, None).unwrap();
    again.skip_to(stream, position);
    let (_, rest, end) = again.next_chunk().await.unwrap().unwrap();

    assert_eq!(bytes.len() + rest.len(), 2 * CHUNK_BYTES as usize);
    assert_eq!(end, 2 * u64::from(CHUNK_BYTES));
}

#[tokio::test]
async fn a_reader_that_was_away_is_told_what_it_missed() {
    let (_dir, logs) = logs(100);
    printed(&logs, A, &vec![b'x'; 1_000], b"").await;

    let mut again = logs.open(A, &[Stdout], Follow::No, None).unwrap();
    again.skip_to(Stdout, 200);
    let (_, marker, position) = again.next_chunk().await.unwrap().unwrap();

    assert_eq!(marker, format!("\n[{} bytes of output dropped]\n", position - 200));
}

#[tokio::test]
async fn readers_are_bounded_and_the_next_is_told_so() {
    let (_dir, logs) = logs(1_000);
    let _live = logs.begin(A);
    let open = || logs.open(A, &OutputStream::ALL, Follow::Yes, None);
    let mut readers = (0..READERS_MAX).map(|_| open().unwrap()).collect::<Vec<_>>();

    assert_eq!(open().unwrap_err(), OpenError::TooManyReaders(READERS_MAX));

    readers.pop();
    open().unwrap();
}

#[tokio::test]
async fn a_log_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let (_dir, logs) = logs(1_000);
    printed(&logs, A, b"x", b"").await;

    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&logs.dir(A)), 0o700);
    assert_eq!(mode(&logs.dir(A).join("stdout")), 0o600);
}

#[tokio::test]
async fn what_is_no_regular_file_is_neither_waited_for_nor_followed() {
    let (dir, logs) = logs(1_000);
    printed(&logs, A, b"x", b"").await;
    let path = logs.dir(A).join("stdout");

    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut reader = logs.open(A, &OutputStream::ALL, Follow::No, None).unwrap();
    assert!(reader.next_chunk().await.is_err(), "a pipe that nobody writes");

    fs::remove_file(&path).unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret"), &path).unwrap();
    let mut reader = logs.open(A, &OutputStream::ALL, Follow::No, None).unwrap();
    assert!(reader.next_chunk().await.is_err(), "a link");
}

#[tokio::test]
async fn the_tail_begins_at_a_line() {
    let (_dir, logs) = logs(1 << 20);
    let text = (0..30_000).map(|n| format!("line {n}\n")).collect::<String>();
    printed(&logs, A, text.as_bytes(), b"").await;

    assert_eq!(read(&logs, &[Stdout], Some(2)).await, "line 29998\nline 29999\n");
    assert_eq!(read(&logs, &[Stdout], Some(0)).await, "");
    assert_eq!(read(&logs, &[Stdout], Some(99_999)).await, text);
    let half = read(&logs, &[Stdout], Some(15_000)).await;
    assert!(half.starts_with("line 15000\n"), "{}", &half[..20]);
}

#[tokio::test]
async fn the_tail_counts_a_last_line_without_its_break() {
    let (_dir, logs) = logs(1_000);
    printed(&logs, A, b"a\nb\nc", b"").await;
    assert_eq!(read(&logs, &[Stdout], Some(2)).await, "b\nc");
}

#[tokio::test]
async fn a_follower_sees_everything_up_to_the_end() {
    let (_dir, logs) = logs(1_000);
    let attempt = logs.begin(A);
    let [out, err] = attempt.create().unwrap();
    let mut reader = logs.open(A, &OutputStream::ALL, Follow::Yes, None).unwrap();
    let (mut process, output) = tokio::io::duplex(64);

    let follow = async {
        let mut seen = Vec::new();
        while let Some((stream, bytes, _)) = reader.next_chunk().await.unwrap() {
            seen.push(format!("{stream}: {}", String::from_utf8_lossy(&bytes)));
        }
        seen
    };
    let print = async move {
        let recording = async {
            attempt.record(out, output).await.unwrap();
            attempt.record(err, &b"bye"[..]).await.unwrap();
            drop(attempt);
        };
        let printing = async {
            process.write_all(b"one").await.unwrap();
            tokio::task::yield_now().await;
            drop(process);
        };
        tokio::join!(recording, printing)
    };
    let (mut seen, _) = tokio::join!(follow, print);

    // The streams have no order among them.
    seen.sort_unstable();
    assert_eq!(seen, ["stderr: bye", "stdout: one"]);
}

/// Ends A and then B, which leave a kilobyte each in their directories.
async fn two_ended() -> (tempfile::TempDir, Logs) {
    let (dir, logs) = logs(1_000);
    for (attempt, seconds) in [(A, 1), (B, 2)] {
        printed(&logs, attempt, b"printed", b"").await;
        let file = logs.working_dir(attempt).join("result");
        fs::write(&file, vec![0; 1 << 10]).unwrap();
        let log_dir = logs.dir(attempt);
        for path in [
            file,
            logs.working_dir(attempt),
            log_dir.join("stdout"),
            log_dir.join("stderr"),
            log_dir,
        ] {
            stamp(&path, Duration::from_secs(seconds));
        }
    }
    (dir, logs)
}

fn stamp(path: &Path, wall: Duration) {
    fs::File::open(path).unwrap().set_modified(UNIX_EPOCH + wall).unwrap();
}

/// Ends an attempt at that time of the wall clock.
async fn ended(logs: &Logs, attempt: AttemptRef, wall: Duration) {
    printed(logs, attempt, b"printed", b"").await;
    let dir = logs.dir(attempt);
    let left = [dir.join("stdout"), dir.join("stderr"), dir, logs.working_dir(attempt)];
    left.iter().for_each(|path| stamp(path, wall));
}

/// Returns a reading by a right clock, on a machine that was started `since_start` ago.
fn reading(wall: Duration, since_start: Duration) -> Reading {
    static START: LazyLock<Moment> = LazyLock::new(clock::now);
    Reading { wall: UNIX_EPOCH + wall, moment: START.after(since_start) }
}

fn sweep(logs: &Logs, retention: Retention) {
    let mut sweeper = Sweeper::starting(reading(HOUR, Duration::ZERO), logs.clone(), retention);
    sweeper.sweep_at(reading(HOUR + CLOCK_PATIENCE, CLOCK_PATIENCE));
}

fn is_kept(logs: &Logs, attempt: AttemptRef) -> bool {
    let [log, work] = [logs.dir(attempt), logs.working_dir(attempt)].map(|dir| dir.exists());
    assert_eq!(log, work, "both or neither");
    log
}

const ALL: Retention =
    Retention { age: Duration::MAX, attempts_max: usize::MAX, bytes_max: u64::MAX };

#[tokio::test]
async fn old_attempts_are_removed_and_live_ones_are_not() {
    let (_dir, logs) = two_ended().await;
    let _live = logs.begin(B);

    sweep(&logs, ALL);
    assert!(is_kept(&logs, A) && is_kept(&logs, B));

    sweep(&logs, Retention { age: Duration::ZERO, ..ALL });
    assert!(!is_kept(&logs, A) && !logs.dir(A).parent().unwrap().exists());
    assert!(is_kept(&logs, B));
}

#[tokio::test]
async fn what_is_no_attempt_is_not_removed() {
    let (_dir, logs) = two_ended().await;
    let task = logs.dir(A).parent().unwrap().to_owned();
    let found = task.parent().unwrap().join("lost+found/#17");
    let notes = task.join("notes");
    for dir in [&found, &notes] {
        fs::create_dir_all(dir).unwrap();
    }
    sweep(&logs, Retention { age: Duration::ZERO, ..ALL });
    assert!(!is_kept(&logs, A) && found.exists() && notes.exists());
}

#[tokio::test]
async fn the_last_to_end_are_kept_when_there_are_too_many() {
    let (_dir, logs) = two_ended().await;
    sweep(&logs, Retention { attempts_max: 1, ..ALL });
    assert!(!is_kept(&logs, A) && is_kept(&logs, B));
}

#[tokio::test]
async fn the_oldest_make_room_when_all_together_are_too_large() {
    let (_dir, logs) = two_ended().await;
    let mut one = Remains::default();
    one.add(&logs.dir(B));
    one.add(&logs.working_dir(B));

    sweep(&logs, Retention { bytes_max: one.bytes * 3 / 2, ..ALL });
    assert!(!is_kept(&logs, A) && is_kept(&logs, B));

    sweep(&logs, Retention { bytes_max: one.bytes / 2, ..ALL });
    assert!(!is_kept(&logs, B));
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_makes_no_log_old() {
    let (_dir, logs) = logs(1_000);
    ended(&logs, A, WEEK).await;
    let retention = Retention { age: WEEK, ..ALL };
    let at = |jump: Duration, since_start| reading(WEEK + since_start + jump, since_start);
    let mut sweeper =
        Sweeper::starting(at(Duration::ZERO, Duration::ZERO), logs.clone(), retention);

    sweeper.sweep_at(at(WEEK * 52, 2 * HOUR));
    assert!(is_kept(&logs, A));
    sweeper.sweep_at(at(Duration::ZERO, WEEK));
    assert!(is_kept(&logs, A));
    sweeper.sweep_at(at(Duration::ZERO, WEEK + HOUR));
    assert!(!is_kept(&logs, A));
}

#[tokio::test]
async fn a_clock_that_is_set_right_after_the_start_makes_no_log_old() {
    let (_dir, logs) = logs(1_000);
    ended(&logs, A, WEEK).await;
    let retention = Retention { age: WEEK, ..ALL };
    let wrong = reading(WEEK * 52, Duration::ZERO);
    let mut sweeper = Sweeper::starting(wrong, logs.clone(), retention);

    sweeper.sweep_at(reading(WEEK * 52 + HOUR / 2, HOUR / 2));
    for hours in 1..10 {
        sweeper.sweep_at(reading(WEEK + HOUR * hours, HOUR * hours));
    }
    assert!(is_kept(&logs, A));
}

#[tokio::test]
async fn a_log_of_a_wrong_clock_does_not_outlast_later_ones() {
    let (_dir, logs) = logs(1_000);
    let retention = Retention { attempts_max: 1, ..ALL };
    let at = |since_start| reading(WEEK + since_start, since_start);
    let mut sweeper = Sweeper::starting(at(Duration::ZERO), logs.clone(), retention);
    ended(&logs, A, WEEK * 52).await;
    sweeper.sweep_at(at(HOUR));

    ended(&logs, B, WEEK + 2 * HOUR).await;
    sweeper.sweep_at(at(3 * HOUR));

    assert!(!is_kept(&logs, A) && is_kept(&logs, B));
}
