//! Tests of the client against masters that follow a script.

use std::collections::VecDeque;
use std::net::SocketAddr;

use eventually::{eventually, until};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;

use super::*;
use crate::problem::{ErrorKind, Outcome, Problem};
use crate::v1;
use crate::v1::task_service_server::{TaskService, TaskServiceServer};

/// Reaction of a scripted master to the next call.
enum Act {
    Accept,
    Refuse(Problem),
    NameLeader(SocketAddr),
    Hang,
}

#[derive(Clone, Default)]
struct Script {
    acts: Arc<Mutex<VecDeque<Act>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn of(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { acts: Arc::new(Mutex::new(acts.into_iter().collect())), keys: Arc::default() }
    }

    /// Returns the idempotency keys seen, or one empty text per call without a key.
    fn calls(&self) -> Vec<String> {
        self.keys.lock().clone()
    }

    async fn answer<T>(&self, key: Option<String>, accepted: T) -> Result<Response<T>, Status> {
        self.keys.lock().push(key.unwrap_or_default());
        let act = self.acts.lock().pop_front();
        match act.unwrap_or(Act::Accept) {
            Act::Accept => Ok(Response::new(accepted)),
            Act::Refuse(problem) => Err(problem.into()),
            Act::NameLeader(leader) => {
                let mut status = Status::from(Problem::new(ErrorKind::NotLeader, "not the leader"));
                status
                    .metadata_mut()
                    .insert(LEADER_ADDRESS_KEY, leader.to_string().parse().unwrap());
                Err(status)
            }
            Act::Hang => std::future::pending().await,
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl TaskService for Script {
    type LogsStream = ReceiverStream<Result<v1::LogChunk, Status>>;
    type WatchStream = ReceiverStream<Result<v1::WatchedEvent, Status>>;

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Answer<v1::SubmitResponse> {
        let task =
            v1::SubmittedTask { task_id: "t1".to_owned(), state: v1::TaskState::Queued.into() };
        let key = request.into_inner().idempotency_key;
        self.answer(key, v1::SubmitResponse { tasks: vec![task] }).await
    }

    async fn get(&self, _: Request<v1::GetTaskRequest>) -> Result<Response<v1::Task>, Status> {
        let state = v1::TaskState::Cancelled.into();
        let task = v1::Task { task_id: "t1".to_owned(), state, ..v1::Task::default() };
        self.answer(None, task).await
    }

    async fn list(&self, _: Request<v1::ListTasksRequest>) -> Answer<v1::TaskPage> {
        self.answer(None, v1::TaskPage::default()).await
    }

    async fn cancel(&self, _: Request<v1::CancelTaskByIdRequest>) -> Answer<v1::SubmittedTask> {
        self.answer(None, v1::SubmittedTask::default()).await
    }

    async fn retry(&self, _: Request<v1::RetryTaskRequest>) -> Answer<v1::SubmittedTask> {
        self.answer(None, v1::SubmittedTask::default()).await
    }

    async fn wait(&self, _: Request<v1::WaitTaskRequest>) -> Result<Response<v1::Task>, Status> {
        let state = v1::TaskState::Completed.into();
        self.answer(None, v1::Task { state, ..v1::Task::default() }).await
    }

    /// Three entries, the second with two events; breaks after an event for which the act is to refuse.
    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let from = request.into_inner().from_index.unwrap_or(0);
        let (tx, rx) = tokio::sync::mpsc::channel(8);
        let all = [("a", 1, 1), ("b", 2, 0), ("c", 2, 2), ("d", 3, 3)].into_iter();
        for (json, of, index) in [("", 9, from)].into_iter().chain(all.filter(|e| e.1 > from)) {
            let (json, index) = (json.to_owned(), (index > 0 || of == 9).then_some(index));
            tx.send(Ok(v1::WatchedEvent { json, index, cluster_id: None })).await.unwrap();
            if let Some(Act::Refuse(problem)) = self.acts.lock().pop_front() {
                tx.try_send(Err(problem.into())).unwrap();
                break;
            }
        }
        Ok(Response::new(ReceiverStream::new(rx)))
    }

    /// Two attempts print the same; the stream breaks after a chunk for which the act is to refuse.
    async fn logs(
        &self,
        request: Request<v1::TaskLogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let request = request.into_inner();
        let (tx, rx) = tokio::sync::mpsc::channel(8);
        let first = request.from_attempt.max(1);
        let mut offset = usize::try_from(request.stdout_offset.unwrap_or(0)).unwrap();
        for attempt in first..=2 {
            let worker_id = format!("w{attempt}");
            let opening = v1::LogChunk { attempt, worker_id, ..v1::LogChunk::default() };
            tx.send(Ok(opening)).await.unwrap();
            for text in ["one ", "two "].iter().skip(offset / 4) {
                offset += 4;
                let chunk = v1::LogChunk {
                    stream: v1::OutputStream::Stdout.into(),
                    data: bytes::Bytes::from_static(text.as_bytes()),
                    attempt,
                    next_offset: offset.try_into().unwrap(),
                    ..v1::LogChunk::default()
                };
                tx.send(Ok(chunk)).await.unwrap();
                if let Some(Act::Refuse(problem)) = self.acts.lock().pop_front() {
                    tx.try_send(Err(problem.into())).unwrap();
                    return Ok(Response::new(ReceiverStream::new(rx)));
                }
            }
            offset = 0;
        }
        Ok(Response::new(ReceiverStream::new(rx)))
    }
}

/// Scripted masters that stop with the test.
struct Masters {
    servers: JoinSet<()>,
}

impl Masters {
    fn new() -> Self {
        Self { servers: JoinSet::new() }
    }

    async fn start(&mut self, script: &Script) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = TaskServiceServer::new(script.clone());
        self.servers.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        address
    }
}

/// Returns an address on which nobody listens.
async fn vacant() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Far longer than any step that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Timeout of an attempt that a script lets hang.
const HASTE: Duration = Duration::from_millis(300);

fn client_with(endpoints: &[SocketAddr], attempt_timeout: Duration, deadline: Duration) -> Client {
    let dialer = Dialer::plain();
    let options = ClientOptions { attempt_timeout, deadline, token: None, dialer };
    Client::new(endpoints.iter().map(ToString::to_string), options).unwrap()
}

fn client(endpoints: &[SocketAddr]) -> Client {
    client_with(endpoints, PATIENCE, PATIENCE)
}

/// Creates a client that retries soon.
fn hasty(endpoints: &[SocketAddr]) -> Client {
    client_with(endpoints, HASTE, PATIENCE)
}

/// Creates a client that gives up soon, and has a connection to the script's master.
async fn brief(address: SocketAddr, script: &Script) -> Client {
    let client = client_with(&[address], HASTE, 3 * HASTE);
    eventually("a submission is accepted", PATIENCE, async || {
        client.submit(Vec::new(), None).await.map_err(|error| error.to_string())
    })
    .await;
    script.keys.lock().clear();
    client
}

fn refuse(kind: ErrorKind, outcome: Option<Outcome>) -> Act {
    Act::Refuse(Problem { outcome, ..Problem::new(kind, "refused by the script") })
}

#[tokio::test]
async fn the_client_goes_where_the_leader_is() {
    let mut masters = Masters::new();
    let leader = Script::default();
    let leader_address = masters.start(&leader).await;
    let follower = Script::of([Act::NameLeader(leader_address)]);
    let client = client(&[masters.start(&follower).await]);

    assert_eq!(client.submit(Vec::new(), None).await.unwrap()[0].task_id, "t1");
    client.submit(Vec::new(), None).await.unwrap();
    assert_eq!((follower.calls().len(), leader.calls().len()), (1, 2));
}

#[tokio::test]
async fn a_dead_master_is_passed_over() {
    let mut masters = Masters::new();
    let script = Script::default();
    let client = client(&[vacant().await, masters.start(&script).await]);

    client.submit(Vec::new(), None).await.unwrap();
    assert_eq!(script.calls().len(), 1);
}

#[tokio::test]
async fn a_submission_is_repeated_under_one_key() {
    let mut masters = Masters::new();
    let unknown = refuse(ErrorKind::Timeout, Some(Outcome::Unknown));
    let script = Script::of([unknown, Act::Hang]);
    let client = hasty(&[masters.start(&script).await]);

    client.submit(Vec::new(), None).await.unwrap();
    let keys = script.calls();
    assert!(keys.len() >= 3, "{keys:?}");
    assert!(!keys[0].is_empty() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");

    client.submit(Vec::new(), Some("mine".to_owned())).await.unwrap();
    assert_eq!(script.calls().last().unwrap(), "mine");
}

#[tokio::test]
async fn a_verdict_is_final() {
    let mut masters = Masters::new();
    let script = Script::of([refuse(ErrorKind::InvalidTask, Some(Outcome::Rejected))]);
    let client = client(&[masters.start(&script).await]);

    let error = client.submit(Vec::new(), None).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidTask, Outcome::Rejected));
    assert_eq!(script.calls().len(), 1);
}

/// The paused clock advances when all tasks wait.
#[tokio::test(start_paused = true)]
async fn the_client_gives_up_at_its_deadline() {
    let deadline = 3 * HASTE;
    let client = client_with(&[vacant().await, vacant().await], HASTE, deadline);
    let started = Instant::now();
    let error = client.submit(Vec::new(), None).await.unwrap_err();

    let waited = started.elapsed();
    assert!(waited >= deadline - BACKOFF_MAX && waited <= deadline + HASTE / 100, "{waited:?}");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::NoLeader, Outcome::Rejected));
}

/// A machine whose network drops every packet looks the same.
#[tokio::test]
async fn a_request_that_never_left_has_no_effect_however_its_time_ended() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts, and once the backlog is full, connections are not even refused.
    let connecting = |_| async move {
        tokio::time::timeout(HASTE, tokio::net::TcpStream::connect(address)).await
    };
    let waiting = futures_util::future::join_all((0..4).map(connecting)).await;
    assert!(waiting.iter().any(Result::is_err), "connections are still taken");

    let error = client_with(&[address], HASTE, HASTE).submit(Vec::new(), None).await.unwrap_err();

    assert_eq!((error.kind(), error.outcome()), (ErrorKind::NoLeader, Outcome::Rejected));
    drop((waiting, listener));
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_the_outcome_unknown() {
    let mut masters = Masters::new();
    let script = Script::default();
    let client = brief(masters.start(&script).await, &script).await;
    script.acts.lock().extend((0..9).map(|_| Act::Hang));

    let error = client.submit(Vec::new(), None).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
}

#[tokio::test]
async fn what_may_not_be_repeated_is_not() {
    let mut masters = Masters::new();
    let script = Script::default();
    let client = brief(masters.start(&script).await, &script).await;
    script.acts.lock().push_back(Act::Hang);

    let rules = client.rules(Repeat::UnlessAmbiguous);
    let answer = client.call(rules, v1::SubmitRequest::default(), |channel, request| async move {
        task_service(channel).submit(request).await
    });
    let error = answer.await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(script.calls().len(), 1);
}

#[tokio::test]
async fn a_cancellation_that_was_done_by_a_lost_attempt_is_done() {
    let mut masters = Masters::new();
    let conflict = || refuse(ErrorKind::Conflict, Some(Outcome::Rejected));
    let script = Script::of([Act::Hang, conflict()]);
    let address = masters.start(&script).await;
    assert_eq!(hasty(&[address]).cancel("t1").await.unwrap().state(), v1::TaskState::Cancelled);

    script.acts.lock().push_back(conflict());
    let error = client(&[address]).cancel("t1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn waiting_survives_the_death_of_the_master_it_waits_at() {
    // The connections of a server outlive its task, but not its runtime.
    let doomed = tokio::runtime::Runtime::new().unwrap();
    let waiting = Script::of([Act::Hang]);
    let starting = waiting.clone();
    let (dead, running) = doomed
        .spawn(async move {
            let mut masters = Masters::new();
            (masters.start(&starting).await, masters)
        })
        .await
        .unwrap();
    let mut masters = Masters::new();
    let client = client(&[dead, masters.start(&Script::default()).await]);

    let mut calls = JoinSet::new();
    calls.spawn(async move { client.wait("t1", None).await });
    until("a master is asked", PATIENCE, || !waiting.calls().is_empty()).await;
    drop(running);
    doomed.shutdown_background();
    assert!(calls.join_next().await.unwrap().unwrap().unwrap().is_terminal());
}

#[tokio::test]
async fn a_broken_log_goes_on_where_it_was() {
    let mut masters = Masters::new();
    let breaks = || refuse(ErrorKind::NoLeader, None);
    let script = Script::of([breaks(), Act::Accept, breaks(), breaks()]);
    let client = client(&[masters.start(&script).await]);

    let request = v1::TaskLogsRequest { follow: true, ..v1::TaskLogsRequest::default() };
    let mut log = client.logs(request).await.unwrap();
    let mut text = String::new();
    while let Some(chunk) = log.next().await.unwrap() {
        text += &chunk.worker_id;
        text += " ";
        text += std::str::from_utf8(&chunk.data).unwrap();
    }
    assert_eq!(text, "w1  one  two w2  one  two ");
}

#[tokio::test]
async fn broken_events_go_on_where_they_were() {
    let mut masters = Masters::new();
    let breaks = |at| matches!(at, 1 | 3 | 4 | 7).then(|| refuse(ErrorKind::NoLeader, None));
    let script = Script::of((0..8).map(|at| breaks(at).unwrap_or(Act::Accept)));
    let client = client(&[masters.start(&script).await]);
    let mut events = client.watch(v1::WatchRequest::default()).await.unwrap();
    for expected in ["a", "b", "c", "d"] {
        assert_eq!(events.next().await.unwrap(), expected);
    }
}

#[test]
fn an_endpoint_has_a_host_and_a_port() {
    let new = |endpoint: &str| Client::new([endpoint], ClientOptions::default()).map(|_| ());
    assert_eq!(new("127.0.0.1:50051"), Ok(()));
    for endpoint in ["", "master-1", "a b:1", "127.0.0.1:0"] {
        assert!(matches!(new(endpoint), Err(ClientError::InvalidEndpoint(_))), "{endpoint}");
    }
    let none = Client::new(Vec::<String>::new(), ClientOptions::default());
    assert_eq!(none.map(|_| ()), Err(ClientError::NoEndpoint));
}
