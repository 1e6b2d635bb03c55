//! Routes, each with the action that its callers must be allowed.

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use proto::problem::{ErrorKind, Problem};

use super::answer::Refusal;
use super::inputs::{Arguments, Input};
use super::{Api, probes};
use crate::access::{Action, Caller};

/// A router in the making. A handler gets in with its action only.
#[derive(Debug, Default)]
pub(super) struct Routes {
    router: Router<Api>,
    listed: Vec<Route>,
}

/// A route, as its callers know it.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) action: Action,
    /// Everything that its handler reads.
    pub(crate) inputs: Vec<Input>,
}

impl Routes {
    pub(super) fn get<H, T>(self, path: &str, action: Action, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: Arguments + 'static,
    {
        self.with::<T>((Method::GET, path), action, get(handler))
    }

    pub(super) fn post<H, T>(self, path: &str, action: Action, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: Arguments + 'static,
    {
        self.with::<T>((Method::POST, path), action, post(handler))
    }

    pub(super) fn put<H, T>(self, path: &str, action: Action, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: Arguments + 'static,
    {
        self.with::<T>((Method::PUT, path), action, put(handler))
    }

    pub(super) fn delete<H, T>(self, path: &str, action: Action, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: Arguments + 'static,
    {
        self.with::<T>((Method::DELETE, path), action, delete(handler))
    }

    /// Adds a probe, which everybody may ask.
    pub(super) fn probe<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: Arguments + 'static,
    {
        self.with::<T>((Method::GET, path), Action::Probe, get(handler).options(probes::options))
    }

    fn with<T: Arguments>(
        mut self,
        (method, path): (Method, &str),
        action: Action,
        methods: MethodRouter<Api>,
    ) -> Self {
        let guarded = methods.route_layer(middleware::from_fn_with_state(action, permit));
        let inputs = T::inputs();
        self.listed.push(Route { method, path: path.to_owned(), action, inputs });
        Self { router: self.router.route(path, guarded), ..self }
    }

    /// Returns the router.
    pub(super) fn into_router(self) -> Router<Api> {
        self.router
    }

    /// Returns all routes.
    pub(super) fn into_list(self) -> Vec<Route> {
        self.listed
    }
}

/// Refuses callers that may not take the action of the route.
async fn permit(State(action): State<Action>, request: Request, next: Next) -> Response {
    let checked = match request.extensions().get::<Caller>() {
        Some(caller) => caller.check(action),
        None => Err(Problem::new(ErrorKind::Internal, "nobody has asked who calls")),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => Refusal(problem).into_response(),
    }
}
