//! The way in and out: keys, cookies, tokens, idle time, and the headers that bind a browser.

use std::collections::BTreeMap;

use reqwest::Method;

use switchyard::config::checked::Role;

use crate::town::{AUDITOR, CORE, OPERATOR, Town};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_a_session_that_a_cookie_names() {
    let town = Town::new().await;
    let mut browser = town.browser();
    let turned_away = browser.get("/console/unknowns?phase=operator").await;
    assert_eq!(turned_away.status, 303);
    let login = turned_away.header("location").to_owned();
    assert_eq!(login, "/console/login?next=%2Fconsole%2Funknowns%3Fphase%3Doperator");
    let signed_in = browser.fill(&login, "/console/login", &[("key", OPERATOR)]).await;
    assert_eq!(
        (signed_in.status, signed_in.header("location")),
        (303, "/console/unknowns?phase=operator")
    );
    let cookies: Vec<_> = signed_in.headers.get_all("set-cookie").iter().collect();
    let cookie = cookies[0].to_str().expect("text");
    for part in ["sy-console=", "; HttpOnly", "; SameSite=Strict", "; Path=/console"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(OPERATOR) && !cookie.contains("Secure"), "{cookie}");
    let page = browser.get("/console").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("<strong>olga</strong>") && !page.text.contains(OPERATOR));
    // A cookie that nobody gave out is none.
    let real = browser.cookies.insert("sy-console".to_owned(), "0".repeat(64));
    assert_eq!(browser.get("/console").await.status, 303);
    browser.cookies.insert("sy-console".to_owned(), real.expect("it was there"));
    let left = browser.fill("/console", "/console/logout", &[]).await;
    assert_eq!((left.status, left.header("location")), (303, "/console/login"));
    assert_eq!(browser.get("/console").await.status, 303);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_proxy_speaks_tls_the_cookie_never_goes_without() {
    let town = Town::new().await;
    let mut browser = town.browser();
    let mut fields = browser.get("/console/login").await.hidden("/console/login");
    fields.insert("key".to_owned(), OPERATOR.to_owned());
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(&fields);
    let request = browser.request(Method::POST, "/console/login");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let request = request.header("origin", "https://switchyard.example").body(body.finish());
    let signed_in = browser.send(request).await;
    assert!(signed_in.header("set-cookie").contains("; Secure"));
    // The form's own cookie as well, where only the proxy says it.
    let request = town.browser().request(Method::GET, "/console/login");
    let shown = town.browser().send(request.header("x-forwarded-proto", "https")).await;
    assert!(shown.header("set-cookie").contains("; Secure"), "{:?}", shown.headers);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_refused_and_tries_are_limited() {
    let town = Town::new().await;
    let mut browser = town.browser();
    let refused = browser.sign_in("sy_nobody").await;
    assert_eq!(refused.status, 401);
    assert!(refused.text.contains("The key is not known") && !refused.text.contains("sy_nobody"));
    let core = browser.sign_in(CORE).await;
    assert_eq!(core.status, 403);
    assert!(core.text.contains("neither the role operator nor auditor"));
    let mut last = 0;
    for _ in 0..10 {
        last = browser.sign_in("sy_nobody").await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(browser.sign_in(OPERATOR).await.status, 429, "the right key waits as well");
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_uses_up_an_addresss_tries_keeps_out_no_browser_that_was_let_in_before() {
    let town = Town::new().await;
    let mut known = town.visitor(OPERATOR).await;
    let mark = known.cookies["sy-browser"].clone();
    known.fill("/console", "/console/logout", &[]).await;
    let mut stranger = town.browser();
    let mut last = 0;
    for _ in 0..11 {
        last = stranger.sign_in("sy_nobody").await.status;
    }
    assert_eq!(last, 429);
    // A mark that nobody gave out is none.
    let made_up = format!("{}{}", &mark[..95], if mark.ends_with('0') { '1' } else { '0' });
    for made_up in [made_up, "0".repeat(96), "0".to_owned()] {
        stranger.cookies.insert("sy-browser".to_owned(), made_up);
        assert_eq!(stranger.sign_in(OPERATOR).await.status, 429);
    }
    assert_eq!(known.sign_in(OPERATOR).await.status, 303);
    // Its own tries have a bound as well, and it is known for as long as its key is.
    known.cookies.insert("sy-browser".to_owned(), mark);
    let mut tries = Vec::new();
    for _ in 0..11 {
        tries.push(known.sign_in("sy_nobody").await.status);
    }
    assert_eq!((tries[0], tries[10]), (401, 429), "{tries:?}");
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_the_roles_that_its_key_has_at_that_moment() {
    let town = Town::new().await;
    let mut browser = town.visitor(OPERATOR).await;
    let page = "/console/channels/harbour-bank";
    let action = "/console/channels/harbour-bank/switch";
    let fields = browser.get(page).await.hidden(action);
    let state = town.app.state();
    let with = |roles: &[Role]| {
        let mut callers = state.settings.callers.clone();
        let olga = callers.iter_mut().find(|caller| caller.name.as_str() == "olga");
        olga.expect("the operator").roles = roles.to_vec();
        state.callers.replace(&callers);
    };
    with(&[Role::Auditor]);
    let shown = browser.get(page).await;
    assert!(!shown.text.contains(action) && shown.text.contains("auditor"), "{}", shown.text);
    assert_eq!(browser.post(action, &fields).await.status, 403);
    with(&[Role::Operator]);
    assert!(browser.get(page).await.text.contains(action));
    with(&[Role::Core]);
    assert_eq!(browser.get("/console").await.status, 303);
    with(&[Role::Operator]);
    assert_eq!(browser.get("/console").await.status, 303, "it has ended and does not come back");
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_needs_the_token_of_its_own_path_and_session() {
    let town = Town::new().await;
    let mut browser = town.visitor(OPERATOR).await;
    let other = town.visitor(OPERATOR).await.get("/console/channels/harbour-bank").await;
    let action = "/console/channels/harbour-bank/switch";
    let own = browser.get("/console/channels/harbour-bank").await;
    let with = |token: &str| -> BTreeMap<String, String> {
        let once = &own.hidden(action)["once"];
        [("token", token), ("once", once), ("enabled", "false"), ("reason", "a test")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    };
    let tokens = [
        String::new(),
        "0".repeat(64),
        own.hidden("/console/logout")["token"].clone(),
        other.hidden(action)["token"].clone(),
    ];
    for token in tokens {
        assert_eq!(browser.post(action, &with(&token)).await.status, 403, "{token}");
    }
    let request = browser.request(Method::POST, action);
    let request = request.header("content-type", "text/plain").body("enabled=false");
    assert_eq!(browser.send(request).await.status, 415);
    let still = town.core().get("/v1/channels/harbour-bank").await;
    assert_eq!(still.body["enabled"], true);
    let token = &own.hidden(action)["token"];
    assert_eq!(browser.post(action, &with(token)).await.status, 303);
    let off = town.core().get("/v1/channels/harbour-bank").await;
    assert_eq!(off.body["enabled"], false);
    // The form of the key is bound to its browser too.
    let mut stranger = town.browser();
    let fields = town.browser().get("/console/login").await.hidden("/console/login");
    assert_eq!(stranger.post("/console/login", &fields).await.status, 403);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_and_changes_nothing() {
    let town = Town::new().await;
    let mut browser = town.visitor(AUDITOR).await;
    let page = browser.get("/console/channels/harbour-bank").await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("/switch\""), "no form is shown that would be refused");
    // A form that was made up is refused by the API, token or not.
    let mut operator = town.visitor(OPERATOR).await;
    let action = "/console/channels/harbour-bank/switch";
    let mut fields = operator.get("/console/channels/harbour-bank").await.hidden(action);
    fields.insert("reason".to_owned(), "a test".to_owned());
    assert_eq!(browser.post(action, &fields).await.status, 403);
    let channel = town.core().get("/v1/channels/harbour-bank").await;
    assert_eq!(channel.body["enabled"], true);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_ends_and_so_does_one_of_a_key_that_is_withdrawn() {
    const MINUTE_MS: i64 = 60_000;
    let town = Town::new().await;
    let mut browser = town.visitor(OPERATOR).await;
    for _ in 0..3 {
        town.later(20 * MINUTE_MS);
        assert_eq!(browser.get("/console").await.status, 200, "what is used goes on");
    }
    town.later(31 * MINUTE_MS);
    assert_eq!(browser.get("/console").await.status, 303);
    let mut browser = town.visitor(OPERATOR).await;
    let state = town.app.state();
    let others = state.settings.callers.iter().filter(|caller| caller.name.as_str() != "olga");
    state.callers.replace(&others.cloned().collect::<Vec<_>>());
    let page = browser.get("/console").await;
    assert_eq!((page.status, page.header("location")), (303, "/console/login?next=%2Fconsole"));
    // Also where nobody looked meanwhile: a cookie that was stolen does not come back with the key.
    state.callers.replace(&state.settings.callers);
    let mut browser = town.visitor(OPERATOR).await;
    state.callers.replace(&state.settings.callers);
    assert_eq!(browser.get("/console").await.status, 200, "the key was there all the time");
    state.callers.replace(&[]);
    state.callers.replace(&state.settings.callers);
    assert_eq!(browser.get("/console").await.status, 303);
    assert_eq!(browser.sign_in(OPERATOR).await.status, 303, "the key itself is good again");
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_binds_the_browser() {
    let town = Town::new().await;
    let mut browser = town.visitor(AUDITOR).await;
    let paths = [
        "/console/login",
        "/console",
        "/console/nothing",
        "/console/style.css",
        "/console/json/v1/today",
    ];
    for path in paths {
        let sight = browser.get(path).await;
        let policy = sight.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{path}: {policy}");
        for part in ["frame-ancestors 'none'", "form-action 'self'", "script-src 'self';"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(sight.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(sight.header("x-frame-options"), "DENY", "{path}");
        // With none, a form's `Origin` is "null", and says nothing of TLS.
        assert_eq!(sight.header("referrer-policy"), "same-origin", "{path}");
    }
    assert_eq!(browser.get("/console").await.header("cache-control"), "no-store");
    assert_eq!(browser.get("/console/nothing").await.status, 404);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_switches_the_console_off() {
    let town = Town::with(|settings| settings.console.enabled = false).await;
    let sight = town.browser().get("/console").await;
    assert_eq!(sight.status, 404);
    assert!(sight.text.contains("no route has this path"), "{}", sight.text);
    town.app.stop().await;
}
