//! Who may see and order what over HTTP, and what becomes of an order on its way to the actor: asked as
//! people, programs and strangers would ask.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod command_line;
mod configured;
mod kafka;
mod logged;
mod tls;
pub(super) mod world;

use plimsoll::api::{Access, Anonymous};
use plimsoll::engine::view::{CommandOutcome, CommandView, HoldView, Stop, VersionView};
use plimsoll::safety::{Command, Order, Role};
use serde_json::json;

use world::{NOW, Token, World, action, hash};

const FREEZE: &str = r#"{"order": {"do": "freeze"}, "reason": "the feed is broken"}"#;

/// A world whose instance owns the actions and shows one that waits.
fn owner() -> World {
    let mut world = World::new();
    world.owns();
    world.show(|view| view.actions = vec![action("a1"), action("a2")]);
    world
}

#[tokio::test]
async fn an_order_is_handed_on_with_its_author_and_answered_once_it_is_durable() {
    let world = owner();
    let server = world.serve().await;
    let body = json!({"order": {"do": "approve", "action_id": "a1", "evidence": hash('1'), "to_version": "1"}, "reason": " seen "});
    let answer = server.order(Some(&world.approver), &body.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let expected = Command {
        id: id.clone(),
        at: NOW,
        who: "carol".into(),
        role: Role::Approver,
        reason: "seen".into(),
        order: Order::Approve { action_id: "a1".into(), evidence: hash('1'), to_version: Some("1".into()) },
    };
    assert_eq!(world.delivered(), [expected]);

    let path = format!("/api/v1/commands/{id}");
    let early = server.get(&path, Some(&world.viewer)).await.json();
    assert_eq!((&early["outcome"], &early["who"]), (&"unknown".into(), &"carol".into()));
    assert!(early["why"].as_str().unwrap().contains("has not read it yet"));
    world.show(|view| {
        view.commands.push(CommandView {
            id: id.clone(),
            at: NOW,
            who: "carol".into(),
            role: Role::Approver,
            order: "approve",
            reason: "seen".into(),
            outcome: CommandOutcome::Refused,
            why: Some("it has expired".into()),
        });
    });
    let told = server.get(&path, Some(&world.viewer)).await.json();
    assert_eq!((&told["outcome"], &told["why"]), (&"refused".into(), &"it has expired".into()));
    let listed = server.get("/api/v1/commands", Some(&world.viewer)).await.json();
    assert_eq!(listed["commands"][0]["order"], "approve");
    let unknown = server.get("/api/v1/commands/nothing", Some(&world.viewer)).await;
    assert_eq!((unknown.status, unknown.code()), (404, "unknown_command".into()));
}

#[tokio::test]
async fn a_role_too_low_orders_nothing() {
    let world = owner();
    let server = world.serve().await;
    let approve = json!({"do": "approve", "action_id": "a1", "evidence": hash('1'), "to_version": "1"});
    let of_action = |what: &str| json!({"do": what, "action_id": "a1"});
    let of_model = |what: &str| json!({"do": what, "model": "credit"});
    let absolve = json!({"do": "absolve", "model": "credit", "version": "2"});
    let stops = [of_action("deny"), of_action("cancel"), of_model("hold"), json!({"do": "freeze"})];
    let goes = [approve, of_model("release"), json!({"do": "resume"}), absolve];
    for (orders, allowed) in [(&stops, [false, true, true]), (&goes, [false, false, true])] {
        for order in orders {
            for (token, allowed) in [&world.viewer, &world.operator, &world.approver].into_iter().zip(allowed)
            {
                let body = json!({"order": order, "reason": "why"}).to_string();
                let answer = server.order(Some(token), &body).await;
                let expected = if allowed { 202 } else { 403 };
                assert_eq!(answer.status, expected, "{order} by {}: {}", token.name, answer.body);
                if !allowed {
                    assert_eq!(answer.code(), "role_too_low");
                    assert!(answer.body.contains("needs the role"), "{}", answer.body);
                }
            }
        }
    }
    assert_eq!(world.delivered().len(), 4 * 2 + 4);
}

#[tokio::test]
async fn what_is_no_order_is_refused_with_a_reason_and_handed_to_nobody() {
    let world = owner();
    let server = world.serve().await;
    let token = Some(&world.approver);
    let headers = |more: &str| format!("Content-Type: application/json\r\n{more}");
    let bearer = world.approver.header();
    for (body, headers, status, code) in [
        (FREEZE, headers(""), 401, "unauthorized"),
        (FREEZE, headers("Authorization: Bearer nonsense\r\n"), 401, "unauthorized"),
        (FREEZE, headers("Authorization: Digest x\r\n"), 401, "unauthorized"),
        (FREEZE, headers(&world.approver.basic()), 401, "unauthorized"),
        (FREEZE, bearer.clone(), 415, "not_json"),
        (FREEZE, headers(&format!("{bearer}Origin: https://evil.example\r\n")), 403, "from_a_page"),
        (FREEZE, headers(&format!("{bearer}Sec-Fetch-Site: cross-site\r\n")), 403, "from_a_page"),
        ("{", headers(&bearer), 422, "bad_order"),
        (r#"{"order": {"do": "melt"}, "reason": "x"}"#, headers(&bearer), 422, "bad_order"),
        (r#"{"order": {"do": "freeze"}, "reason": ""}"#, headers(&bearer), 422, "bad_order"),
    ] {
        let answer = server.send("POST", "/api/v1/commands", &headers, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body} {}", answer.body);
        assert_eq!(answer.head.contains("www-authenticate: bearer"), status == 401, "{}", answer.head);
        assert!(answer.json()["message"].as_str().unwrap().len() > 10);
    }
    let long = json!({"order": {"do": "freeze"}, "reason": "x".repeat(20_000)}).to_string();
    assert_eq!(server.order(token, &long).await.status, 413);
    assert_eq!(server.send("PUT", "/api/v1/commands", &bearer, "").await.status, 405);
    assert!(world.delivered().is_empty());
    let own = format!("{bearer}Origin: http://{}\r\n", server.address);
    let answer = server.send("POST", "/api/v1/commands", &headers(&own), FREEZE).await;
    assert_eq!(answer.status, 202, "a page of this interface itself may: {}", answer.body);
}

#[tokio::test]
async fn an_order_that_contradicts_what_the_owner_shows_is_refused_at_once() {
    let world = owner();
    world.show(|view| {
        view.actions[1].state = "applied".into();
        let mut late = action("a3");
        // The time is over at `until`, and not after it.
        late.expires_at = Some(NOW);
        view.actions.push(late);
    });
    let server = world.serve().await;
    let approve_of = |id: &str, hash: String, to: &str| json!({"do": "approve", "action_id": id, "evidence": hash, "to_version": to});
    let approve = |id: &str, hash: String| approve_of(id, hash, "1");
    let deny = |id: &str| json!({"do": "deny", "action_id": id});
    let cases = [
        (approve("a1", hash('2')), 409, "evidence_changed"),
        (approve_of("a1", hash('1'), "0"), 409, "version_changed"),
        (json!({"do": "approve", "action_id": "a1", "evidence": hash('1')}), 409, "version_changed"),
        (approve("a2", hash('1')), 409, "not_waiting"),
        (approve("a3", hash('1')), 409, "expired"),
        (approve("a9", hash('1')), 404, "unknown_action"),
        (deny("a2"), 409, "not_waiting"),
        (deny("a9"), 404, "unknown_action"),
        (json!({"do": "cancel", "action_id": "a9"}), 404, "unknown_action"),
    ];
    for (order, status, code) in &cases {
        let body = json!({"order": order, "reason": "why"}).to_string();
        let answer = server.order(Some(&world.approver), &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (*status, *code), "{order}");
    }
    assert!(world.delivered().is_empty());

    // What waits for its turn can be denied, and not approved.
    world.show(|view| view.actions[0].state = "proposed".into());
    let body = json!({"order": approve("a1", hash('1')), "reason": "why"}).to_string();
    assert_eq!(server.order(Some(&world.approver), &body).await.code(), "not_waiting");
    let body = json!({"order": deny("a1"), "reason": "why"}).to_string();
    assert_eq!(server.order(Some(&world.operator), &body).await.status, 202);
    assert_eq!(world.delivered().len(), 1);

    // Elsewhere nobody knows better than the actor, who is asked.
    let mut stranger = World::new();
    stranger.stands_by();
    let server = stranger.serve().await;
    let body = json!({"order": approve("a9", hash('1')), "reason": "why"}).to_string();
    let answer = server.order(Some(&stranger.approver), &body).await;
    assert_eq!((answer.status, stranger.delivered().len()), (202, 1));
    let path = answer.json()["status"].as_str().unwrap().to_owned();
    let told = server.get(&path, Some(&stranger.viewer)).await.json();
    assert!(told["why"].as_str().unwrap().contains("another instance owns the actions"), "{told}");
}

#[tokio::test]
async fn an_order_that_is_not_known_to_be_durable_is_not_reported_as_given() {
    let mut world = World::new();
    world.fails();
    let server = world.serve().await;
    let answer = server.order(Some(&world.operator), FREEZE).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_durable"));
    assert!(answer.body.contains("may take effect all the same"));
    assert!(!answer.body.contains("planted detail"), "what the brokers say goes to the log");
    let path = format!("/api/v1/commands/{}", answer.json()["id"].as_str().unwrap());
    assert_eq!(server.get(&path, Some(&world.viewer)).await.json()["outcome"], "unknown");

    let mut early = World::new();
    early.has_no_sink();
    let server = early.serve().await;
    let answer = server.order(Some(&early.operator), FREEZE).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
}

#[tokio::test]
async fn what_is_seen_without_a_token_is_as_configured_and_health_is_always_open() {
    for (anonymous, metrics, read) in
        [(Anonymous::Read, 200, 200), (Anonymous::Metrics, 200, 401), (Anonymous::None, 401, 401)]
    {
        let mut world = World::new();
        world.anonymous(anonymous);
        let server = world.serve().await;
        assert_eq!(server.get("/healthz", None).await.status, 200);
        assert_eq!(server.get("/readyz", None).await.status, 200);
        assert_eq!(server.get("/metrics", None).await.status, metrics, "{anonymous:?}");
        let gate = "/gate/v1/argo-rollouts?model=m&version=1&policy=p";
        for page in ["/", "/api/v1/models", "/api/v1/safety", "/api/v1/commands", gate] {
            assert_eq!(server.get(page, None).await.status, read, "{anonymous:?} {page}");
            assert_eq!(server.get(page, Some(&world.viewer)).await.status, 200, "{page}");
        }
        assert_eq!(server.get("/api/v1/nothing", None).await.status, if read == 200 { 404 } else { 401 });
        assert_eq!(server.send("GET", "/", &world.viewer.basic(), "").await.status, 200, "as a browser does");
        if read == 401 {
            let head = server.get("/", None).await.head;
            assert!(head.contains("www-authenticate: basic"), "a browser asks its user: {head}");
            let reload = server.send("POST", "/-/reload", &world.viewer.header(), "").await;
            assert_eq!(reload.status, 403, "a viewer reloads nothing");
        }
        let wrong = server.send("GET", "/healthz", "Authorization: Bearer wrong\r\n", "").await;
        assert_eq!(wrong.status, 200, "a probe is not asked who it is");
        let wrong = server.send("GET", "/api/v1/models", "Authorization: Bearer wrong\r\n", "").await;
        assert_eq!(wrong.status, 401, "a wrong token is not taken for none");
    }
}

#[tokio::test]
async fn without_tokens_nobody_can_order_anything() {
    let mut world = World::new();
    world.access = Access::default();
    let server = world.serve().await;
    let answer = server.order(None, FREEZE).await;
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("none is configured"), "{}", answer.body);
}

#[tokio::test]
async fn a_token_in_the_address_is_refused_even_where_everybody_may_read() {
    let world = World::new();
    let server = world.serve().await;
    let token = &world.approver.text;
    for path in [
        format!("/api/v1/models?token={token}"),
        "/api/v1/models?access_token=x".to_owned(),
        format!("/api/v1/findings?model={token}"),
        format!("/api/v1/commands/{token}"),
    ] {
        let answer = server.get(&path, None).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "token_in_address"), "{path}");
        assert!(!answer.body.contains(token.as_str()));
    }
}

#[tokio::test]
async fn many_wrong_tokens_are_turned_away_and_the_right_one_is_not() {
    let world = World::new();
    let server = world.serve().await;
    let stranger = Token::new("stranger", Role::Approver);
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let answer = server.get("/api/v1/safety", Some(&stranger)).await;
        assert_eq!(answer.status == 429, answer.head.contains("retry-after: 1"));
        statuses.push(answer.status);
    }
    assert_eq!(&statuses[..10], &[401; 10]);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(server.order(Some(&world.operator), FREEZE).await.status, 202, "who has to freeze can");
    tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
    assert_eq!(server.get("/api/v1/safety", Some(&stranger)).await.status, 401, "a second later");
}

#[tokio::test]
async fn what_stands_still_is_shown_to_programs_and_to_people() {
    let mut world = owner();
    world.anonymous(Anonymous::Read);
    world.show(|view| {
        let stop = |reason: &str| Stop { who: "alice".into(), reason: reason.into(), at: NOW };
        view.safety.frozen = Some(stop("the <b>feed</b> is broken"));
        let held = HoldView { tenant: None, model: "credit".into(), stop: stop("audit") };
        view.safety.held = vec![held];
        view.safety.versions = vec![VersionView {
            tenant: None,
            model: "credit".into(),
            version: "1".into(),
            standing: "good",
            first_seen: None,
            last_seen: None,
            qualified: Vec::new(),
            reason: None,
            last_known_good: true,
        }];
    });
    let server = world.serve().await;
    let safety = server.get("/api/v1/safety", None).await.json();
    assert_eq!(safety["frozen"]["who"], "alice");
    assert_eq!(safety["held"][0]["model"], "credit");
    assert_eq!(safety["versions"][0]["last_known_good"], true);
    assert_eq!(safety["owns_decisions"], true);
    let actions = server.get("/api/v1/actions", None).await.json();
    assert_eq!(actions["actions"][0]["evidence"], hash('1'));
    let page = server.get("/", None).await.body;
    for text in [
        "Everything is frozen",
        "by alice",
        "&lt;b&gt;feed",
        "Waits for approval",
        &hash('1'),
        "Held",
        "good",
    ] {
        assert!(page.contains(text), "{text} in\n{page}");
    }
    assert!(!page.contains("<b>feed"), "text from people is escaped");
}
