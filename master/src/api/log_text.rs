//! A task's log as plain text.

use axum::body::Bytes;
use futures_util::{Stream, StreamExt, stream};
use proto::problem::Problem;

use crate::operations::LogPiece;

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

    /// Formats the piece as text: a line of its own says where a further attempt begins, and what
    /// is missing.
    fn text(&mut self, piece: LogPiece) -> Bytes {
        let remark = match piece {
            LogPiece::Output { chunk, .. } => {
                if let Some(last) = chunk.data.last() {
                    self.ends_with_line_break = *last == b'\n';
                }
                return chunk.data;
            }
            LogPiece::Opening { .. } if std::mem::take(&mut self.is_first_attempt) => {
                return Bytes::new();
            }
            LogPiece::Opening { attempt, worker } => format!("attempt {} on {worker}", attempt.0),
            LogPiece::Notice { text, .. } => text,
        };
        let separator = if self.ends_with_line_break { "" } else { "\n" };
        self.ends_with_line_break = true;
        format!("{separator}-- {remark} --\n").into()
    }
}

/// Returns the text of a log.
pub(super) fn of(
    log: impl Stream<Item = Result<LogPiece, Problem>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Problem>> + Send + 'static {
    let pieces = log.scan(Layout::new(), |layout, piece| {
        std::future::ready(Some(piece.map(|piece| layout.text(piece))))
    });
    pieces.flat_map(|piece| {
        let is_empty = piece.as_ref().is_ok_and(Bytes::is_empty);
        stream::iter((!is_empty).then_some(piece))
    })
}

#[cfg(test)]
mod tests {
    use cluster_state::AttemptNumber;
    use proto::output::{OutputChunk, OutputStream};

    use super::*;

    fn opening(attempt: u32, worker: &str) -> LogPiece {
        LogPiece::Opening { attempt: AttemptNumber(attempt), worker: worker.parse().unwrap() }
    }

    fn output(text: &'static str) -> LogPiece {
        let chunk = OutputChunk {
            stream: Some(OutputStream::Stdout),
            data: Bytes::from_static(text.as_bytes()),
            next_offset: 0,
        };
        LogPiece::Output { attempt: AttemptNumber(1), chunk }
    }

    async fn text(log: Vec<LogPiece>) -> String {
        let pieces = of(stream::iter(log.into_iter().map(Ok))).collect::<Vec<_>>().await;
        let bytes = pieces.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn one_attempt_is_what_it_wrote() {
        assert_eq!(text(vec![opening(1, "w1"), output("a\n"), output("b")]).await, "a\nb");
    }

    #[tokio::test]
    async fn further_attempts_and_gaps_are_named_on_lines_of_their_own() {
        let gap = LogPiece::Notice { attempt: None, text: "w2 is gone".to_owned() };
        let log = vec![
            opening(1, "w1"),
            output("a"),
            opening(2, "w2"),
            gap,
            opening(3, "w1"),
            output("b"),
        ];
        let expected = "a\n-- attempt 2 on w2 --\n-- w2 is gone --\n-- attempt 3 on w1 --\nb";
        assert_eq!(text(log).await, expected);
    }
}
