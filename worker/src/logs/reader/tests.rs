//! Tests of what is read at once, and in which order.

use OutputStream::{Stderr, Stdout};

use super::*;
use crate::logs::tests::{A, logs, printed};

#[tokio::test]
async fn neither_stream_keeps_the_other_waiting() {
    let (_dir, logs) = logs(1 << 20);
    let much = vec![b'x'; 2 * READ_BYTES];
    printed(&logs, A, &much, &much).await;

    let mut reader = logs.open(A, &OutputStream::ALL, Follow::No, None).unwrap();
    let mut seen = Vec::new();
    while let Some((stream, ..)) = reader.next_chunk().await.unwrap() {
        seen.push(stream);
    }

    seen.dedup();
    assert_eq!(seen, [Stdout, Stderr, Stdout, Stderr]);
}

#[tokio::test]
async fn a_stream_without_output_costs_the_other_no_reads() {
    const BLOCKS: usize = 5;
    let (_dir, logs) = logs(1 << 20);
    printed(&logs, A, &vec![b'x'; BLOCKS * READ_BYTES], b"").await;

    let mut reader = logs.open(A, &OutputStream::ALL, Follow::No, None).unwrap();
    let reads = std::iter::from_fn(|| reader.sources.read().unwrap());

    assert_eq!(reads.count(), BLOCKS, "one for each block");
}
