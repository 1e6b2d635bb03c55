//! A stranger's HTTP client: knows the documented paths and headers, and nothing of the code.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use eventually::eventually;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::history::{History, is_terminal};

/// Longer than the 5 s for which a master holds a request while there is no leader.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for which a call that may be repeated is repeated: longer than any election.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time that a task of these tests has to end.
const TASK_PATIENCE: Duration = Duration::from_secs(60);

/// One session: requests one after the other, each to the next endpoint, reads that never go back.
#[derive(Debug, Clone)]
pub struct Client {
    web: Web,
    endpoints: Vec<String>,
    next: usize,
    history: History,
    index_seen: u64,
}

/// Answer of a server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Server that answered.
    pub endpoint: String,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: not JSON ({error}): {}", self.status, self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The log index that the answer is based on.
    #[must_use]
    pub fn index(&self) -> Option<u64> {
        self.header("x-cluster-index").and_then(|index| index.parse().ok())
    }

    /// The term that the server knew.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.header("x-cluster-term").and_then(|term| term.parse().ok())
    }

    /// The stable name of the problem, if it is one.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let json = serde_json::from_slice::<Value>(&self.body).ok()?;
        json["type"].as_str()?.strip_prefix("urn:cloudai:error:").map(str::to_owned)
    }

    /// Panics unless the status is the one expected.
    pub fn expect(self, status: u16) -> Self {
        let Self { status: found, endpoint, .. } = &self;
        assert_eq!(found.as_u16(), status, "from {endpoint}: {}", self.text());
        self
    }
}

/// The connections of one process, which all its sessions share.
#[derive(Debug, Clone)]
pub struct Web {
    http: reqwest::Client,
    scheme: &'static str,
    token: Option<String>,
}

impl Web {
    /// Connections in clear text.
    #[must_use]
    pub fn plain() -> Self {
        Self { http: http(), scheme: "http", token: None }
    }

    /// Encrypted connections to servers that these authorities vouch for.
    #[must_use]
    pub fn trusting(authority: &Path) -> Self {
        Self { http: trusting(authority).build().unwrap(), scheme: "https", token: None }
    }

    /// The same, of one who shows a certificate.
    #[must_use]
    pub fn showing(authority: &Path, (certificate, key): (&Path, &Path)) -> Self {
        let pem = [certificate, key].map(|path| std::fs::read(path).unwrap()).concat();
        let identity = reqwest::Identity::from_pem(&pem).unwrap();
        let http = trusting(authority).identity(identity).build().unwrap();
        Self { http, scheme: "https", token: None }
    }

    /// The same, of one who presents a token.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// Begins a request to an endpoint (`host:port`).
    pub fn request(&self, method: Method, endpoint: &str, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}://{endpoint}{path}", self.scheme));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// A clientele of one process shares its connections.
#[must_use]
pub fn http() -> reqwest::Client {
    bounded().build().unwrap()
}

fn trusting(authority: &Path) -> reqwest::ClientBuilder {
    let pem = std::fs::read(authority).unwrap();
    let trusted = reqwest::Certificate::from_pem_bundle(&pem).unwrap();
    bounded().tls_certs_only(trusted)
}

fn bounded() -> reqwest::ClientBuilder {
    // Already installed by an earlier one.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT)
}

impl Client {
    /// A session over these endpoints (`host:port`).
    #[must_use]
    pub fn new(web: Web, endpoints: Vec<String>, history: History) -> Self {
        assert!(!endpoints.is_empty(), "there is nobody to talk to");
        Self { web, endpoints, next: 0, history, index_seen: 0 }
    }

    /// A new session that begins with another endpoint.
    #[must_use]
    pub fn sibling(&self, number: usize) -> Self {
        Self { next: number, index_seen: 0, ..self.clone() }
    }

    /// Sends one request to one endpoint, once.
    ///
    /// # Errors
    ///
    /// When there is no complete answer.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> anyhow::Result<Answer> {
        let endpoint = self.endpoints.get(self.next % self.endpoints.len()).unwrap().clone();
        self.next += 1;
        let mut request = self.web.request(method, &endpoint, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.with_context(|| endpoint.clone())?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.with_context(|| endpoint.clone())?.to_vec();
        let answer = Answer { status, headers, body, endpoint };
        self.observe(path, &answer);
        Ok(answer)
    }

    /// Reads that went back are a broken promise.
    fn observe(&mut self, path: &str, answer: &Answer) {
        let is_stale = path.contains("consistency=stale") && self.endpoints.len() > 1;
        if is_stale || !answer.status.is_success() || !path.starts_with("/api/") {
            return;
        }
        let Some(index) = answer.index() else { return };
        if index < self.index_seen {
            let seen = self.index_seen;
            self.history.on_violation(format!(
                "a session that had seen index {seen} was shown {index} by {} for {path}",
                answer.endpoint
            ));
        }
        self.index_seen = index;
    }

    /// Sends JSON, once.
    ///
    /// # Errors
    ///
    /// When there is no complete answer.
    pub async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, path, &headers, Some(body.to_string().into_bytes())).await
    }

    /// Asks one endpoint after the other until one has an answer that is not "later".
    pub async fn get(&mut self, path: &str) -> Answer {
        self.insist(Method::GET, path, None).await
    }

    /// Deletes, insisting as [`Self::get`] does.
    pub async fn delete(&mut self, path: &str) -> Answer {
        self.insist(Method::DELETE, path, None).await
    }

    /// Registers a worker, insisting: doing it twice changes nothing.
    pub async fn register_worker(&mut self, id: &str, address: &str) -> Answer {
        let body = serde_json::json!({"worker_id": id, "address": address});
        self.insist(Method::POST, "/api/workers", Some(&body)).await
    }

    async fn insist(&mut self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|body| body.to_string().into_bytes());
        let headers = [("content-type", "application/json")];
        eventually(&format!("{method} {path} is answered"), PATIENCE, async || {
            let sent = self.send(method.clone(), path, &headers, body.clone()).await;
            let answer = sent.map_err(|error| format!("{error:#}"))?;
            match answer.status {
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                    Err(format!("{}: {}", answer.endpoint, answer.text()))
                }
                _ => Ok(answer),
            }
        })
        .await
    }

    /// Submits one task under a key, once. The history hears of it.
    ///
    /// # Errors
    ///
    /// When it was not accepted, or there was no answer.
    pub async fn try_submit(&mut self, task: &Value, key: &str) -> anyhow::Result<String> {
        self.history.on_try(key);
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let body = Some(task.to_string().into_bytes());
        let answer = self.send(Method::POST, "/api/tasks", &headers, body).await?;
        let text = answer.text();
        anyhow::ensure!(answer.status == StatusCode::CREATED, "{}: {text}", answer.status);
        let id = answer.json()["task_id"].as_str().context("no task_id")?.to_owned();
        self.history.on_accepted(key, &id);
        Ok(id)
    }

    /// Submits one task under a key, again and again with the same key until it is accepted.
    ///
    /// # Errors
    ///
    /// With the last failure, when nobody accepts it for long.
    pub async fn submit_under(&mut self, task: &Value, key: &str) -> anyhow::Result<String> {
        let started = Instant::now();
        loop {
            match self.try_submit(task, key).await {
                Ok(id) => return Ok(id),
                Err(error) if started.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Submits one task under a new key until it is accepted.
    pub async fn submit(&mut self, task: &Value) -> String {
        let key = uuid::Uuid::new_v4().to_string();
        self.submit_under(task, &key).await.unwrap()
    }

    /// One task as it is now.
    pub async fn task(&mut self, id: &str) -> Value {
        self.get(&format!("/api/tasks/{id}")).await.expect(200).json()
    }

    /// Asks the next endpoint for a task that was acknowledged: it must be there, whoever answers.
    pub async fn look_for(&mut self, id: &str) {
        let sent = self.send(Method::GET, &format!("/api/tasks/{id}"), &[], None).await;
        // No answer breaks no promise.
        if sent.is_ok_and(|answer| answer.status == StatusCode::NOT_FOUND) {
            self.history.on_violation(format!("{id} was acknowledged, and is not found"));
        }
    }

    /// Waits until the task is in that state.
    pub async fn await_state(&mut self, id: &str, state: &str) -> Value {
        eventually(&format!("{id} is {state}"), TASK_PATIENCE, async || {
            let task = self.task(id).await;
            if task["state"] == state { Ok(task) } else { Err(task.to_string()) }
        })
        .await
    }

    /// Waits until the task has ended, however.
    pub async fn await_end(&mut self, id: &str) -> Value {
        eventually(&format!("{id} ends"), TASK_PATIENCE, async || {
            let task = self.task(id).await;
            if !is_terminal(&task) {
                return Err(task.to_string());
            }
            self.history.on_end(&task);
            Ok(task)
        })
        .await
    }

    /// Every task there is, page by page.
    pub async fn tasks(&mut self) -> Vec<Value> {
        let mut tasks = Vec::new();
        let mut path = "/api/tasks?limit=1000".to_owned();
        loop {
            let page = self.get(&path).await.expect(200).json();
            tasks.extend(page["tasks"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { return tasks };
            path = format!("/api/tasks?limit=1000&cursor={cursor}");
        }
    }

    /// One worker as it is now.
    pub async fn worker(&mut self, id: &str) -> Value {
        self.get(&format!("/api/workers/{id}")).await.expect(200).json()
    }

    /// Waits until the worker is active or not.
    pub async fn await_worker(&mut self, id: &str, state: &str, within: Duration) -> Value {
        eventually(&format!("{id} is {state}"), within, async || {
            let worker = self.worker(id).await;
            if worker["state"] == state { Ok(worker) } else { Err(worker.to_string()) }
        })
        .await
    }

    /// Waits until a worker that nobody has registered is there and active.
    pub async fn await_worker_that_joins(&mut self, id: &str, within: Duration) {
        eventually(&format!("{id} has joined"), within, async || {
            let answer = self.get(&format!("/api/workers/{id}")).await;
            let is_active = answer.status.is_success() && answer.json()["is_active"] == true;
            if is_active { Ok(()) } else { Err(answer.text()) }
        })
        .await;
    }

    /// The sum of a counter over its labels, as this endpoint shows it; `None` when it is absent.
    pub async fn metric(&mut self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").await.expect(200).text();
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let is_it = series.split('{').next() == Some(name);
            is_it.then(|| value.parse::<f64>().ok()).flatten()
        });
        values.reduce(|sum, value| sum + value)
    }
}
