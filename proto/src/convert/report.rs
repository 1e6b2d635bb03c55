//! Converts what workers tell of attempts beside their outcomes.

use bytes::Bytes;
use cluster_state::{AttemptReport, AttemptUsage, Payload, Task, TaskResult};

use super::detail::clip;
use crate::v1;
use crate::v1::finished_attempt::File;

/// Reads usage and result of an attempt. A result that is larger than results are was not kept by
/// the worker's rules, and is not kept here.
pub(super) fn read(
    usage: Option<v1::AttemptUsage>,
    result: Option<File>,
) -> Option<Box<AttemptReport>> {
    let usage = usage.map(|usage| AttemptUsage {
        cpu_micros: usage.cpu_micros,
        memory_peak_bytes: usage.memory_peak_bytes,
        out_of_memory: usage.out_of_memory,
    });
    let result = result.map(|result| match result {
        File::Content(bytes) if bytes.len() > Payload::BYTES_MAX => {
            TaskResult::TooLarge { bytes: bytes.len().try_into().unwrap_or(u64::MAX) }
        }
        File::Content(bytes) => TaskResult::Kept(Payload::from(&*bytes)),
        File::BytesTooMany(bytes) => TaskResult::TooLarge { bytes },
        File::Unreadable(detail) => TaskResult::Unreadable { detail: clip(detail) },
    });
    AttemptReport { usage, result }.boxed()
}

/// Writes usage and result of an attempt.
pub(super) fn write(report: Option<&AttemptReport>) -> (Option<v1::AttemptUsage>, Option<File>) {
    let Some(AttemptReport { usage, result }) = report else { return (None, None) };
    let usage = usage.map(|usage| v1::AttemptUsage {
        cpu_micros: usage.cpu_micros,
        memory_peak_bytes: usage.memory_peak_bytes,
        out_of_memory: usage.out_of_memory,
    });
    let result = result.as_ref().map(|result| match result {
        TaskResult::Kept(payload) => File::Content(Bytes::copy_from_slice(payload.bytes())),
        TaskResult::TooLarge { bytes } => File::BytesTooMany(*bytes),
        TaskResult::Unreadable { detail } => File::Unreadable(detail.clone()),
    });
    (usage, result)
}

/// Returns an upper bound of a report's bytes in a message.
pub(super) fn bytes(report: Option<&AttemptReport>) -> usize {
    /// Numbers, tags and lengths.
    const OTHER: usize = 48;
    let Some(report) = report else { return 0 };
    let result = match &report.result {
        Some(TaskResult::Kept(payload)) => payload.len(),
        Some(TaskResult::Unreadable { detail }) => detail.len(),
        Some(TaskResult::TooLarge { .. }) | None => 0,
    };
    OTHER.saturating_add(result)
}

/// Says of a result what lists say, too: how large it is, or why there is none.
pub(super) fn show(wire: &mut v1::Task, task: &Task) {
    let Some(result) = task.result() else { return };
    match result.payload() {
        Some(payload) => wire.result_bytes = payload.len().try_into().ok(),
        None => wire.result_error = Some(result.to_string()),
    }
}

/// Adds the content of its result to what is shown of a task.
pub fn show_result(wire: &mut v1::Task, task: &Task) {
    let payload = task.result().and_then(TaskResult::payload);
    wire.result = payload.map(|payload| Bytes::copy_from_slice(payload.bytes()));
}

/// Says of an attempt what it has used.
pub(super) fn show_usage(wire: &mut v1::Attempt, usage: &AttemptUsage) {
    let AttemptUsage { cpu_micros, memory_peak_bytes, out_of_memory } = *usage;
    #[expect(clippy::cast_precision_loss, reason = "a microsecond is lost only after centuries")]
    let seconds = cpu_micros as f64 / 1_000_000.0;
    wire.cpu_seconds = Some(seconds);
    wire.memory_peak_bytes = memory_peak_bytes;
    if out_of_memory {
        let told = wire.reason.take().map(|reason| format!(" ({reason})")).unwrap_or_default();
        wire.reason = Some(format!("out-of-memory: its processes reached their limit{told}"));
    }
}
