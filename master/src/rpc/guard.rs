//! In front of every service: who calls, and whether the caller may take the action of the method.

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use proto::problem::{ErrorKind, Outcome, Problem};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::actions::{action_of, action_passed_on};
use crate::access::{Action, Caller, Gate, Need, Origin, need};
use crate::peer::says_forwarded;

/// Puts it in front of services.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    gate: Gate,
}

impl Guard {
    pub(super) const fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, services: S) -> Guarded<S> {
        Guarded { services, gate: self.gate.clone() }
    }
}

/// The services behind it.
#[derive(Clone, Debug)]
pub(super) struct Guarded<S> {
    services: S,
    gate: Gate,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
        // Masters and workers present no token: nothing about their calls has to wait. What is open to
        // everybody looks at no credentials.
        let is_open = action(&request).is_ok_and(|action| matches!(need(action), Need::Nothing));
        let caller = self.gate.without_token(&origin, request.headers());
        if let Some(caller) = caller.or_else(|| is_open.then(|| self.gate.anyone())) {
            return match permit(caller, request) {
                Ok(request) => Box::pin(self.services.call(request)),
                Err(problem) => Box::pin(std::future::ready(Ok(refusal(problem)))),
            };
        }
        // The services that are ready are those that must be called.
        let ready = self.services.clone();
        let mut services = std::mem::replace(&mut self.services, ready);
        let gate = self.gate.clone();
        Box::pin(async move {
            let admitted = gate.admit(&origin, request.headers()).await;
            match admitted.and_then(|caller| permit(caller, request)) {
                Ok(request) => services.call(request).await,
                Err(problem) => Ok(refusal(problem)),
            }
        })
    }
}

fn refusal(problem: Problem) -> Response<Body> {
    Status::from(problem).into_http()
}

/// Refuses callers that may not take the action of the method; puts the others into the request.
fn permit(caller: Caller, mut request: Request<Body>) -> Result<Request<Body>, Problem> {
    caller.check(action(&request)?)?;
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// Returns the action that a call takes.
fn action(request: &Request<Body>) -> Result<Action, Problem> {
    let path = request.uri().path();
    let is_passed_on = says_forwarded(request.headers());
    let action = if is_passed_on { action_passed_on(path) } else { action_of(path) };
    action.ok_or_else(|| {
        let problem =
            Problem::new(ErrorKind::MethodNotAllowed, format!("there is no method {path}"));
        problem.with_outcome(Outcome::Rejected)
    })
}
