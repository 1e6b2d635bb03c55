//! A long log, read as fast as it comes and then not at all, with a scripted worker at the other
//! end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;

use bytes::Bytes;
use proto::output::Flow;
use proto::v1;
use serde_json::json;

use crate::one_master::OneMaster;
use crate::scripted_worker::{Logs, Script, ScriptedWorker};
use crate::worker_calls::WorkerCalls;

/// Lines of the log: far more than all buffers on its way hold.
const LINES: usize = 400_000;

/// Returns a log, and the worker's part in reading it from any place.
fn long_log() -> (Bytes, Logs) {
    let text = (0..LINES).map(|line| format!("{line:063}\n")).collect::<String>();
    let text = Bytes::from(text);
    let served = text.clone();
    let logs = move |request: &v1::StreamTaskLogsRequest| {
        let begin = usize::try_from(request.stdout_offset.unwrap_or(0)).unwrap();
        let step = usize::try_from(request.chunk_bytes.unwrap()).unwrap();
        let chunk = |at: usize| {
            let end = served.len().min(at + step);
            let (stream, data) = (v1::OutputStream::Stdout.into(), served.slice(at..end));
            let next_offset = u64::try_from(end).unwrap();
            Ok(v1::LogChunk { stream, data, next_offset, ..v1::LogChunk::default() })
        };
        Ok((begin..served.len()).step_by(step).map(chunk).collect())
    };
    (text, Arc::new(logs))
}

#[tokio::test(flavor = "multi_thread")]
async fn much_is_on_its_way_to_a_reader_only_while_it_reads_fast() {
    let (text, logs) = long_log();
    let master = OneMaster::start().await;
    let mut worker = ScriptedWorker::serve(Script { logs, ..Script::default() }).await;
    let calls = WorkerCalls::of(&master).await;
    let body = json!({"worker_id": "worker-1", "address": worker.address});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);
    calls.connect("worker-1", &worker.address, "").await.unwrap();
    let task_id = master.submit("true").await;
    worker.assigned.next().await;

    let endpoint = master.grpc().to_string();
    let client = proto::client::Client::new([endpoint], Default::default()).unwrap();
    let request = v1::TaskLogsRequest { task_id, ..v1::TaskLogsRequest::default() };
    let mut log = client.logs(request).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < text.len() / 8 {
        seen.extend(log.next().await.unwrap().unwrap().data);
    }

    let first = worker.log_requests.next().await;
    assert_eq!((first.chunk_bytes, first.stdout_offset), asked(Flow::Narrow, None));
    let wide = worker.log_requests.next().await;
    assert_eq!((wide.chunk_bytes, wide.stdout_offset), asked(Flow::Wide, wide.stdout_offset));
    let narrow = worker.log_requests.next().await;
    assert_eq!(
        (narrow.chunk_bytes, narrow.stdout_offset),
        asked(Flow::Narrow, narrow.stdout_offset)
    );
    assert!(None < wide.stdout_offset && wide.stdout_offset < narrow.stdout_offset);

    while let Some(chunk) = log.next().await.unwrap() {
        seen.extend(chunk.data);
    }
    assert!(seen == text, "{} of {} bytes", seen.len(), text.len());
}

const fn asked(flow: Flow, offset: Option<u64>) -> (Option<u32>, Option<u64>) {
    (Some(flow.chunk_bytes()), offset)
}
