//! Inputs of a handler, by the types of its arguments: so the description of a route cannot name another
//! parameter than the route takes.

mod fields;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, Method, Uri};
use serde::de::DeserializeOwned;

pub(super) use self::fields::{Field, Kind};
use super::Api;
use super::input::{Id, Params};
use crate::access::Caller;

/// A thing that a handler reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// The id in the path.
    Id,
    /// A parameter of the query.
    Query(Field),
    /// The body.
    Body,
}

/// Arguments of a handler.
pub(super) trait Arguments {
    /// Lists what they read.
    fn inputs() -> Vec<Input>;
}

/// Argument of a handler.
pub(super) trait Argument {
    /// Lists what it reads; nothing of what a client has to know.
    fn inputs() -> Vec<Input> {
        Vec::new()
    }
}

impl Argument for State<Api> {}
impl Argument for Extension<Caller> {}
impl Argument for HeaderMap {}
impl Argument for Method {}
impl Argument for Uri {}
impl Argument for Result<WebSocketUpgrade, WebSocketUpgradeRejection> {}

impl Argument for Id {
    fn inputs() -> Vec<Input> {
        vec![Input::Id]
    }
}

impl Argument for Body {
    fn inputs() -> Vec<Input> {
        vec![Input::Body]
    }
}

impl<T: DeserializeOwned> Argument for Params<T> {
    fn inputs() -> Vec<Input> {
        fields::of::<T>().into_iter().map(Input::Query).collect()
    }
}

/// A handler without arguments.
impl Arguments for ((),) {
    fn inputs() -> Vec<Input> {
        Vec::new()
    }
}

/// A handler with arguments, of which axum knows by a marker in what way the last one reads.
macro_rules! arguments {
    ($($argument:ident)+) => {
        impl<Marker, $($argument: Argument),+> Arguments for (Marker, $($argument,)+) {
            fn inputs() -> Vec<Input> {
                [$($argument::inputs()),+].concat()
            }
        }
    };
}

arguments!(A);
arguments!(A B);
arguments!(A B C);
arguments!(A B C D);
arguments!(A B C D E);
arguments!(A B C D E F);
arguments!(A B C D E F G);
