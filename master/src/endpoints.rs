//! Endpoints: everything that a master serves, with the standing that its callers need.

pub use crate::access::Need;
use crate::access::need;
use crate::{api, rpc};

/// A route of REST or a method of gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Method of a REST route, such as `GET`; none for gRPC.
    pub method: Option<String>,
    /// Path. That of a route has its parameters in braces, as in `/api/tasks/{id}`.
    pub path: String,
    /// Least standing that a caller needs.
    pub need: Need,
}

/// Lists all endpoints, from the routers themselves.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    let routes = api::list().into_iter().map(|route| Endpoint {
        method: Some(route.method.to_string()),
        path: route.path,
        need: need(route.action),
    });
    let methods =
        rpc::list().map(|(path, action)| Endpoint { method: None, path, need: need(action) });
    routes.chain(methods).collect()
}
