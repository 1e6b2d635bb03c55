//! A master says READY when it takes part and not before, and what it waits for until then.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use cluster_tests::cluster::Cluster;

/// Many looks of a starting master.
const LONG: Duration = Duration::from_secs(3);
/// For a start with an election.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_master_without_a_majority_is_not_ready_and_not_ended() {
    let mut cluster = Cluster::builder().start().await;
    for id in [1, 2, 3] {
        cluster.master_mut(id).kill();
    }
    let socket = cluster.path("notify");
    let told = UnixDatagram::bind(&socket).unwrap();
    let variable = ("NOTIFY_SOCKET".to_owned(), socket.display().to_string());
    cluster.master_mut(1).launch_mut().env.push(variable);

    cluster.master_mut(1).restart();
    let alone = told_within(&told, LONG, |_| false);
    assert!(alone.iter().any(|word| word.contains("no leader is known")), "{alone:?}");
    assert!(alone.iter().any(|word| word.contains("EXTEND_TIMEOUT_USEC=")), "{alone:?}");
    assert!(!alone.iter().any(|word| is_ready(word)), "{alone:?}");
    assert_eq!(cluster.probe(1, "/livez").await, Some(200));

    cluster.master_mut(2).restart();
    let together = told_within(&told, PATIENCE, is_ready);
    assert!(together.last().is_some_and(|word| is_ready(word)), "{together:?}");
    assert_eq!(cluster.probe(1, "/readyz").await, Some(200));
}

fn is_ready(word: &str) -> bool {
    word.lines().any(|line| line == "READY=1")
}

/// Gathers all words until one is enough, or for so long.
fn told_within(
    told: &UnixDatagram,
    longest: Duration,
    enough: impl Fn(&str) -> bool,
) -> Vec<String> {
    let end = std::time::Instant::now() + longest;
    let mut words = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return words;
        }
        told.set_read_timeout(Some(left)).unwrap();
        let Ok(size) = told.recv(&mut buffer) else { return words };
        words.push(String::from_utf8_lossy(&buffer[..size]).into_owned());
        if words.last().is_some_and(|word| enough(word)) {
            return words;
        }
    }
}
