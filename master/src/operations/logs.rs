//! Fetches the output of a task from the workers that ran it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_state::{Attempt, AttemptNumber, Task, TaskId, WorkerId};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use proto::output::{OutputChunk, OutputPlace, OutputStream};
use proto::problem::{ErrorKind, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::tasks::no_such_task;
use super::{Operations, Reading};
use crate::access::{Action, Caller};

mod channels;
mod follower;
mod output;
mod pace;

pub(crate) use channels::LogChannels;
use follower::Follower;

/// Output as it arrives, each attempt opened by a piece that names its worker.
pub(crate) type LogStream = BoxStream<'static, Result<LogPiece, Problem>>;

/// Piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogPiece {
    /// The output of an attempt begins.
    Opening { attempt: AttemptNumber, worker: WorkerId },
    /// Output of an attempt.
    Output { attempt: AttemptNumber, chunk: OutputChunk },
    /// Note about the output, such as why some is missing.
    Notice { attempt: Option<AttemptNumber>, text: String },
}

/// Time that a reader may leave data unread before it is given up: it holds memory here, on the
/// worker and in between.
const READER_PATIENCE: Duration = Duration::from_secs(60);

/// Request for output.
#[derive(Debug, Clone)]
pub(crate) struct LogRequest {
    /// Of which task.
    pub(crate) task: TaskId,
    /// Of which of its attempts.
    pub(crate) scope: LogScope,
    /// One output, or both when absent.
    pub(crate) stream: Option<OutputStream>,
    /// Only the last so many lines.
    pub(crate) tail_lines: Option<u64>,
    /// Offset at which an earlier reader goes on.
    pub(crate) stdout_offset: Option<u64>,
    /// The same of the other stream.
    pub(crate) stderr_offset: Option<u64>,
}

/// Begin and end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogScope {
    /// One attempt, the last when absent, as far as it has come.
    SoFar(Option<AttemptNumber>),
    /// One attempt to its end.
    Attempt(AttemptNumber),
    /// All from one on, the last when absent, until the task is finished.
    From(Option<AttemptNumber>),
}

impl LogScope {
    /// Creates the scope from a request, in which zero stands for no attempt.
    #[must_use]
    pub(crate) fn new(follow: bool, attempt: u32, from_attempt: u32) -> Self {
        let number = |number: u32| (number > 0).then_some(AttemptNumber(number));
        match (follow, number(attempt)) {
            (false, attempt) => Self::SoFar(attempt),
            (true, Some(attempt)) => Self::Attempt(attempt),
            (true, None) => Self::From(number(from_attempt)),
        }
    }
}

/// Destination of the output; a full one waits for the reader.
#[derive(Debug)]
struct Outlet {
    pieces: mpsc::Sender<Item>,
    /// Bytes of output for which there is room on the way to the reader.
    room: Arc<Semaphore>,
}

/// Output on its way to the reader. It takes room until it is written.
struct Unwritten {
    data: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Unwritten {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// Item on its way to the reader.
#[derive(Debug)]
enum Item {
    Piece(LogPiece),
    End(Result<(), Problem>),
}

/// Reason that reading ends before the log does.
#[derive(Debug)]
enum Stop {
    /// There is nobody any more to read for.
    ReaderGone,
    /// Nothing more can be had.
    Failed(Problem),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

/// Maximum bytes of a piece of output. Every piece wakes up two tasks.
const PIECE_BYTES: u32 = 8 << 10;
/// Maximum bytes of output on the way from here into a reader's connection, whose own buffers would
/// take several times as much.
const UNWRITTEN_BYTES: u32 = PIECE_BYTES;

fn room_for(piece: &OutputChunk) -> u32 {
    u32::try_from(piece.data.len()).unwrap_or(UNWRITTEN_BYTES).min(UNWRITTEN_BYTES)
}

/// Splits a chunk into pieces for a reader, each with the place behind it.
fn pieces(chunk: OutputChunk) -> impl Iterator<Item = OutputChunk> {
    let OutputChunk { stream, mut data, next_offset } = chunk;
    std::iter::from_fn(move || {
        let piece = data.split_to(data.len().min(PIECE_BYTES as usize));
        let next_offset = next_offset.saturating_sub(data.len() as u64);
        (!piece.is_empty()).then_some(OutputChunk { stream, data: piece, next_offset })
    })
}

impl Outlet {
    fn new(pieces: mpsc::Sender<Item>) -> Self {
        Self { pieces, room: Arc::new(Semaphore::new(UNWRITTEN_BYTES as usize)) }
    }

    /// Hands over a piece of output once there is room for it. It is copied: a part of a chunk
    /// would keep all of it in memory.
    async fn send_output(&self, attempt: AttemptNumber, piece: OutputChunk) -> Result<(), Stop> {
        let room = Arc::clone(&self.room).acquire_many_owned(room_for(&piece));
        let room = tokio::time::timeout(READER_PATIENCE, room).await;
        let _room = room.ok().and_then(Result::ok).ok_or(Stop::ReaderGone)?;
        let data = Bytes::from_owner(Unwritten { data: piece.data.to_vec(), _room });
        let chunk = OutputChunk { data, ..piece };
        self.send(LogPiece::Output { attempt, chunk }).await
    }

    /// Waits for so long until there is room for a piece, and returns false if there is none.
    async fn has_room_within(&self, patience: Duration, piece: &OutputChunk) -> bool {
        let room = self.room.acquire_many(room_for(piece));
        tokio::time::timeout(patience, room).await.is_ok()
    }

    async fn send(&self, piece: LogPiece) -> Result<(), Stop> {
        let sent = self.pieces.send_timeout(Item::Piece(piece), READER_PATIENCE).await;
        sent.map_err(|_| Stop::ReaderGone)
    }
}

impl Operations {
    /// Opens the output of a task.
    pub(crate) async fn logs(
        &self,
        request: LogRequest,
        by: &Caller,
    ) -> Result<LogStream, Problem> {
        let slot = Arc::clone(&self.shared.log_slots).try_acquire_owned().map_err(|_| {
            Problem::new(ErrorKind::Overloaded, "too many logs are being read on this master")
        })?;
        let id = request.task;
        self.reach(Reading::default()).await?;
        let task = self.find(id).await?.ok_or_else(|| no_such_task(id))?;
        by.check_task(Action::ReadTasks, &task.spec.labels)?;

        let place = OutputPlace {
            stdout: request.stdout_offset,
            stderr: request.stderr_offset,
            tail_lines: request.tail_lines,
        };
        let follower = Follower::new(self.clone(), id, request.stream);
        // What can be refused is refused before anything is shown.
        let opened = match request.scope {
            LogScope::SoFar(number) => {
                let attempt = pick(&task, number)?.clone();
                Some((follower.open(&attempt, place, false).await?, attempt))
            }
            LogScope::Attempt(number) => match pick(&task, Some(number))?.clone() {
                attempt if has_begun(&attempt) => {
                    Some((follower.open(&attempt, place, true).await?, attempt))
                }
                _ => None,
            },
            LogScope::From(_) => None,
        };
        let (pieces, inlet) = mpsc::channel(1);
        let outlet = Outlet::new(pieces.clone());
        self.pump(slot, pieces, async move {
            match (opened, request.scope) {
                (Some((output, attempt)), _) => {
                    outlet.send(opening(&attempt)).await?;
                    output.copy(&outlet).await
                }
                (None, LogScope::Attempt(number)) => {
                    follower.wait_for(number, place, &outlet).await
                }
                (None, LogScope::From(first) | LogScope::SoFar(first)) => {
                    follower.follow(first, place, &outlet).await
                }
            }
        });
        Ok(drain(inlet).boxed())
    }

    /// Reads for as long as somebody takes it.
    fn pump(
        &self,
        slot: OwnedSemaphorePermit,
        pieces: mpsc::Sender<Item>,
        reading: impl Future<Output = Result<(), Stop>> + Send + 'static,
    ) {
        let stopping = self.stopping().clone();
        self.shared.tasks.spawn(async move {
            let _slot = slot;
            let ended = tokio::select! {
                ended = reading => ended,
                () = pieces.closed() => Err(Stop::ReaderGone),
                () = stopping.cancelled() => {
                    Err(Problem::new(ErrorKind::NotLeader, "this master is stopping").into())
                }
            };
            let end = match ended {
                Ok(()) => Ok(()),
                Err(Stop::Failed(problem)) => Err(problem),
                Err(Stop::ReaderGone) => return,
            };
            // A reader that does not take this either is gone too.
            pieces.send_timeout(Item::End(end), READER_PATIENCE).await.ok();
        });
    }
}

/// Returns the stream for the reader. The end of the writer is not the end of the log.
fn drain(
    inlet: mpsc::Receiver<Item>,
) -> impl futures_util::Stream<Item = Result<LogPiece, Problem>> {
    stream::unfold(Some(inlet), |inlet| async move {
        let mut inlet = inlet?;
        match inlet.recv().await {
            Some(Item::Piece(piece)) => Some((Ok(piece), Some(inlet))),
            Some(Item::End(Ok(()))) => None,
            Some(Item::End(Err(problem))) => Some((Err(problem), None)),
            None => {
                let detail = "nothing of the output was taken for too long";
                Some((Err(Problem::new(ErrorKind::Timeout, detail)), None))
            }
        }
    })
}

/// Says whose output follows.
fn opening(attempt: &Attempt) -> LogPiece {
    LogPiece::Opening { attempt: attempt.number, worker: attempt.worker.clone() }
}

/// Returns true if the attempt has begun: one that its worker has not confirmed may not have
/// reached it yet.
fn has_begun(attempt: &Attempt) -> bool {
    attempt.started_at.is_some() || attempt.outcome.is_some()
}

fn pick(task: &Task, wanted: Option<AttemptNumber>) -> Result<&Attempt, Problem> {
    let found = match wanted {
        Some(number) => task.attempts.iter().find(|attempt| attempt.number == number),
        None => task.last_attempt(),
    };
    found.ok_or_else(|| {
        let detail = match wanted {
            Some(number) => format!("task {} has no attempt {number}", task.id),
            None => format!("task {} is {} and has not been started", task.id, task.state),
        };
        Problem::new(ErrorKind::NotFound, detail)
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn long_output_is_handed_over_in_pieces_that_say_where_they_end() {
        let data = (0..PIECE_BYTES * 2 + 10).map(|n| n.to_le_bytes()[0]).collect::<Bytes>();
        let stream = Some(OutputStream::Stdout);
        let chunk = OutputChunk { stream, data: data.clone(), next_offset: 1_000_000 };

        let mut handed_over = Vec::new();
        for piece in pieces(chunk) {
            assert!(piece.data.len() <= PIECE_BYTES as usize);
            handed_over.extend(piece.data);
            let left = u64::try_from(data.len() - handed_over.len()).unwrap();
            assert_eq!((piece.stream, piece.next_offset), (stream, 1_000_000 - left));
        }
        assert_eq!(handed_over, data);
    }

    #[tokio::test]
    async fn output_on_its_way_to_the_reader_is_bounded_until_it_is_written() {
        let (pieces, mut inlet) = mpsc::channel(usize::from(u8::MAX));
        let outlet = Outlet::new(pieces);
        let data = vec![b'x'; PIECE_BYTES as usize].into();
        let piece = OutputChunk { stream: Some(OutputStream::Stdout), data, next_offset: 1 };
        outlet.send_output(AttemptNumber(1), piece.clone()).await.unwrap();

        let unwritten = inlet.try_recv().unwrap();
        let mut sending = Box::pin(outlet.send_output(AttemptNumber(1), piece));
        assert!(sending.as_mut().now_or_never().is_none());
        assert!(inlet.try_recv().is_err(), "one that is not written yet holds the next back");

        drop(unwritten);
        sending.await.unwrap();
        assert!(inlet.try_recv().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up_and_told_so() {
        let (pieces, inlet) = mpsc::channel(1);
        let outlet = Outlet::new(pieces);
        let piece = || LogPiece::Notice { attempt: None, text: "gone".to_owned() };
        outlet.send(piece()).await.unwrap();
        let refused = outlet.send(piece()).await;
        assert!(matches!(refused, Err(Stop::ReaderGone)), "{refused:?}");
        drop(outlet);

        let seen = drain(inlet).collect::<Vec<_>>().await;
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1].as_ref().unwrap_err().kind, ErrorKind::Timeout, "it is no end");
    }
}
