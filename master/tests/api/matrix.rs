//! Every endpoint against every kind of credentials. The endpoints come from the routers, so a new one
//! is asked, too.

mod authority;
mod caller;

use cluster_state::Role;
use master::endpoints::{Endpoint, Need, endpoints};

use self::authority::TestAuthority;
use self::caller::{Caller, Outcome};
use crate::one_master::OneMaster;

/// Standing of a caller, by its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nobody, and nothing is wrong with that.
    Stranger,
    /// A user with a role.
    User(Role),
    Worker,
    Master,
    /// Somebody who says so wrongly, and is told when the first request is read.
    Liar,
    /// Somebody whose certificate nobody believes: there is no connection.
    Outsider,
}

/// Repeats what docs/access.md and docs/certificates.md say, in other words than the policy does.
fn expected(standing: Standing, need: Need) -> Outcome {
    let of_role = |role: Role, least: Role| {
        if role >= least { Outcome::Admitted } else { Outcome::Forbidden }
    };
    match (standing, need) {
        (Standing::Outsider, _) => Outcome::NoConnection,
        (_, Need::Nothing) => Outcome::Admitted,
        (Standing::Liar, _) => Outcome::Unauthenticated,
        (_, Need::Anyone) => Outcome::Admitted,
        (Standing::Stranger, _) => Outcome::Unauthenticated,
        (Standing::User(role), Need::Role(least)) => of_role(role, least),
        (Standing::Master, Need::Worker | Need::Master) => Outcome::Admitted,
        (Standing::Master, Need::Role(least)) => of_role(Role::Viewer, least),
        // A worker acts in its own name only, and the messages here name nobody.
        (Standing::User(_), Need::Worker | Need::Master) | (Standing::Worker, _) => {
            Outcome::Forbidden
        }
    }
}

async fn secured(authority: &TestAuthority) -> OneMaster {
    let files = authority.files("master", "1");
    OneMaster::start_with(|config| {
        config.tls.certificate = files.certificate;
        config.tls.key = files.key;
        config.tls.ca = files.trusted;
        config.access.anonymous = None;
        config.access.anonymous_metrics = None;
    })
    .await
}

/// Asks each endpoint, and returns what was answered otherwise than expected.
async fn wrong_answers(
    name: &str,
    caller: &Caller,
    standing: Standing,
    endpoints: &[Endpoint],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for endpoint in endpoints {
        let expected = expected(standing, endpoint.need);
        let found = caller.ask(endpoint, expected).await;
        // An address with too many wrong tokens is not even told that they are wrong.
        let is_tired_of = standing == Standing::Liar
            && (found, expected) == (Outcome::TooMany, Outcome::Unauthenticated);
        if found != expected && !is_tired_of {
            let Endpoint { method, path, .. } = endpoint;
            let method = method.as_deref().unwrap_or("gRPC");
            wrong.push(format!("{name}: {method} {path}: {found:?} instead of {expected:?}"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_is_for_whom_it_is_whatever_is_shown() {
    let authority = TestAuthority::new("test");
    let master = secured(&authority).await;
    let admin = Caller::new(&master, &authority, Some(authority.issued("admin", "root")));
    let endpoints = endpoints();
    assert!(endpoints.len() > 90, "{}", endpoints.len());

    let mut callers = Vec::new();
    let stranger = || Caller::new(&master, &authority, None);
    callers.push(("nothing".to_owned(), stranger(), Standing::Stranger));
    for role in Role::ALL {
        let shown = authority.issued(role.name(), "ada");
        let by_certificate = Caller::new(&master, &authority, Some(shown));
        callers.push((format!("certificate of a {role}"), by_certificate, Standing::User(role)));
        let (_, token) = admin.create_token(role).await;
        let by_token = stranger().with_token(&token);
        callers.push((format!("token of a {role}"), by_token, Standing::User(role)));
    }
    for (role, name, standing) in
        [("worker", "w1", Standing::Worker), ("master", "1", Standing::Master)]
    {
        let caller = Caller::new(&master, &authority, Some(authority.issued(role, name)));
        callers.push((format!("certificate of a {role}"), caller, standing));
    }
    let (id, revoked) = admin.create_token(Role::Admin).await;
    admin.revoke_token(&id).await;
    let (_, right) = admin.create_token(Role::Admin).await;
    let forged = format!("{}0000000000", right.split_at(right.len() - 10).0);
    for (name, token) in [("a revoked token", &revoked), ("a forged token", &forged)] {
        callers.push((name.to_owned(), stranger().with_token(token), Standing::Liar));
    }
    for (role, name) in [("admin", "eve"), ("worker", "w9"), ("master", "9")] {
        let caller = Caller::new(&master, &authority, Some(authority.issued(role, name)));
        admin.revoke_certificates(role, name).await;
        callers.push((format!("revoked certificate of a {role}"), caller, Standing::Liar));
    }
    for (name, shown) in authority.wrong_certificates() {
        let caller = Caller::new(&master, &authority, Some(shown));
        callers.push((name.to_owned(), caller, Standing::Outsider));
    }

    let asked = callers
        .iter()
        .map(|(name, caller, standing)| wrong_answers(name, caller, *standing, &endpoints));
    let wrong = futures_util::future::join_all(asked).await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
