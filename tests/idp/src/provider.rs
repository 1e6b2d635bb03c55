//! The web server of the provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// An identity provider that serves until it is dropped.
#[derive(Debug)]
pub struct Provider {
    state: Arc<Shared>,
    // Ends the server when it is dropped.
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    issuer: String,
    /// Set of public keys; none while it is out of order.
    keys: Mutex<Option<Value>>,
    asked: AtomicUsize,
}

impl Provider {
    /// Serves on a free port of this machine.
    pub async fn start(keys: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let keys = Mutex::new(Some(keys));
        let state = Arc::new(Shared { issuer, keys, asked: AtomicUsize::new(0) });
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(configuration))
            .route("/realm/keys", get(keys_of))
            .with_state(Arc::clone(&state));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { state, _server: server }
    }

    /// Returns the issuer, as its tokens name it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.state.issuer
    }

    /// Returns the address of its keys.
    #[must_use]
    pub fn keys_url(&self) -> String {
        format!("{}/keys", self.issuer())
    }

    /// Publishes other keys, or is out of order.
    pub fn publish(&self, keys: Option<Value>) {
        *self.state.keys.lock() = keys;
    }

    /// Returns how often its keys were asked for.
    #[must_use]
    pub fn times_asked(&self) -> usize {
        self.state.asked.load(Ordering::Relaxed)
    }
}

async fn configuration(State(state): State<Arc<Shared>>) -> Json<Value> {
    let issuer = &state.issuer;
    Json(json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}))
}

async fn keys_of(State(state): State<Arc<Shared>>) -> Result<Json<Value>, StatusCode> {
    state.asked.fetch_add(1, Ordering::Relaxed);
    state.keys.lock().clone().map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}
