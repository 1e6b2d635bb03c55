//! Finds out who makes a request, before anything else looks at it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::Refusal;
use super::probes;
use crate::access::{Gate, Origin};

pub(super) async fn identify(
    State(gate): State<Gate>,
    mut request: Request,
    next: Next,
) -> Response {
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    // Probes are answered whatever they present.
    let is_probe = probes::PATHS.contains(&request.uri().path());
    let caller =
        if is_probe { Ok(gate.anyone()) } else { gate.admit(&origin, request.headers()).await };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => Refusal(problem).into_response(),
    }
}
