//! Users of an identity provider, who call with its tokens.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use std::time::Duration;

use cluster_state::Role;
use fake_idp::{Provider, Signer, claims, jwks, now};
use master::config::{Anonymous, ClaimRoles, ScopeClaim};
use proto::client::{BearerToken, Client, ClientOptions};
use proto::problem::ErrorKind;
use proto::v1;
use serde_json::{Value, json};

use crate::one_master::{Answer, OneMaster};

/// A master on which nobody may do anything without a token, beside its identity provider.
struct World {
    master: OneMaster,
    provider: Provider,
    signer: Signer,
}

impl World {
    async fn start() -> Self {
        let signer = Signer::new("k1");
        let provider = Provider::start(jwks(&[&signer])).await;
        let issuer = provider.issuer().to_owned();
        let roles = [("admins", Role::Admin), ("devs", Role::Submitter)];
        let master = OneMaster::start_with(|config| {
            config.access.anonymous = Some(Anonymous(None));
            config.access.anonymous_metrics = Some(true);
            config.access.oidc.issuer = issuer;
            config.access.oidc.audience = "cloudai".to_owned();
            config.access.oidc.role_claim = "groups".to_owned();
            config.access.oidc.roles =
                ClaimRoles(roles.map(|(value, role)| (value.to_owned(), role)).into());
            config.access.oidc.scope = ScopeClaim(Some(("team".to_owned(), "dept".to_owned())));
        })
        .await;
        Self { master, provider, signer }
    }

    /// Returns the claims of a good token.
    fn claims(&self, subject: &str, groups: &Value) -> Value {
        let mut claims = claims(self.provider.issuer(), "cloudai", subject);
        claims["groups"] = groups.clone();
        claims["dept"] = json!("blue");
        claims
    }

    fn token(&self, subject: &str, groups: &Value) -> String {
        self.signer.sign(&self.claims(subject, groups))
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let value = format!("Bearer {token}");
        let headers = [("authorization", value.as_str()), ("content-type", "application/json")];
        self.master.ask(method, path, &headers, body).await
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, "GET", path, "").await
    }

    fn client(&self, token: &str) -> Client {
        let token = Some(BearerToken::parse(token).unwrap());
        let options = ClientOptions { token, ..ClientOptions::default() };
        Client::new([self.master.grpc().to_string()], options).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_gives_the_role_of_its_claims() {
    let world = World::start().await;
    let admin = world.token("ada", &json!(["x", "admins"]));
    let me = world.get(&admin, "/api/users/me").await.json();
    let expected = json!({
        "principal": "user:oidc/ada", "role": "admin", "scope": null, "cluster_name": "cloudai",
    });
    assert_eq!(me, expected);

    let dev = world.token("dan", &json!("devs"));
    let me = world.client(&dev).who_am_i().await.unwrap();
    assert_eq!((me.principal.as_str(), me.role()), ("user:oidc/dan", v1::Role::Submitter));
    assert_eq!(me.scope.as_deref(), Some("team=blue"));
    let submit = |team: &str| json!({"command": ["true"], "labels": {"team": team}}).to_string();
    assert_eq!(world.ask(&dev, "POST", "/api/tasks", &submit("blue")).await.status, 201);
    let refused = world.ask(&dev, "POST", "/api/tasks", &submit("red")).await;
    let refused = refused.problem(403, "forbidden");
    assert!(refused["detail"].as_str().unwrap().starts_with("user 'oidc/dan' has the role"));
    let refused = world.client(&dev).user_tokens().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);

    // A namesake with a token of the cluster's own is somebody else.
    let body = json!({"user": "ada", "role": "viewer"}).to_string();
    let own = world.ask(&admin, "POST", "/api/users/tokens", &body).await.json();
    let me = world.get(own["token"].as_str().unwrap(), "/api/users/me").await.json();
    assert_eq!((&me["principal"], &me["role"]), (&json!("user:ada"), &json!("viewer")));
    let listed = world.get(&admin, "/api/users/tokens").await.json();
    assert_eq!(listed["tokens"][0]["created_by"], "user:oidc/ada");
    world.master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_good_is_refused_and_counted() {
    let world = World::start().await;
    let good = world.token("ada", &json!("admins"));
    let (mut expired, mut foreign) =
        (world.claims("ada", &json!("admins")), world.claims("ada", &json!("admins")));
    expired["exp"] = json!((now() - Duration::from_secs(60)).as_secs());
    foreign["aud"] = json!("another service");
    let (message, _) = good.rsplit_once('.').unwrap();
    for token in [
        world.signer.sign(&expired),
        world.signer.sign(&foreign),
        Signer::new("k1").sign(&world.claims("ada", &json!("admins"))),
        Signer::new("k2").sign(&world.claims("ada", &json!("admins"))),
        format!("{message}."),
        world.signer.sign_as(&json!({"alg": "none", "kid": "k1"}), &foreign),
    ] {
        let refused = world.get(&token, "/api/cluster").await;
        let refused = refused.problem(401, "unauthenticated");
        assert_eq!(refused["detail"], "the token is wrong, expired or revoked");
        let refused = world.client(&token).status().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    }
    assert_eq!(world.provider.times_asked(), 1, "a stranger's keys are not looked for again");
    let wrong = format!("{message}.");
    for _ in 0..20 {
        world.get(&wrong, "/api/cluster").await;
    }
    world.get(&wrong, "/api/cluster").await.problem(429, "overloaded");
    assert_eq!(world.get(&good, "/api/cluster").await.status, 200);
    world.master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_role_is_told_by_which_claim() {
    let world = World::start().await;
    let refused = async |groups: Value| {
        let token = world.token("eve", &groups);
        let refused = world.get(&token, "/api/users/me").await.problem(403, "forbidden");
        let detail = refused["detail"].as_str().unwrap().to_owned();
        let parts = token.split('.').filter(|part| detail.contains(part)).count();
        assert_eq!(parts, 0, "{detail}");
        detail
    };
    let expected = "no value of the claim 'groups' in the token stands for a role here \
                    (access.oidc.roles)";
    assert_eq!(refused(json!(["guests-of-honor"])).await, expected);
    assert!(refused(json!({"a": 1})).await.starts_with("the claim 'groups'"));
    let mut scopeless = world.claims("eve", &json!("devs"));
    scopeless.as_object_mut().unwrap().remove("dept");
    let refused = world.get(&world.signer.sign(&scopeless), "/api/tasks").await;
    let refused = refused.problem(403, "forbidden");
    assert!(refused["detail"].as_str().unwrap().starts_with("the claim 'dept'"), "{refused}");
    let metrics = world.master.get("/metrics").await.body;
    assert!(metrics.contains("cloudai_refused_requests_total{reason=\"forbidden\"} 3"));
    let keys = format!("cloudai_oidc_keys{{issuer=\"{}\"}} 1", world.provider.issuer());
    assert!(metrics.contains(&keys), "{metrics}");
    world.master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_ask_who_they_are() {
    let master = OneMaster::start_with(|config| {
        config.access.anonymous = Some(Anonymous(None));
    })
    .await;
    let me = master.get("/api/users/me").await.json();
    let expected =
        json!({"principal": "anonymous", "role": "", "scope": null, "cluster_name": "cloudai"});
    assert_eq!(me, expected);
    // Without a provider a signed token is as wrong as any.
    let token = format!("Bearer {}", Signer::new("k").sign(&claims("i", "a", "ada")));
    let headers = [("authorization", token.as_str())];
    let refused = master.ask("GET", "/api/users/me", &headers, "").await;
    refused.problem(401, "unauthenticated");
    master.stop().await;
}
