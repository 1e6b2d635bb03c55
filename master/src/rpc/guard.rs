//! In front of every service: who calls, and whether the caller may take the action of the method.

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use proto::problem::{ErrorKind, Outcome, Problem};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::actions::{action_of, action_passed_on};
use crate::access::{Action, Caller, Gate, Need, Origin, RequestId, need};
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
                Ok((request, None)) => Box::pin(self.services.call(request)),
                Ok((request, Some(id))) => Box::pin(named(self.services.call(request), id)),
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
                Ok((request, None)) => services.call(request).await,
                Ok((request, Some(id))) => named(services.call(request), id).await,
                Err(problem) => Ok(refusal(problem)),
            }
        })
    }
}

fn refusal(problem: Problem) -> Response<Body> {
    Status::from(problem).into_http()
}

/// A request that may go on, and its id, which the answer to people and programs has, too.
type Permitted = (Request<Body>, Option<RequestId>);

/// Refuses callers that may not take the action of the method; puts the others into the request.
fn permit(caller: Caller, mut request: Request<Body>) -> Result<Permitted, Problem> {
    let action = action(&request)?;
    let id = caller.request();
    caller.check(action).map_err(|problem| problem.of_request(id))?;
    let id = (action.is_for_users()).then(|| id.clone());
    request.extensions_mut().insert(caller);
    Ok((request, id))
}

/// Puts the id of the request into an answer's metadata.
async fn named<E>(
    call: impl Future<Output = Result<Response<Body>, E>>,
    id: RequestId,
) -> Result<Response<Body>, E> {
    let mut response = call.await?;
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(RequestId::HEADER, id);
    }
    Ok(response)
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
