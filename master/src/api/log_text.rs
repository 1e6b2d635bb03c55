//! A task's log as plain text.

use axum::body::Bytes;
use futures_util::{Stream, StreamExt, stream};
use proto::problem::Problem;
use proto::v1;

/// The line between the outputs of two attempts.
#[derive(Debug)]
struct Layout {
    is_first_attempt: bool,
    ends_with_line_break: bool,
}

impl Layout {
    const fn new() -> Self {
        Self { is_first_attempt: true, ends_with_line_break: true }
    }

    /// Formats the chunk as text: a line of its own says where a further attempt begins, and what
    /// is missing.
    fn text(&mut self, chunk: &v1::LogChunk) -> Bytes {
        let remark = match (chunk.worker_id.is_empty(), chunk.notice.is_empty()) {
            (true, true) => {
                if let Some(last) = chunk.data.last() {
                    self.ends_with_line_break = *last == b'\n';
                }
                return chunk.data.clone();
            }
            (false, _) if std::mem::take(&mut self.is_first_attempt) => return Bytes::new(),
            (false, _) => format!("attempt {} on {}", chunk.attempt, chunk.worker_id),
            (true, false) => chunk.notice.clone(),
        };
        let separator = if self.ends_with_line_break { "" } else { "\n" };
        self.ends_with_line_break = true;
        format!("{separator}-- {remark} --\n").into()
    }
}

/// Returns the text of a log.
pub(super) fn of(
    chunks: impl Stream<Item = Result<v1::LogChunk, Problem>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Problem>> + Send + 'static {
    let pieces = chunks.scan(Layout::new(), |layout, chunk| {
        let piece = chunk.map(|chunk| layout.text(&chunk));
        std::future::ready(Some(piece))
    });
    pieces.flat_map(|piece| {
        let is_empty = piece.as_ref().is_ok_and(Bytes::is_empty);
        stream::iter((!is_empty).then_some(piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(attempt: u32, worker: &str) -> v1::LogChunk {
        let worker_id = worker.to_owned();
        v1::LogChunk { attempt, worker_id, ..v1::LogChunk::default() }
    }

    fn output(text: &'static str) -> v1::LogChunk {
        v1::LogChunk { data: Bytes::from_static(text.as_bytes()), ..v1::LogChunk::default() }
    }

    async fn text(chunks: Vec<v1::LogChunk>) -> String {
        let pieces = of(stream::iter(chunks.into_iter().map(Ok))).collect::<Vec<_>>().await;
        let bytes = pieces.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn one_attempt_is_what_it_wrote() {
        assert_eq!(text(vec![opening(1, "w1"), output("a\n"), output("b")]).await, "a\nb");
    }

    #[tokio::test]
    async fn further_attempts_and_gaps_are_named_on_lines_of_their_own() {
        let gap = v1::LogChunk { notice: "w2 is gone".to_owned(), ..v1::LogChunk::default() };
        let chunks = vec![
            opening(1, "w1"),
            output("a"),
            opening(2, "w2"),
            gap,
            opening(3, "w1"),
            output("b"),
        ];
        let expected = "a\n-- attempt 2 on w2 --\n-- w2 is gone --\n-- attempt 3 on w1 --\nb";
        assert_eq!(text(chunks).await, expected);
    }
}
